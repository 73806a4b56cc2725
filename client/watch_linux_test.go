package client

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// inNamespace calls fn on a thread with a network of its own, which ends with it, or skips the test.
func inNamespace(t *testing.T, fn func() error) {
	t.Helper()
	skip := func(why string) {
		if os.Getenv("CI") != "" {
			t.Fatal(why + ", and CI must not skip this test")
		}
		t.Skip(why)
	}
	if _, err := exec.LookPath("ip"); err != nil {
		skip("needs ip(8), to change addresses")
	}
	errNoRight := errors.New("needs root, to make a network namespace")
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // without unlocking: the thread ends with the goroutine
		if syscall.Unshare(syscall.CLONE_NEWNET) != nil {
			done <- errNoRight
			return
		}
		done <- fn()
	}()
	if err := <-done; errors.Is(err, errNoRight) {
		skip(err.Error())
	} else if err != nil {
		t.Error(err)
	}
}

// TestNetworkNews: the kernel's news come when an address or a route does, and end with the watch.
func TestNetworkNews(t *testing.T) {
	inNamespace(t, func() error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		news, stop := networkNews(ctx)
		if news == nil {
			return errors.New("the kernel lets nobody listen")
		}
		before := surroundings()
		for _, change := range [][]string{
			{"link", "set", "lo", "up"},
			{"link", "add", "outside", "type", "veth", "peer", "name", "inside"},
			{"addr", "add", "11.22.33.44/24", "dev", "outside"},
			{"link", "set", "outside", "up"},
			{"route", "add", "default", "via", "11.22.33.1", "dev", "outside"},
		} {
			if out, err := exec.Command("ip", change...).CombinedOutput(); err != nil {
				return errors.New(string(out))
			}
			select {
			case <-news:
			case <-time.After(10 * time.Second):
				t.Errorf("ip %v was not told", change)
			}
		}
		if now := surroundings(); now == before {
			t.Errorf("the surroundings are %q, as before", now)
		}
		stop()
		for {
			if _, ok := <-news; !ok {
				return nil
			}
		}
	})
}

// TestWatchNetwork: a change of an address is told.
func TestWatchNetwork(t *testing.T) {
	inNamespace(t, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if out, err := exec.Command("sh", "-c", "ip link set lo up; ip link add outside type veth peer name inside").CombinedOutput(); err != nil {
			return errors.New(string(out))
		}
		// A child of this thread changes the address, since other threads have the network of the machine.
		changes := exec.Command("sh", "-c", "while read verb; do ip addr $verb 11.22.33.44/24 dev outside; done")
		orders, err := changes.StdinPipe()
		if err != nil {
			return err
		}
		if err := changes.Start(); err != nil {
			return err
		}
		ended := make(chan struct{})
		go func() { // again and again, since nobody knows when the watch has begun
			defer close(ended)
			ticker := time.NewTicker(500 * time.Millisecond)
			defer ticker.Stop()
			for n := 0; ; n++ {
				select {
				case <-ticker.C:
					_, _ = io.WriteString(orders, []string{"add\n", "del\n"}[n%2])
				case <-ctx.Done():
					_ = orders.Close()
					return
				}
			}
		}()
		told := false
		watchNetwork(ctx, func() {
			told = true
			cancel()
		})
		<-ended
		if err := changes.Wait(); err != nil {
			t.Error(err)
		}
		if !told {
			t.Error("no change was told")
		}
		return nil
	})
}
