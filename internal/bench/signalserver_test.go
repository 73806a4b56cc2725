//go:build linux

package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/signalload"
	"example.org/turnpike/internal/testcert"
)

// signalServer is a signaling server that is measured.
type signalServer struct {
	name    string
	command func(stateDir, listen string, pair *keyPair) []string
	dialect func(t *testing.T, stateDir string) signalload.Dialect
}

func ourSignaling() signalServer { return ourSignalingFor(auth.RoleGuest) }

// ourSignalingFor is turnpike with sessions of that role.
func ourSignalingFor(role auth.Role) signalServer {
	return signalServer{
		name: "turnpike",
		command: func(stateDir, listen string, pair *keyPair) []string {
			args := []string{turnpike, "serve", "--state", stateDir, "--http-listen", listen, "--metrics-listen", "",
				"--turn-listen", "udp://127.0.0.1:0", "--turn-relay-addresses", "127.0.0.1"}
			if pair != nil {
				args = append(args, "--tls-mode", "files", "--tls-cert-file", pair.certificate, "--tls-key-file", pair.key)
			}
			return args
		},
		dialect: func(t *testing.T, stateDir string) signalload.Dialect {
			secret, err := auth.LoadOrCreateSecret(filepath.Join(stateDir, "secret"), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			tickets := auth.NewTickets(secret, time.Now, rand.Reader)
			return signalload.Turnpike{Run: "table", Ticket: func(session int) (string, error) {
				token, _, err := tickets.Issue(auth.Ticket{Name: fmt.Sprintf("bench %d", session), Rooms: []string{"*"}, Role: role}, time.Hour)
				return token, err
			}}
		},
	}
}

// peerJS is the signaling server of PeerJS. It forwards messages between its clients, and asks nobody for a ticket.
func peerJS() signalServer {
	return signalServer{
		name: "PeerJS",
		command: func(_, _ string, pair *keyPair) []string {
			script, err := filepath.Abs("peerjs.cjs")
			if err != nil {
				panic(err)
			}
			args := []string{"node", script}
			if pair != nil {
				args = append(args, pair.certificate, pair.key)
			}
			return args
		},
		dialect: func(*testing.T, string) signalload.Dialect { return signalload.PeerJS{} },
	}
}

// needPeerJS skips t if the server is not installed, or fails t in CI.
func needPeerJS(t *testing.T) {
	t.Helper()
	need(t, "taskset", "node")
	if _, err := os.Stat(filepath.Join("..", "..", "node_modules", "peer")); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("bench: %v, and CI must not skip this test", err)
		}
		t.Skipf("bench: %v; internal/e2e/install.sh installs it", err)
	}
}

// signalProcess is a running signaling server.
type signalProcess struct {
	pid    int
	config signalload.Config
	end    func()
	stop   func() // as planned; end must follow
}

// start runs a server on its core, and waits until it has printed its address and has nothing to do.
func (s signalServer) start(t *testing.T, pair *keyPair) signalProcess {
	t.Helper()
	p := s.startIn(t, t.TempDir(), "127.0.0.1:0", pair)
	t.Cleanup(p.end)
	awaitIdle(t, p.pid)
	return p
}

// startIn is start with the state of another process, and for its address.
func (s signalServer) startIn(t *testing.T, dir, listen string, pair *keyPair) signalProcess {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", strconv.Itoa(serverCore())}, s.command(dir, listen, pair)...)...)
	// All of the load comes from one address, and a search of the highest rate with few sessions sends many messages for
	// each user.
	cmd.Env = append(os.Environ(), "TURNPIKE_LIMITS_SESSIONS=100000", "TURNPIKE_LIMITS_SESSIONS_PER_ADDRESS=100000",
		"TURNPIKE_LIMITS_CONNECTIONS_PER_ADDRESS=100000", "TURNPIKE_LIMITS_MESSAGES_PER_SECOND=100000",
		"TURNPIKE_LIMITS_MESSAGES_PER_SECOND_PER_USER=100000",
		"TURNPIKE_LIMITS_HELLOS_PER_SECOND_PER_ADDRESS=100000", "TURNPIKE_LIMITS_JOINS_PER_MINUTE_PER_ADDRESS=10000000")
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	where := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		says := regexp.MustCompile(`^ *web +https?://localhost:([0-9]+)`)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := says.FindStringSubmatch(lines.Text()); m != nil {
				where <- m[1]
			}
		}
		_ = cmd.Wait()
	}()
	p := signalProcess{
		pid:  cmd.Process.Pid,
		end:  sync.OnceFunc(func() { cancel(); <-ended }),
		stop: func() { _ = cmd.Process.Signal(syscall.SIGTERM); <-ended },
	}
	select {
	case port := <-where:
		p.config = signalload.Config{Server: netip.MustParseAddrPort("127.0.0.1:" + port), Host: "localhost:" + port, Dialect: s.dialect(t, dir), PID: p.pid}
		if pair != nil {
			p.config.TLS = &tls.Config{ServerName: "localhost", RootCAs: pair.roots}
		}
		return p
	case <-ended:
	case <-time.After(startTime):
	}
	p.end()
	t.Fatalf("%s does not print its address\n%s", s.name, log.Bytes())
	return p
}

// keyPair is a certificate, in files.
type keyPair struct {
	certificate, key string
	roots            *x509.CertPool
}

func newKeyPair(t *testing.T) *keyPair {
	t.Helper()
	return newKeyPairFor(t, "localhost")
}

func newKeyPairFor(t *testing.T, host string) *keyPair {
	t.Helper()
	certificate, key, roots := testcert.For(t, t.TempDir(), host)
	return &keyPair{certificate, key, roots}
}
