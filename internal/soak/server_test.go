package soak

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.org/turnpike/internal/testcert"
)

const patience = 30 * time.Second

// server is one `turnpike serve`.
type server struct {
	dir                        string
	web, udp, plain, tlsAt, io netip.AddrPort // pages, TURN over UDP, TCP and TLS, and metrics
	proc                       *os.Process
	log                        logFile
	ended                      chan error
}

// logFile is what the server has logged.
type logFile struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// lines returns the lines that contain one of the words.
func (l *logFile) lines(words ...string) (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		for _, w := range words {
			if strings.Contains(line, w) {
				out = append(out, strings.TrimSpace(line))
				break
			}
		}
	}
	return out
}

// freePorts returns ports of 127.0.0.1 that nobody has, for TCP and UDP.
func freePorts(t *testing.T, n int) (out []netip.AddrPort) {
	t.Helper()
	for len(out) < n {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		at := tcp.Addr().(*net.TCPAddr).AddrPort()
		if udp, err := net.ListenPacket("udp", at.String()); err == nil {
			defer udp.Close()
			out = append(out, at)
		}
	}
	return out
}

// start builds the program and starts a server, which the end of the test stops.
func start(t *testing.T) *server {
	t.Helper()
	s := &server{dir: t.TempDir(), ended: make(chan error, 1)}
	program := filepath.Join(s.dir, "turnpike")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "example.org/turnpike/cmd/turnpike")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped, and as other tests build it
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build turnpike: %v\n%s", err, out)
	}
	cert, key, err := testcert.Write(s.dir, lifetime, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t, 5)
	s.web, s.udp, s.plain, s.tlsAt, s.io = ports[0], ports[1], ports[2], ports[3], ports[4]
	config := filepath.Join(s.dir, "turnpike.toml")
	text := fmt.Sprintf(`
public_host = "localhost"
state_dir = %q
drain_timeout = "0s"
http.listen = [%q]
tls = { mode = "files", cert_file = %q, key_file = %q }
metrics.listen = %q
auth.guests = "always"
signal.resume_window = "4s"
[turn]
listen = ["udp://%v", "tcp://%v", "tls://%v", "dtls://%v"]
relay_addresses = ["127.0.0.1"]
mobility = true
[limits]
joins_per_minute = 10000
joins_per_minute_per_user = 10000
joins_per_minute_per_address = 100000
tickets_per_minute_per_address = 100000
hellos_per_second_per_address = 10000
messages_per_second = 1000
`, filepath.Join(s.dir, "state"), s.web, cert, key, s.io, s.udp, s.plain, s.tlsAt, s.tlsAt)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "serve", "--config", config)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, &s.log, &s.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.proc = cmd.Process
	go func() { s.ended <- cmd.Wait() }()
	t.Cleanup(func() { s.stop(t) })
	until(t, "the server to be ready", func() bool {
		select {
		case err := <-s.ended:
			s.ended <- err
			t.Fatalf("the server ended: %v", err)
		default:
		}
		resp, err := s.client("127.0.0.1").Get("https://" + s.web.String() + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return s
}

func (s *server) stop(t *testing.T) {
	_ = s.proc.Signal(syscall.SIGINT) // it has ended, if this fails
	select {
	case err := <-s.ended:
		if err != nil {
			t.Errorf("the server, told to stop: %v", err)
		}
	case <-time.After(patience):
		_ = s.proc.Kill()
		t.Error("the server does not stop")
	}
	if t.Failed() {
		t.Logf("the end of the server's log:\n%s", s.log.text.Bytes()[max(0, s.log.text.Len()-20_000):])
	}
}

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !is(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited in vain for", what)
		}
	}
}

// dialer dials from an address of loopback.
func dialer(from string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
}

func clientTLS() *tls.Config { return &tls.Config{InsecureSkipVerify: true} } // certificates change all the time

// client is an HTTP client at an address, that leaves no connection behind.
func (s *server) client(from string) *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: dialer(from).DialContext, TLSClientConfig: clientTLS(), DisableKeepAlives: true,
	}}
}

// state is what the server has, by the names of its metrics.
type state map[string]float64

// state reads the metrics, after the server has collected its garbage.
func (s *server) state(t *testing.T) state {
	t.Helper()
	for range 2 { // the second collection empties the pools
		s.page(t, "/debug/pprof/heap?gc=1")
	}
	out := state{}
	for line := range strings.Lines(s.page(t, "/metrics")) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil && !strings.HasPrefix(line, "#") {
			out[name] = n
		}
	}
	return out
}

func (s *server) page(t *testing.T, path string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.io.String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.client("127.0.0.1").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v, %v", path, resp.Status, err)
	}
	return string(body)
}
