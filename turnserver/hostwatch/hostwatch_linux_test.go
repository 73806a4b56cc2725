package hostwatch

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// inNamespace calls fn on a thread with a network of its own, which ends with it, or skips the test.
func inNamespace(t *testing.T, fn func() error) {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		skip(t, "needs ip(8), to change addresses")
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
		skip(t, err.Error())
	} else if err != nil {
		t.Error(err)
	}
}

// skip skips the test, unless CI runs it.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why + ", and CI must not skip this test")
	}
	t.Skip(why)
}

// TestChanges: an address that comes or goes is told, once each, and nothing is told without a change.
func TestChanges(t *testing.T) {
	inNamespace(t, func() error {
		w, err := New(func(err error) { t.Error("the watcher ended: ", err) })
		if err != nil {
			return err
		}
		defer w.Close()
		for _, change := range [][]string{
			{"link", "set", "lo", "up"},
			{"addr", "add", "11.22.33.44/24", "dev", "lo"},
			{"addr", "del", "11.22.33.44/24", "dev", "lo"},
		} {
			cmd := exec.Command("ip", change...)
			if out, err := cmd.CombinedOutput(); err != nil {
				return errors.New(string(out))
			}
			select {
			case <-w.Changes():
			case <-time.After(patience):
				t.Errorf("ip %v was not told", change)
			}
		}
		select {
		case <-w.Changes():
			t.Error("told of one change too many")
		default:
		}
		w.Close()
		return nil
	})
}
