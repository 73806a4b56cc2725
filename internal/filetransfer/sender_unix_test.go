//go:build unix

package filetransfer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestList: the order is that of the arguments, folders come before what is in them, and what cannot be sent is left out with a reason.
func TestList(t *testing.T) {
	from := t.TempDir()
	write(t, filepath.Join(from, "z.txt"), []byte("z"))
	write(t, filepath.Join(from, "d", "b", "x"), nil)
	write(t, filepath.Join(from, "d", "a"), nil)
	write(t, filepath.Join(from, "d", "new\nline"), nil)
	write(t, filepath.Join(from, "d", ".a.turnpike-part"), nil)
	for name, target := range map[string]string{"d/link": "a", "d/up": "..", "d/gone": "nowhere", "named": "z.txt"} {
		if err := os.Symlink(target, filepath.Join(from, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(from, "d", "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	skipped := map[string]string{}
	s := newSender(t, SenderOptions{Skipped: func(p, why string) { skipped[p] = why }}, filepath.Join(from, "z.txt"), filepath.Join(from, "d")+"/", filepath.Join(from, "named"))
	var got []string
	for _, e := range s.Entries() {
		got = append(got, e.Path)
	}
	if want := "[z.txt d d/a d/b d/b/x named]"; fmt.Sprint(got) != want {
		t.Errorf("the list is %v, and should be %s", got, want)
	}
	for p, why := range map[string]string{"d/link": "link", "d/up": "link", "d/gone": "link", "d/pipe": "pipe", "d/new\nline": "control"} {
		if !strings.Contains(skipped[p], why) {
			t.Errorf("%q is left out because %q", p, skipped[p])
		}
	}
	if len(skipped) != 5 {
		t.Errorf("left out are %v", skipped)
	}
}

// TestNoList: what cannot be sent at all is an error that says why.
func TestNoList(t *testing.T) {
	from := t.TempDir()
	write(t, filepath.Join(from, "a"), nil)
	write(t, filepath.Join(from, "d", "a"), nil)
	if err := syscall.Mkfifo(filepath.Join(from, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, paths := range map[string][]string{
		"no such file":         {filepath.Join(from, "nowhere")},
		"would both arrive":    {filepath.Join(from, "a"), filepath.Join(from, "d", "a")},
		"neither a file nor a": {filepath.Join(from, "pipe")},
		"no name":              {"/"},
		"nothing to send":      {},
	} {
		if _, err := NewSender(paths, SenderOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, and should say %q", paths, err, want)
		}
	}
	if _, err := NewSender(nil, SenderOptions{Stdin: strings.NewReader(""), StdinName: "../x"}); err == nil {
		t.Error("standard input has a name that climbs")
	}
}

// TestChanged: a file that changes after it was listed does not arrive, whatever it became, and the others do.
func TestChanged(t *testing.T) {
	for name, change := range map[string]func(p string) error{
		"longer":  func(p string) error { return os.WriteFile(p, make([]byte, 10*blockSize), 0o600) },
		"shorter": func(p string) error { return os.Truncate(p, 1) },
		"other":   func(p string) error { return os.WriteFile(p, make([]byte, 9*blockSize), 0o600) },
		"gone":    os.Remove,
		"a folder": func(p string) error {
			return errors.Join(os.Remove(p), os.Mkdir(p, 0o755))
		},
		"a pipe": func(p string) error { return errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o600)) },
		"a link": func(p string) error { return errors.Join(os.Remove(p), os.Symlink("/etc/passwd", p)) },
	} {
		for _, when := range []string{"before", "within"} {
			t.Run(name+" "+when, func(t *testing.T) {
				from, to := t.TempDir(), t.TempDir()
				p := filepath.Join(from, "top", "a")
				write(t, p, randomBytes(1, 9*blockSize))
				write(t, filepath.Join(from, "top", "b"), randomBytes(2, 9*blockSize))
				if err := os.Chtimes(p, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
					t.Fatal(err)
				}
				s := newSender(t, SenderOptions{}, filepath.Join(from, "top"))
				n := newNet()
				changed := false
				n.after, n.then = 3*blockSize, func() {
					if !changed {
						changed = true
						if err := change(p); err != nil {
							t.Error(err)
						}
					}
				}
				if when == "before" {
					n.then()
				}
				done := transfer(t, s, n, ReceiverOptions{Dir: to})
				if when == "within" && (name == "gone" || name == "a folder" || name == "a pipe" || name == "a link") && done.err == nil && done.result.Files == 2 {
					return // what was open was read to its end
				}
				if done.err != nil || done.sent != nil || done.result.Files != 1 || len(done.result.Left) != 1 || done.result.Left[0].Path != "top/a" {
					t.Fatalf("receiver %v %+v, sender %v", done.err, done.result, done.sent)
				}
				if failed, _ := done.session.Left(); failed != 1 {
					t.Errorf("the sender knows of %d files that failed", failed)
				}
				if _, err := os.Stat(filepath.Join(to, "top", "a")); !os.IsNotExist(err) {
					t.Errorf("a file that changed has its name: %v", err)
				}
			})
		}
	}
}
