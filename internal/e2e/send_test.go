//go:build linux

package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.org/turnpike/internal/netlab"
)

// sendLab is a server, and two machines that nothing reaches from outside. Only the sender has an invite.
type sendLab struct {
	lab            *netlab.Lab
	s              *server
	config         string
	ca             *authority
	sender         *terminal
	senderHost     *netlab.Host
	receiverNumber int
}

func newSendLab(t *testing.T, kind netlab.Kind) *sendLab {
	t.Helper()
	n := &sendLab{lab: netlab.New(t)}
	n.s, n.config, n.ca = startServer(t, n.lab)
	n.senderHost = n.lab.Behind(kind, "laptop")
	n.sender = openTerminal(t, n.senderHost, n.ca, n.s.link(t, n.config, "home", "--role", "member"))
	return n
}

// receiver returns a machine without an account.
func (n *sendLab) receiver(t *testing.T, kind netlab.Kind) *terminal {
	t.Helper()
	n.receiverNumber++
	term := openTerminal(t, n.lab.Behind(kind, fmt.Sprint("receiver", n.receiverNumber)), n.ca, "")
	term.env = append(term.env, "TURNPIKE_SERVER="+publicURL)
	return term
}

// machine has the sender's host join the server, and returns its shell.
func (n *sendLab) machine(t *testing.T, name string) *terminal {
	t.Helper()
	term := openTerminal(t, n.senderHost, n.ca, "")
	link := n.s.link(t, n.config, "home", "--role", "member")
	term.start(t, strings.NewReader(link), "join", "--name", name).exits(t, 0)
	return term
}

// slow puts a line of so many Mbit/s before the sender, so that something can happen in the middle of a transfer.
func (n *sendLab) slow(mbits int64) {
	way := netlab.Way{Delay: 2 * time.Millisecond, Rate: mbits * 1_000_000, Queue: 256 << 10}
	n.lab.AddHop(n.senderHost, way, way)
}

// send starts a sender, and returns it with its code.
func (term *terminal) send(t *testing.T, args ...string) (*verb, string) {
	t.Helper()
	v := term.start(t, nil, append([]string{"send", "--name", "laptop"}, args...)...)
	return v, v.code(t)
}

// code waits for the code that a sender prints.
func (v *verb) code(t *testing.T) string {
	t.Helper()
	var code string
	v.stdout.await(30*time.Second, func(out string) bool {
		if m := regexp.MustCompile(`(?m)^ *code: (\S+)$`).FindStringSubmatch(out); m != nil {
			code = m[1]
		}
		return code != ""
	})
	if code == "" {
		t.Fatalf("send prints no code, but %q and %q", v.stdout.String(), v.stderr.String())
	}
	return code
}

// receive starts a receiver with a code.
func (term *terminal) receive(t *testing.T, code string, args ...string) *verb {
	t.Helper()
	with := *term
	with.env = append(with.env[:len(with.env):len(with.env)], "TURNPIKE_CODE="+code)
	return with.start(t, nil, append([]string{"receive", "--yes"}, args...)...)
}

// file makes a file of random bytes in the person's folder, and returns its SHA-256.
func (term *terminal) file(t *testing.T, name string, size int64) [32]byte {
	t.Helper()
	path := filepath.Join(term.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, sum), rand.Reader, size)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return [32]byte(sum.Sum(nil))
}

// has checks that a file has arrived with all its bytes.
func (term *terminal) has(t *testing.T, name string, want [32]byte) {
	t.Helper()
	f, err := os.Open(filepath.Join(term.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Errorf("%s has other bytes", name)
	}
	term.hasNothingUnfinished(t)
}

// lacks checks that there is no file of that name: not even a part of it.
func (term *terminal) lacks(t *testing.T, name string) {
	t.Helper()
	if _, err := os.Lstat(filepath.Join(term.dir, name)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a %s: %v", name, err)
	}
}

func (term *terminal) hasNothingUnfinished(t *testing.T) {
	t.Helper()
	_ = filepath.WalkDir(term.dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".turnpike-part") {
			t.Errorf("%s is left", path)
		}
		return nil
	})
}

// arrived returns how many bytes of a file that comes are on the disk.
func (term *terminal) arrived(name string) int64 {
	info, err := os.Stat(filepath.Join(term.dir, "."+name+".turnpike-part"))
	if err != nil {
		return 0
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

// hasPart waits until so many bytes of a file have arrived, and fails if all have.
func (term *terminal) hasPart(t *testing.T, name string, size int64) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); term.arrived(name) < size; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes of %s have arrived after a minute, not %d", term.arrived(name), name, size)
		}
		if _, err := os.Stat(filepath.Join(term.dir, name)); err == nil {
			t.Fatalf("%s was complete too soon for this test", name)
		}
	}
}

// received returns how many bytes a host has received.
func received(t *testing.T, host *netlab.Host) (n int64) {
	t.Helper()
	ctx, cancel := within(t, 20*time.Second)
	defer cancel()
	text := stdout(t, host.Command(ctx, "cat", "/sys/class/net/eth0/statistics/rx_bytes"))
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSend sends a folder and a file across each kind of NATs, to somebody without an account.
func TestSend(t *testing.T) {
	need(t)
	t.Parallel()
	n := newSendLab(t, netlab.Symmetric)
	for _, test := range []struct {
		to   netlab.Kind
		path string
	}{
		{netlab.PortRestricted, `direct udp |relayed by (turn\.lab|the other side) over udp, `},
		{netlab.Symmetric, `relayed by (turn\.lab|the other side) over udp, `},
		{netlab.UDPBlocked, `relayed by turn\.lab over tcp, `},
	} {
		to := n.receiver(t, test.to)
		t.Run(test.to.String(), func(t *testing.T) {
			folder := strings.ReplaceAll(test.to.String(), " ", "-")
			cat := n.sender.file(t, folder+"/photos/cat.jpg", 3<<20+17)
			letter := n.sender.file(t, folder+"/letter.pdf", 5)
			sending, code := n.sender.send(t, folder+"/photos", folder+"/letter.pdf")
			receiving := to.receive(t, code)
			receiving.exits(t, 0)
			sending.exits(t, 0)
			to.has(t, "photos/cat.jpg", cat)
			to.has(t, "letter.pdf", letter)
			if said := receiving.stderr.String(); !regexp.MustCompile("(?m)^laptop: (" + test.path + ")").MatchString(said) {
				t.Errorf("it said %q", said)
			}
			used := to.receive(t, code) // everybody has come whom it was for
			used.exits(t, 1)
			used.says(t, "turnpike: there is no code with the number ")
		})
	}
}

// TestSendGoesOn changes the sender's address, and kills the server, in the middle of a transfer. In its long form it sends 1 GB.
func TestSendGoesOn(t *testing.T) {
	need(t)
	t.Parallel()
	size, rate := int64(64<<20), int64(160)
	if matrix() {
		size, rate = 1<<30, 800
	}
	for _, test := range []struct {
		name string
		hurt func(t *testing.T, n *sendLab)
	}{
		{"address changes", func(_ *testing.T, n *sendLab) { n.lab.Readdress(n.senderHost) }},
		{"server restarts", func(t *testing.T, n *sendLab) { n.s.restart(t) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newSendLab(t, netlab.Symmetric)
			n.slow(rate)
			to := n.receiver(t, netlab.Symmetric)
			sum := n.sender.file(t, "big", size)
			t.Parallel()
			sending, code := n.sender.send(t, "big")
			receiving := to.receive(t, code)
			to.hasPart(t, "big", size/4)
			test.hurt(t, n)
			receiving.exitsWithin(t, 4*time.Minute, 0) // a machine with other tests on it sends 1 GB in more than one
			sending.exits(t, 0)
			to.has(t, "big", sum)
			if out := receiving.stdout.String(); !strings.Contains(out, fmt.Sprintf("%x", sum)) {
				t.Errorf("it does not tell the SHA-256: %q", out)
			}
		})
	}
}

// TestSendToThree gives one code to three receivers, one of whom goes away in the middle and comes again.
func TestSendToThree(t *testing.T) {
	need(t)
	t.Parallel()
	n := newSendLab(t, netlab.PortRestricted)
	n.slow(200)
	const size = 16 << 20
	sum := n.sender.file(t, "big", size)
	sending, code := n.sender.send(t, "--to", "3", "big")
	var all []*terminal
	var verbs []*verb
	for range 3 {
		to := n.receiver(t, netlab.PortRestricted)
		all = append(all, to)
		verbs = append(verbs, to.receive(t, code))
	}
	all[2].hasPart(t, "big", size/8)
	verbs[2].interrupt(t)
	verbs[2].exits(t, 1)
	verbs[2].says(t, "turnpike: stopped")
	again := all[2].receiveOnceItMay(t, code)
	for _, v := range []*verb{verbs[0], verbs[1], again, sending} {
		v.exits(t, 0)
	}
	for _, to := range all {
		to.has(t, "big", sum)
	}
}

// receiveOnceItMay starts a receiver again and again until the sender has noticed that the former one is gone.
func (term *terminal) receiveOnceItMay(t *testing.T, code string, args ...string) *verb {
	t.Helper()
	const used = "have come"
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		v := term.receive(t, code, args...)
		v.stderr.await(20*time.Second, func(said string) bool { return strings.Contains(said, used) || strings.Contains(said, "laptop sends ") })
		if !strings.Contains(v.stderr.String(), used) {
			return v
		}
		v.exits(t, 1)
		if time.Now().After(end) {
			t.Fatalf("it may not come again: %s", v.stderr.String())
		}
	}
}

// TestReceiverIsKilled: a receiver that is started again asks for what it lacks alone.
func TestReceiverIsKilled(t *testing.T) {
	need(t)
	t.Parallel()
	n := newSendLab(t, netlab.PortRestricted)
	n.slow(160)
	const size, block = 48 << 20, 1 << 20
	to := n.receiver(t, netlab.PortRestricted)
	sum := n.sender.file(t, "big", size)
	sending, code := n.sender.send(t, "big")
	first := to.receive(t, code)
	to.hasPart(t, "big", size/2)
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-first.ended
	to.lacks(t, "big")
	there, before := to.arrived("big"), received(t, to.host)
	again := to.receiveOnceItMay(t, code)
	again.exits(t, 0)
	sending.exits(t, 0)
	to.has(t, "big", sum)
	came := received(t, to.host) - before
	if most := (size-there)*105/100 + block + 512<<10; came > most { // headers, hashes, and the way in
		t.Errorf("%d bytes of %d were there, and %d came, more than %d", there, size, came, most)
	}
}

// TestSenderEnds: the receiver says so, keeps what it has without showing half a file, and goes on with a new code.
func TestSenderEnds(t *testing.T) {
	need(t)
	t.Parallel()
	for _, test := range []struct {
		name string
		end  func(t *testing.T, n *sendLab, v *verb)
		says string
	}{
		{"Ctrl-C", func(t *testing.T, _ *sendLab, v *verb) { v.interrupt(t) }, "turnpike: laptop has "},
		{"killed", func(t *testing.T, _ *sendLab, v *verb) { _ = v.cmd.Process.Kill() }, "turnpike: laptop is gone, and has not come back within 30s"},
		{"revoked", func(t *testing.T, n *sendLab, _ *verb) {
			n.s.run(t, "machines", "--config", n.config, "--revoke", "laptop")
		}, "turnpike: the server has thrown laptop out before the end"},
		{"thrown out", func(t *testing.T, n *sendLab, _ *verb) { n.throwOut(t, "laptop") }, "turnpike: the server has thrown laptop out before the end"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newSendLab(t, netlab.PortRestricted)
			n.slow(160)
			if test.name == "revoked" {
				n.sender = n.machine(t, "laptop")
			}
			t.Parallel()
			const size = 32 << 20
			to := n.receiver(t, netlab.PortRestricted)
			sum := n.sender.file(t, "big", size)
			sending, code := n.sender.send(t, "big")
			receiving := to.receive(t, code)
			to.hasPart(t, "big", size/2)
			test.end(t, n, sending)
			<-sending.ended
			if test.name == "killed" && !receiving.stderr.await(25*time.Second, func(said string) bool {
				return strings.Contains(said, "laptop is gone; waiting for it to come back")
			}) {
				t.Errorf("before the server has given the sender up, it says nothing but %q", receiving.stderr.String())
			}
			receiving.exitsWithin(t, 2*time.Minute, 1) // the server gives a session half a minute to come back, and the receiver as much again
			receiving.says(t, test.says)
			receiving.says(t, "; what has come stays, and the next transfer into the same folder goes on from there")
			to.lacks(t, "big")
			if to.arrived("big") < size/2 {
				t.Error("what had arrived is gone")
			}
			n.sender = openTerminal(t, n.senderHost, n.ca, n.s.link(t, n.config, "home", "--role", "member"))
			if err := os.Rename(filepath.Join(sending.cmd.Dir, "big"), filepath.Join(n.sender.dir, "big")); err != nil {
				t.Fatal(err)
			}
			again, code := n.sender.send(t, "big")
			to.receive(t, code).exits(t, 0)
			again.exits(t, 0)
			to.has(t, "big", sum)
		})
	}
}

// throwOut ends the sessions of a user by name.
func (n *sendLab) throwOut(t *testing.T, name string) {
	t.Helper()
	for line := range strings.Lines(n.s.run(t, "users", "--config", n.config)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == name {
			n.s.run(t, "kick", "--config", n.config, "--user", fields[0])
			return
		}
	}
	t.Fatalf("%s is not there", name)
}

// TestWrongWords: a wrong guess ends the code for everybody, and both sides say so.
func TestWrongWords(t *testing.T) {
	need(t)
	t.Parallel()
	n := newSendLab(t, netlab.PortRestricted)
	n.sender.file(t, "letter.pdf", 1000)
	sending, code := n.sender.send(t, "letter.pdf")
	slot, words, _ := strings.Cut(code, "-")
	wrong := slot + "-adroitness-aardvark"
	if words == "adroitness-aardvark" {
		wrong = slot + "-yucatan-zulu"
	}
	to := n.receiver(t, netlab.PortRestricted)
	guessing := to.receive(t, wrong)
	guessing.exits(t, 1)
	guessing.says(t, "turnpike: these are not the words of laptop, or somebody is in between; the code is burnt")
	sending.exits(t, 1)
	sending.says(t, "had other words, or somebody is in between; the code is burnt")
	right := n.receiver(t, netlab.PortRestricted).receive(t, code)
	right.exits(t, 1)
	right.says(t, "turnpike: there is no code with the number "+slot)
	to.lacks(t, "letter.pdf")
}

// TestReceiveFails: where nothing can be written, both sides say why, and no half of a file has a name.
func TestReceiveFails(t *testing.T) {
	need(t)
	t.Parallel()
	n := newSendLab(t, netlab.PortRestricted)
	n.sender.file(t, "big", 6<<20)
	for _, test := range []struct {
		name, options string
		flags         uintptr
		says          string
	}{
		{"disk full", "size=2m", 0, "big: the disk is full"},
		{"read-only folder", "size=16m", unix.MS_RDONLY, "read-only file system"},
	} {
		t.Run(test.name, func(t *testing.T) {
			to := n.receiver(t, netlab.PortRestricted)
			dir := filepath.Join(to.dir, "in")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("tmpfs", dir, "tmpfs", test.flags, test.options); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
			sending, code := n.sender.send(t, "big")
			receiving := to.receive(t, code, "--output", "in")
			receiving.exits(t, 1)
			receiving.says(t, test.says)
			to.lacks(t, "in/big")
			sending.says(t, test.says)
			sending.says(t, "it may come again with the same code")
			sending.interrupt(t)
			sending.exits(t, 1)
		})
	}
}
