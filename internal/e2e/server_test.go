//go:build linux

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// Most tests have a server with a public address and a certificate, which lets nobody in without an invite.
const (
	publicName = "turn.lab"
	publicURL  = "https://" + publicName
	restSecret = "north-by-northwest"
)

// startServer starts such a server in lab.
func startServer(t *testing.T, lab *netlab.Lab) (s *server, config string, ca *authority) {
	t.Helper()
	return startServerOn(t, lab, lab.Public("server"), defaultListen)
}

// defaultListen lists the addresses on which such a server listens for TURN.
const defaultListen = `listen = ["udp://0.0.0.0:3478", "tcp://0.0.0.0:3478", "tls://0.0.0.0:5349", "dtls://0.0.0.0:5349"]`

// startServerOn starts such a server on host, with the lines turn under [turn].
func startServerOn(t *testing.T, lab *netlab.Lab, host *netlab.Host, turn string) (s *server, config string, ca *authority) {
	t.Helper()
	config, ca = configure(t, lab, host, turn)
	s = serve(t, host, publicURL, netip.AddrPortFrom(host.Addr(), 443), ca, "--config", config)
	return s, config, ca
}

// configure makes the configuration and certificate of such a server.
func configure(t *testing.T, lab *netlab.Lab, host *netlab.Host, turn string) (config string, ca *authority) {
	t.Helper()
	lab.AddName(publicName, host)
	ca = newAuthority(t, publicName, host.Addr())
	config = filepath.Join(t.TempDir(), "turnpike.toml")
	text := fmt.Sprintf(`
public_host = %q
state_dir   = %q

[http]
listen = [":443"]

[tls]
mode      = "files"
cert_file = %q
key_file  = %q

[turn]
shared_secrets = [%q]
%s

[auth]
guests = "never"
`, publicName, t.TempDir(), ca.certFile, ca.keyFile, restSecret, turn)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config, ca
}

// A server is one running `turnpike serve`.
type server struct {
	host    *netlab.Host
	dir     string // its working directory
	command []string
	ready   string
	client  *http.Client // connects to the server whatever host ready names
	log     output
	proc    *os.Process
	ended   chan error
	cancel  context.CancelFunc
}

// drain tells the server to make no more relays, and to wait for the end of existing ones.
func (s *server) drain(t *testing.T) {
	t.Helper()
	if err := s.proc.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// serve starts `turnpike serve` with args on host and waits until it is ready. The
// end of t ends it. ready is the server's base URL, and dial its address.
func serve(t *testing.T, host *netlab.Host, ready string, dial netip.AddrPort, ca *authority, args ...string) *server {
	t.Helper()
	return serveCommand(t, host, ready, dial, ca, append([]string{turnpike, "serve"}, args...)...)
}

// serveCommand does the same with a command line of the test's own.
func serveCommand(t *testing.T, host *netlab.Host, ready string, dial netip.AddrPort, ca *authority, command ...string) *server {
	t.Helper()
	s := &server{host: host, dir: t.TempDir(), command: command, ready: ready, client: client(host, dial, ca)}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		// SIGTERM would wait for relays that a closed browser left. An error means that the process has ended; wait
		// reports that.
		_ = s.proc.Signal(syscall.SIGINT)
		s.wait(t, false)
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.log.String())
			_ = os.WriteFile(filepath.Join(t.ArtifactDir(), "server.log"), []byte(s.log.String()), 0o644)
		}
	})
	s.start(t)
	return s
}

// start starts the process, and waits until it is ready.
func (s *server) start(t *testing.T) {
	t.Helper()
	var ctx context.Context
	ctx, s.cancel = within(t, 10*time.Minute)
	cmd := s.host.Command(ctx, s.command[0], s.command[1:]...)
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	if err := cmd.Start(); err != nil {
		s.cancel()
		t.Fatal(err)
	}
	s.proc, s.ended = cmd.Process, make(chan error, 1)
	go func(ended chan<- error) { ended <- cmd.Wait() }(s.ended)
	deadline := time.After(time.Minute) // a machine with other tests on it may take half of that to start a process
	for {
		if resp, err := s.client.Get(s.ready + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-s.ended:
			s.ended <- err
			t.Fatalf("turnpike serve ended before it was ready: %v", err)
		case <-deadline:
			t.Fatal("turnpike serve did not become ready")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// restart kills the process, so that it cannot say farewell, and starts another one with the same state.
func (s *server) restart(t *testing.T) {
	t.Helper()
	if err := s.proc.Kill(); err != nil {
		t.Fatal(err)
	}
	s.wait(t, true)
	s.client.CloseIdleConnections()
	s.start(t)
}

// wait waits for the end of the process, and checks its exit status unless the test killed it.
func (s *server) wait(t *testing.T, killed bool) {
	t.Helper()
	defer s.cancel()
	select {
	case err := <-s.ended:
		if err != nil && !killed {
			t.Errorf("turnpike serve, told to stop: %v", err)
		}
	case <-time.After(15 * time.Second):
		t.Error("turnpike serve did not stop when told to")
		s.cancel()
		<-s.ended
	}
}

// run runs another command of the program on the server's host, and returns what it prints on stdout.
func (s *server) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := within(t, 20*time.Second)
	defer cancel()
	cmd := s.host.Command(ctx, turnpike, args...)
	cmd.Dir = s.dir
	return stdout(t, cmd)
}

// link makes an invite, as the further arguments say, and returns its link.
func (s *server) link(t *testing.T, config, room string, args ...string) string {
	t.Helper()
	out := s.run(t, append([]string{"invite", "--config", config, "--room", room, "--ttl", "1h"}, args...)...)
	for _, word := range strings.Fields(out) {
		if strings.HasPrefix(word, "https://") && strings.Contains(word, "#invite=") {
			return word
		}
	}
	t.Fatalf("turnpike invite printed no link: %s", out)
	return ""
}

func stdout(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out.Bytes(), stderr.Bytes())
	}
	return out.String()
}

// client returns an HTTP client on host that connects to addr, whatever the URL's host is.
func client(host *netlab.Host, addr netip.AddrPort, ca *authority) *http.Client {
	transport := &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return host.DialTCP(addr, 5*time.Second)
		},
	}
	if ca != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: ca.pool}
	}
	return &http.Client{Transport: transport, Timeout: 5 * time.Second}
}

// output collects what a process prints while the test reads it.
type output struct {
	mu    sync.Mutex
	buf   bytes.Buffer  // guarded by mu
	grows chan struct{} // likewise; closed at the next Write, nil if nobody waits
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.grows != nil {
		close(o.grows)
		o.grows = nil
	}
	return o.buf.Write(p)
}

// await waits until is holds of everything printed so far, and reports false if that takes longer than d.
func (o *output) await(d time.Duration, is func(text string) bool) bool {
	end := time.NewTimer(d)
	defer end.Stop()
	for {
		o.mu.Lock()
		text := o.buf.String()
		if o.grows == nil {
			o.grows = make(chan struct{})
		}
		grows := o.grows
		o.mu.Unlock()
		if is(text) {
			return true
		}
		select {
		case <-grows:
		case <-end.C:
			return false
		}
	}
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
