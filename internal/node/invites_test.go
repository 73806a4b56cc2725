package node

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
)

// TestSessionsHearOfTheLedger holds that onRevoked and onKicked are called within two seconds, and once more for sessions
// that were just beginning.
func TestSessionsHearOfTheLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invites")
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		open := func() *auth.Ledger {
			l, err := auth.OpenLedger(path, time.Now, log)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		server, command := open(), open()
		defer server.Close()
		defer command.Close()
		told := make(chan string, 10)
		n := &Node{log: log, ledger: server, onRevoked: func(ids []string) {
			for _, id := range ids {
				told <- id
			}
		}, onKicked: func(who auth.Kick) { told <- who.User + " of " + who.Room }}
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { n.watchInvites(ctx) })
		start := time.Now()
		for _, id := range []string{"a", "b", "a"} {
			if err := command.Revoke(id, start.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		for _, who := range []auth.Kick{{User: "app:u"}, {User: "app:u", Room: "standup"}} {
			if err := command.Kick(who); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{"a", "b", "app:u of ", "app:u of standup"}
		got := []string{<-told, <-told, <-told, <-told}
		if took := time.Since(start); took > 2*time.Second || !slices.Equal(got, want) {
			t.Errorf("told of %v after %v", got, took)
		}
		time.Sleep(10 * time.Second) // in the bubble's time
		cancel()
		watching.Wait()
		close(told)
		got = nil
		for id := range told {
			got = append(got, id)
		}
		if !slices.Equal(got, want) {
			t.Errorf("told again of %v", got)
		}
	})
}
