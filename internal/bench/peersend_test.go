//go:build linux

package bench

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// overCroc is croc, which relays every byte between networks.
const overCroc = "croc"

const crocModule = "github.com/schollz/croc/v10@v10.7.0"

// buildCroc compiles croc outside of this module, and returns the program.
func buildCroc(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "install", "-trimpath", crocModule)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", crocModule, err, out)
	}
	return filepath.Join(dir, "croc")
}

// hostProgram is a program that a test runs on a host.
type hostProgram struct {
	cmd    *exec.Cmd
	out    *bufio.Reader // its standard output
	ended  chan error
	stop   func()
	stderr *tail
}

// tail keeps what a program says at last, for a failure.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	if over := len(w.text) - 4<<10; over > 0 {
		w.text = w.text[over:]
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}

// startOn starts a program on a host, in a home folder of its own. The end of the test kills it.
func startOn(t *testing.T, host *netlab.Host, stdin io.Reader, env []string, name string, args ...string) *hostProgram {
	t.Helper()
	home := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	p := &hostProgram{cmd: host.Command(ctx, name, args...), ended: make(chan error, 1), stderr: &tail{}}
	p.cmd.Dir = home
	p.cmd.Env = append(os.Environ(), append(env, "HOME="+home, "XDG_CONFIG_HOME=", "CROC_CONFIG_DIR="+home)...)
	p.cmd.Stdin, p.cmd.Stderr = stdin, p.stderr
	p.cmd.WaitDelay = time.Second
	read, write, err := os.Pipe()
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	p.out, p.cmd.Stdout = bufio.NewReader(read), write
	err = p.cmd.Start()
	_ = write.Close()
	if err != nil {
		cancel()
		_ = read.Close()
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		p.ended <- p.cmd.Wait()
		close(done)
	}()
	p.stop = sync.OnceFunc(func() { cancel(); <-done; _ = read.Close() })
	t.Cleanup(p.stop)
	return p
}

// exits waits for the end of a program that must succeed.
func (p *hostProgram) exits(t *testing.T) {
	t.Helper()
	select {
	case err := <-p.ended:
		if err != nil {
			t.Fatalf("%s: %v; it said %s", filepath.Base(p.cmd.Path), err, p.stderr)
		}
	case <-time.After(transferTime):
		t.Fatalf("%v does not end; it said %s", p.cmd.Args, p.stderr)
	}
}

// transferTime bounds one transfer of a file.
const transferTime = 3 * time.Minute

// find reads the standard output of a program until it fits, and returns what is in the parentheses of the pattern.
func (p *hostProgram) find(t *testing.T, pattern string) string {
	t.Helper()
	fits := regexp.MustCompile(pattern)
	for {
		line, err := p.out.ReadString('\n')
		if m := fits.FindStringSubmatch(line); m != nil {
			return m[1]
		}
		if err != nil {
			t.Fatalf("%v ended before it said %s; it said %s", p.cmd.Args, pattern, p.stderr)
		}
	}
}

// fileOf makes a file of so many random bytes.
func fileOf(t *testing.T, size int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	f, err := os.Create(name)
	if err == nil {
		_, err = io.CopyN(f, rand.Reader, size)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// sameFile checks that a file has arrived whole.
func sameFile(t *testing.T, sent, received string) {
	t.Helper()
	if out, err := exec.Command("cmp", sent, received).CombinedOutput(); err != nil {
		t.Fatalf("the file that came is another one: %v %s", err, out)
	}
}

// sendLab is where files go from one host to another, by our server or by croc's relay, which is on the server's host.
type sendLab struct {
	peerLab
	server     *netlab.Host
	url, roots string
}

func newSendLab(t *testing.T) sendLab {
	t.Helper()
	return sendLab{peerLab: newPeerLab(t, netlab.Public)}
}

// serve starts our server. Ways, if there are any, are what is between it and everybody else.
func (n *sendLab) serve(t *testing.T, ways ...netlab.Way) {
	t.Helper()
	n.server = n.lab.Public("server")
	for _, way := range ways {
		n.lab.AddHop(n.server, way, way)
	}
	n.url, n.roots = startPeerServerOn(t, n.lab, n.server)
}

// code starts a sender, and returns it with its code.
func (n sendLab) code(t *testing.T, file string, flags ...string) (*hostProgram, string) {
	t.Helper()
	args := append([]string{"send", file, "--server", n.url, "-q"}, flags...)
	p := startOn(t, n.sender, nil, []string{"SSL_CERT_FILE=" + n.roots}, turnpike, args...)
	return p, p.find(t, `^ *code: (\S+)`)
}

// send sends a file with turnpike, and returns how long the receiver took for it, from its start to its end.
func (n sendLab) send(t *testing.T, file string, flags ...string) time.Duration {
	t.Helper()
	sender, code := n.code(t, file, flags...)
	dir := t.TempDir()
	args := append([]string{"receive", "--server", n.url, "--output", dir, "--yes", "-q"}, flags...)
	begin := monotonic()
	receiver := startOn(t, n.receiver, nil, []string{"SSL_CERT_FILE=" + n.roots, "TURNPIKE_CODE=" + code}, turnpike, args...)
	receiver.exits(t)
	took := monotonic() - begin
	sender.exits(t)
	sameFile(t, file, filepath.Join(dir, filepath.Base(file)))
	return took
}

// croc sends a file with croc, likewise. Its relay is on a host of its own, as between two networks.
func (n sendLab) croc(t *testing.T, croc, file string, flags ...string) time.Duration {
	t.Helper()
	relay := n.lab.Public("relay")
	startOn(t, relay, nil, nil, croc, "relay")
	n.lab.AddName("croc.schollz.com", relay) // else each start waits for a name server
	n.lab.AddName6("croc6.schollz.com", relay)
	awaitPort(t, relay, 9009)
	env := []string{"CROC_SECRET=7321-crossover-clockwork"}
	at := relay.Addr().String() + ":9009"
	global := append([]string{"--relay", at, "--ignore-stdin", "--disable-clipboard"}, flags...)
	sender := startOn(t, n.sender, nil, env, croc, append(slices.Clone(global), "send", "--no-local", file)...)
	sender.says(t, "On the other computer")
	dir := t.TempDir()
	begin := monotonic()
	receiver := startOn(t, n.receiver, nil, env, croc, append(global, "--yes", "--overwrite", "--out", dir)...)
	receiver.exits(t)
	took := monotonic() - begin
	sender.exits(t)
	sameFile(t, file, filepath.Join(dir, filepath.Base(file)))
	return took
}

// awaitPort waits until somebody listens on a TCP port of a host.
func awaitPort(t *testing.T, host *netlab.Host, port uint16) {
	t.Helper()
	for begin := time.Now(); ; {
		conn, err := host.DialTCP(netip.AddrPortFrom(host.Addr(), port), time.Second)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Since(begin) > startTime {
			t.Fatalf("nobody listens on port %d: %v", port, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// says waits until a program has said something on standard error.
func (p *hostProgram) says(t *testing.T, text string) {
	t.Helper()
	for begin := time.Now(); !strings.Contains(p.stderr.String(), text); {
		select {
		case err := <-p.ended:
			t.Fatalf("%v ended: %v; it said %s", p.cmd.Args, err, p.stderr)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Since(begin) > startTime {
			t.Fatalf("%v does not say %q; it says %s", p.cmd.Args, text, p.stderr)
		}
	}
}

// measureSendLine measures files across a line that loses packets.
func (b *peerBench) measureSendLine(t *testing.T, figure string, loss float64, size int64, pair int) {
	n := newSendLab(t)
	way := netlab.Way{Delay: b.trip / 2, Loss: loss, Rate: b.rate, Queue: int(float64(b.rate) / 8 * b.trip.Seconds()), Seed: uint64(2 * pair)}
	back := way
	back.Seed++
	n.lab.AddHop(n.sender, way, back)
	n.serve(t)
	b.recordFile(t, figure, overQUIC, size, n.send(t, fileOf(t, size)))
}

// measureSend measures files where nothing is in between. croc relays them, and so the same measurement is in both rows. The files have random
// bytes: without its compression, which people must turn off, croc is faster.
func (b *peerBench) measureSend(t *testing.T, name, croc string) {
	n := newSendLab(t)
	n.singleSegments(t)
	file := fileOf(t, b.file)
	if name == overCroc {
		took := n.croc(t, croc, file)
		b.recordFile(t, "send, direct", name, b.file, took)
		b.recordFile(t, "send, relayed", name, b.file, took)
		n = newSendLab(t)
		n.singleSegments(t)
		b.recordFile(t, "send, uncompressed", name, b.file, n.croc(t, croc, file, "--no-compress"))
		return
	}
	n.serve(t)
	took := n.send(t, file)
	b.recordFile(t, "send, direct", name, b.file, took)
	b.recordFile(t, "send, uncompressed", name, b.file, took)
	b.recordFile(t, "send, relayed", name, b.file, n.send(t, file, "--relayed"))
}

func (b *peerBench) recordFile(t *testing.T, figure, name string, size int64, took time.Duration) {
	t.Helper()
	rate := float64(size) / 1e6 / took.Seconds()
	t.Logf("%s, %s: %d bytes in %v, %.2f MB/s", name, figure, size, took, rate)
	b.record(figure, name, rate)
}

// measureCode measures from the start of a receiver, which has the code at once, to the first byte of the file. Each of the three hosts is
// as far from both others.
func (b *peerBench) measureCode(t *testing.T) {
	n := newSendLab(t)
	way := netlab.Way{Delay: b.trip / 4}
	n.lab.AddHop(n.sender, way, way)
	n.lab.AddHop(n.receiver, way, way)
	n.serve(t, way)
	sender, code := n.code(t, fileOf(t, 1000))
	begin := monotonic()
	receiver := startOn(t, n.receiver, strings.NewReader(code+"\n"), []string{"SSL_CERT_FILE=" + n.roots}, turnpike,
		"receive", "--server", n.url, "--output", "-", "--yes", "-q")
	if _, err := receiver.out.ReadByte(); err != nil {
		t.Fatalf("nothing came: %v; the receiver said %s; the sender said %s", err, receiver.stderr, sender.stderr)
	}
	took := monotonic() - begin
	t.Logf("%v from the code to the first byte", took)
	b.record("code", overQUIC, took.Seconds())
	sender.exits(t)
}
