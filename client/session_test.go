package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/client"
)

// TestTwoPeers: two programs meet in a room, and a stream goes through it in both directions, each of which ends on its own.
func TestTwoPeers(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		ann, bob := w.member("ann"), w.member("bob")
		if ann.Name() != "ann" || ann.User() != "turnpike:ann" || ann.ID() == "" || ann.ID() == bob.ID() {
			t.Errorf("ann is %s, %s, %s", ann.Name(), ann.User(), ann.ID())
		}
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(format, ann.Session); text != fmt.Sprintf("session %s of %q", ann.ID(), "ann") {
				t.Errorf("printed by %s it is %s", format, text)
			}
		}
		room := ann.join("Lobby", client.JoinOptions{Create: true, Size: 4})
		if room.ID() != "lobby" || len(room.Peers()) != 0 {
			t.Errorf("the room is %s, with %d others", room.ID(), len(room.Peers()))
		}
		toAnn := peer(t, bob.join("lobby", client.JoinOptions{}))
		toBob := peer(t, room)
		if toAnn.ID() != ann.ID() || toBob.ID() != bob.ID() || toBob.Name() != "bob" || toBob.Away() || room.Peer(bob.ID()) != toBob {
			t.Errorf("ann sees %s, bob sees %s", toBob.ID(), toAnn.ID())
		}
		path, err := toBob.Connected(t.Context())
		if err != nil || path.Transport != client.QUIC {
			t.Fatal(path, err)
		}
		if e := expect[client.PathChanged](ann); e.Peer != toBob || e.Path != path {
			t.Errorf("the path is %v", e)
		}
		for _, name := range []string{"", strings.Repeat("x", 65), "\xff", "turnpike.datagrams"} {
			if _, err := toBob.Open(t.Context(), name); client.CodeOf(err) != client.CodeBadMessage {
				t.Errorf("a stream %q: %v", name, err)
			}
		}
		out, err := toBob.Open(t.Context(), "hello")
		if err != nil {
			t.Fatal(err)
		}
		in, err := toAnn.Accept(t.Context())
		if err != nil || in.Name() != "hello" || in.Peer() != toAnn || out.Peer() != toBob {
			t.Fatal(in, err)
		}
		said(t, out, in, "a question")
		said(t, in, out, "an answer")
		out.Close()
		in.Close()

		again, err := toAnn.Open(t.Context(), "by the room")
		if err != nil {
			t.Fatal(err)
		}
		if in, err = room.Accept(t.Context()); err != nil || in.Name() != "by the room" {
			t.Fatal(in, err)
		}
		again.Reset()
		if _, err := io.ReadAll(in); err == nil {
			t.Error("a stream that was reset ended in order")
		}
		datagrams(t, toAnn, toBob)

		if err := ann.Close(); err != nil {
			t.Error(err)
		}
		if e := expect[client.PeerLeft](bob); e.Peer != toAnn || e.Reason != "bye" {
			t.Errorf("%s left: %s", e.Peer.Name(), e.Reason)
		}
		<-toAnn.Gone()
		if _, err := toAnn.Open(t.Context(), "late"); client.CodeOf(err) != client.CodeGone {
			t.Errorf("a stream to a peer who left: %v", err)
		}
		if e := expect[client.Ended](ann); e.Err != nil || ann.Err() != nil {
			t.Errorf("ended with %v", e.Err)
		}
		bob.Close()
		bob.Close()
		if n := w.links.Open(); n != 0 {
			t.Errorf("%d links are left", n)
		}
	})
}

// said writes a text to one end of a stream, ends that, and reads it at the other.
func said(t *testing.T, from, to *client.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(from, text); err != nil {
		t.Fatal(err)
	}
	if err := from.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(to)
	if err != nil || string(got) != text {
		t.Errorf("read %q, %v", got, err)
	}
}

func datagrams(t *testing.T, from, to *client.Peer) {
	t.Helper()
	if err := from.SendDatagram([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if got, err := to.ReceiveDatagram(t.Context()); err != nil || string(got) != "ping" {
		t.Errorf("got %q, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := to.ReceiveDatagram(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting in vain for a datagram: %v", err)
	}
}
