package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/client"
)

// TestHurry: the server must answer in time. People who must let us in may take longer.
func TestHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late, _, end := hurry(t.Context(), "https://turn.example.org")
		defer end()
		<-late.Done()
		if err := inTime(late, late.Err()); !strings.Contains(err.Error(), "https://turn.example.org did not answer within 30s") {
			t.Errorf("after the end, %v", err)
		}

		waits, hold, end := hurry(t.Context(), "https://turn.example.org")
		hold()
		time.Sleep(time.Hour)
		if failed := errors.New("refused"); waits.Err() != nil || inTime(waits, failed) != failed {
			t.Errorf("after an hour, %v", waits.Err())
		}
		end()
		if waits.Err() == nil {
			t.Error("it never ends")
		}
	})
}

// TestWaitingRoom: a command that somebody must let in says so, goes on waiting, and says what became of it.
func TestWaitingRoom(t *testing.T) {
	s := startServer("--state", t.TempDir())
	defer s.stop()
	first, _, _ := strings.Cut(s.row("web"), "  ")
	host, err := client.Dial(t.Context(), client.Config{URL: first, Name: "host"})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	room, err := host.Join(t.Context(), "home", client.JoinOptions{Create: true, Size: 4, Waiting: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		end  func(*pipeSide)
		text string
	}{
		{func(side *pipeSide) { side.stop() }, "stopped"},
		{func(*pipeSide) { _ = room.Leave(context.Background()) }, "room home: The room closed before anybody let us in."},
	} {
		side := startPipe(t, s, strings.NewReader(""), io.Discard, "--listen", "--name", "nas")
		side.stderr.await(t, "waits until somebody in the room home lets this side in")
		test.end(side)
		side.ends(t, 1, test.text)
	}
}

// TestWaits: a forward waits longer than it takes to notice a change that its host does not see.
func TestWaits(t *testing.T) {
	for flags, want := range map[*peerFlags]time.Duration{{}: 10 * time.Second, {wait: forwardWait}: 20 * time.Second} {
		flags.register(flag.NewFlagSet("", flag.ContinueOnError))
		if flags.wait != want {
			t.Errorf("--wait is %v, want %v", flags.wait, want)
		}
	}
}
