//go:build linux

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// terminal is a person's shell on a host: the variables that its commands have.
type terminal struct {
	host *netlab.Host
	env  []string
	dir  string
}

// openTerminal returns a shell in which link is the invite.
func openTerminal(t *testing.T, host *netlab.Host, ca *authority, link string) *terminal {
	home := t.TempDir()
	env := append(os.Environ(), "SSL_CERT_FILE="+ca.caFile, "HOME="+home, "XDG_CONFIG_HOME=", "TURNPIKE_INVITE="+link)
	return &terminal{host, env, home}
}

// A verb is one running command of a person.
type verb struct {
	cmd            *exec.Cmd
	stdout, stderr output
	ended          chan error
}

// start starts turnpike with args. The end of t kills it.
func (term *terminal) start(t *testing.T, stdin io.Reader, args ...string) *verb {
	t.Helper()
	return term.run(t, stdin, append([]string{turnpike}, args...)...)
}

// run is start for any program.
func (term *terminal) run(t *testing.T, stdin io.Reader, args ...string) *verb {
	t.Helper()
	patience := 2 * time.Minute
	if matrix() {
		patience = 6 * time.Minute // what is sent is more
	}
	ctx, cancel := within(t, patience)
	v := &verb{cmd: term.host.Command(ctx, args[0], args[1:]...), ended: make(chan error, 1)}
	v.cmd.Dir, v.cmd.Env = term.dir, term.env
	v.cmd.Stdin, v.cmd.Stdout, v.cmd.Stderr = stdin, &v.stdout, &v.stderr
	v.cmd.WaitDelay = time.Second
	if err := v.cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		v.ended <- v.cmd.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if t.Failed() {
			out := v.stdout.String()
			t.Logf("%s:\n%.1000q\n%s", strings.Join(args, " "), out, v.stderr.String())
		}
	})
	return v
}

// says waits until v has printed text on stderr.
func (v *verb) says(t *testing.T, text string) {
	t.Helper()
	if !v.stderr.await(30*time.Second, func(said string) bool { return strings.Contains(said, text) }) {
		t.Fatalf("%s does not say %q but %q", strings.Join(v.cmd.Args, " "), text, v.stderr.String())
	}
}

// exits waits for the end of v, and checks its exit status.
func (v *verb) exits(t *testing.T, want int) {
	t.Helper()
	v.exitsWithin(t, time.Minute, want)
}

func (v *verb) exitsWithin(t *testing.T, most time.Duration, want int) {
	t.Helper()
	select {
	case <-v.ended:
	case <-time.After(most):
		t.Fatalf("%s did not end; it said %q", strings.Join(v.cmd.Args, " "), v.stderr.String())
	}
	if got := v.cmd.ProcessState.ExitCode(); got != want {
		t.Fatalf("%s ended with status %d, want %d; it said %q", strings.Join(v.cmd.Args, " "), got, want, v.stderr.String())
	}
}

func (v *verb) interrupt(t *testing.T) {
	t.Helper()
	if err := v.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

// TestPipe carries bytes from one command line to another, both ways, by the best path that each pair of NATs allows.
func TestPipe(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	for i, test := range []struct {
		from, to netlab.Kind
		path     string
	}{
		{netlab.PortRestricted, netlab.PortRestricted, "direct udp "},
		{netlab.Symmetric, netlab.Symmetric, `relayed by (turn\.lab|the other side) over udp, `},
		{netlab.UDPBlocked, netlab.Symmetric, `relayed by turn\.lab over tcp, `},
		{netlab.Only443, netlab.UDPBlocked, `relayed by turn\.lab over tls, `},
	} {
		nas := fmt.Sprint("nas", i) // names are unique on a server
		t.Run(test.from.String()+" to "+test.to.String(), func(t *testing.T) {
			room := strings.ReplaceAll(strings.ToLower(fmt.Sprintf("%s-%s", test.from, test.to)), " ", "-")
			link := s.link(t, config, room)
			far := openTerminal(t, lab.Behind(test.to, "to"+room), ca, link)
			near := openTerminal(t, lab.Behind(test.from, "from"+room), ca, link)
			t.Parallel()
			upward, downward := random(8<<20), random(1<<20)
			listening := far.start(t, bytes.NewReader(downward), "pipe", "--listen", "--name", nas)
			listening.says(t, "listens as "+nas+" in the room "+room)
			sending := near.start(t, bytes.NewReader(upward), "pipe", "--to", nas)
			sending.exits(t, 0)
			listening.exits(t, 0)
			if said := sending.stderr.String(); !regexp.MustCompile("(?m)^" + nas + ": " + test.path).MatchString(said) {
				t.Errorf("it said %q", said)
			}
			if got := listening.stdout.String(); got != string(upward) {
				t.Errorf("%d bytes of %d arrived, or others", len(got), len(upward))
			}
			if got := sending.stdout.String(); got != string(downward) {
				t.Errorf("%d bytes of %d came back, or others", len(got), len(downward))
			}
		})
	}
}

func random(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.Read(data) // never fails
	return data
}

// TestPipeGoesOn carries bytes while the server dies and comes back, and while the sender's network changes.
func TestPipeGoesOn(t *testing.T) {
	need(t)
	t.Parallel()
	for _, kind := range []netlab.Kind{netlab.PortRestricted, netlab.Symmetric} {
		for _, test := range []struct {
			name string
			hurt func(t *testing.T, lab *netlab.Lab, s *server, near *netlab.Host)
		}{
			{"server restarts", func(t *testing.T, _ *netlab.Lab, s *server, _ *netlab.Host) { s.restart(t) }},
			{"network changes", func(_ *testing.T, lab *netlab.Lab, _ *server, near *netlab.Host) { lab.Readdress(near) }},
		} {
			t.Run(kind.String()+", "+test.name, func(t *testing.T) {
				lab := netlab.New(t)
				s, config, ca := startServer(t, lab)
				link := s.link(t, config, "home")
				far := openTerminal(t, lab.Behind(kind, "far"), ca, link)
				near := openTerminal(t, lab.Behind(kind, "near"), ca, link)
				t.Parallel()
				listening := far.start(t, nil, "pipe", "--listen", "--name", "nas")
				listening.says(t, "listens as nas")
				stdin, file := pipeFile(t)
				sending := near.start(t, stdin, "pipe", "--to", "nas")
				sent := sha256.New()
				write := func(n int) {
					data := random(n)
					sent.Write(data)
					if _, err := file.Write(data); err != nil {
						t.Fatal(err)
					}
				}
				write(1 << 20)
				listening.receives(t, 1<<20)
				test.hurt(t, lab, s, near.host)
				write(1 << 20)
				listening.receives(t, 2<<20)
				write(1 << 20)
				_ = file.Close()
				sending.exits(t, 0)
				listening.exits(t, 0)
				if got := sha256.Sum256([]byte(listening.stdout.String())); !bytes.Equal(got[:], sent.Sum(nil)) {
					t.Errorf("other bytes arrived, %d of them", len(listening.stdout.String()))
				}
			})
		}
	}
}

// pipeFile returns the two ends of a pipe, for a command's standard input.
func pipeFile(t *testing.T) (stdin, file *os.File) {
	t.Helper()
	stdin, file, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = file.Close()
	})
	return stdin, file
}

// receives waits until v has printed so many bytes.
func (v *verb) receives(t *testing.T, size int) {
	t.Helper()
	if !v.stdout.await(60*time.Second, func(out string) bool { return len(out) >= size }) {
		t.Fatalf("%d bytes of %d arrived; the receiver said %q", len(v.stdout.String()), size, v.stderr.String())
	}
}

// TestPipeBreaks ends one side in the middle. The other says so, and what has arrived is not taken for all.
func TestPipeBreaks(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	for i, test := range []struct {
		signal syscall.Signal
		own    string // what the side that ends says itself
	}{
		{syscall.SIGINT, "turnpike: stopped"},
		{syscall.SIGKILL, ""},
	} {
		t.Run(test.signal.String(), func(t *testing.T) {
			nas, laptop := fmt.Sprint("nas", i), fmt.Sprint("laptop", i)
			link := s.link(t, config, nas)
			far := openTerminal(t, lab.Behind(netlab.PortRestricted, "far"+nas), ca, link)
			near := openTerminal(t, lab.Behind(netlab.PortRestricted, "near"+nas), ca, link)
			t.Parallel()
			listening := far.start(t, nil, "pipe", "--listen", "--name", nas)
			listening.says(t, "listens as "+nas)
			stdin, file := pipeFile(t)
			sending := near.start(t, stdin, "pipe", "--to", nas, "--name", laptop)
			if _, err := file.Write(random(1 << 20)); err != nil {
				t.Fatal(err)
			}
			listening.receives(t, 1<<20)
			if err := sending.cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			listening.exits(t, 1)
			listening.says(t, "turnpike: "+laptop+" has left before the end of the pipe")
			sending.says(t, test.own)
		})
	}
}

// TestPing holds that ping tells the truth about the path, also by its exit status.
func TestPing(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	for i, test := range []struct {
		kind   netlab.Kind
		args   []string
		path   string
		status int
	}{
		{netlab.PortRestricted, []string{"--until-direct"}, "direct udp ", 0},
		{netlab.Symmetric, []string{"--until-direct", "-c", "3", "--interval", "200ms"}, `relayed by (turn\.lab|the other side) over udp, `, 1},
		{netlab.Symmetric, []string{"-c", "3"}, `relayed by (turn\.lab|the other side) over udp, `, 0},
		{netlab.PortRestricted, []string{"-c", "2", "--relayed"}, `relayed by (turn\.lab|the other side) over udp, `, 0},
	} {
		nas := fmt.Sprint("nas", i)
		room := fmt.Sprint("room", i)
		t.Run(test.kind.String()+" "+strings.Join(test.args, " "), func(t *testing.T) {
			link := s.link(t, config, room)
			far := openTerminal(t, lab.Behind(test.kind, "far"+room), ca, link)
			near := openTerminal(t, lab.Behind(test.kind, "near"+room), ca, link)
			t.Parallel()
			answering := far.start(t, nil, "ping", "--name", nas)
			answering.says(t, "answers pings as "+nas)
			pinging := near.start(t, nil, append([]string{"ping", nas}, test.args...)...)
			pinging.exits(t, test.status)
			if out := pinging.stdout.String(); !regexp.MustCompile("(?m)^pong from "+nas+": "+test.path).MatchString(out) || !strings.Contains(out, "; answered: ") {
				t.Errorf("it printed %q", out)
			}
			answering.interrupt(t)
			answering.exits(t, 0)
		})
	}
}

// TestPipeSSH logs in to a real sshd behind a NAT by the ProxyCommand of README.
func TestPipeSSH(t *testing.T) {
	need(t, "ssh", "sshd", "ssh-keygen")
	t.Parallel()
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	link := s.link(t, config, "home")
	far := openTerminal(t, lab.Behind(netlab.Symmetric, "far"), ca, link)
	near := openTerminal(t, lab.Behind(netlab.Symmetric, "near"), ca, link)
	serveSSH(t, far, near)
	listening := far.start(t, nil, "pipe", "--listen", "--allow", "22", "--name", "nas")
	listening.says(t, "listens as nas in the room home, for TCP 22")

	ctx, cancel := within(t, time.Minute)
	defer cancel()
	file := random(4 << 20)
	cmd := near.host.Command(ctx, "ssh", "-F", "none", "-i", filepath.Join(near.dir, "id"), "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile="+filepath.Join(near.dir, "known"), "-o", "ProxyCommand="+turnpike+" pipe --to %h 22", "root@nas", "sha256sum")
	cmd.Dir, cmd.Env = near.dir, near.env
	cmd.Stdin = bytes.NewReader(file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if want := fmt.Sprintf("%x", sha256.Sum256(file)); err != nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("ssh: %v, it printed %q and %q", err, out, stderr.String())
	}

	// A port that is not allowed, and one where nobody listens.
	refused := near.start(t, nil, "pipe", "--to", "nas", "80")
	refused.exits(t, 1)
	refused.says(t, "turnpike: nas refuses: only TCP 22 is allowed here")
	listening.interrupt(t)
	listening.exits(t, 1)
	listening.says(t, "turnpike: stopped")
}

// serveSSH starts a sshd on far's port 22, which lets a key of near's in.
func serveSSH(t *testing.T, far, near *terminal) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	key, hostKey := filepath.Join(near.dir, "id"), filepath.Join(far.dir, "host")
	for _, file := range []string{key, hostKey} {
		if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v %s", err, out)
		}
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // sshd wants an empty folder that is root's
		t.Fatal(err)
	}
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		t.Fatal(err)
	}
	cmd := far.host.Command(ctx, sshd, "-D", "-e", "-f", "none", "-h", hostKey, "-o", "ListenAddress=127.0.0.1:22", "-o", "PidFile=none",
		"-o", "AuthorizedKeysFile="+key+".pub", "-o", "StrictModes=no", "-o", "UsePAM=no", "-o", "PermitRootLogin=prohibit-password")
	var log output
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd:\n%s", log.String())
		}
	})
	if !log.await(20*time.Second, func(text string) bool { return strings.Contains(text, "listening on") }) {
		t.Fatalf("sshd does not listen: %s", log.String())
	}
}
