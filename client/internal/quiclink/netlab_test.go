//go:build linux

package quiclink

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/internal/netlab"
	"example.org/turnpike/internal/testcert"
	"example.org/turnpike/signal/wire"
)

const (
	labName   = "turn.lab"
	labSecret = "north-by-northwest"
)

// labServer is `turnpike serve` on a public host.
type labServer struct {
	t     *testing.T
	host  *netlab.Host
	roots string
	args  []string
	cmd   *exec.Cmd
}

// labProgram builds the server once, as it is shipped, so that the compiler's work serves all tests that start one.
var labProgram = sync.OnceValues(func() (string, error) {
	program := filepath.Join(scratch, "turnpike")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "example.org/turnpike/cmd/turnpike")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, nil
})

// startLabServer starts the real server, which relays by UDP, TCP and TLS.
func startLabServer(t *testing.T, lab *netlab.Lab) *labServer {
	t.Helper()
	dir := t.TempDir()
	program, err := labProgram()
	if err != nil {
		t.Fatal(err)
	}
	s := &labServer{t: t, host: lab.Public("server")}
	lab.AddName(labName, s.host)
	lab.AddName6(labName, s.host)
	cert, key, _ := testcert.For(t, dir, labName)
	s.roots = cert
	config := filepath.Join(dir, "turnpike.toml")
	text := fmt.Sprintf("public_host = %q\nstate_dir = %q\n[http]\nlisten = [\":443\"]\n[tls]\nmode = \"files\"\ncert_file = %q\nkey_file = %q\n"+
		"[turn]\nshared_secrets = [%q]\nlisten = [\"udp://0.0.0.0:3478\", \"tcp://0.0.0.0:3478\", \"udp://[::]:3478\", \"tcp://[::]:3478\"]\n[auth]\nguests = \"never\"\n[metrics]\nlisten = \"\"\n", labName, dir, cert, key, labSecret)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{program, "serve", "--config", config}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *labServer) start() {
	s.t.Helper()
	s.cmd = s.host.Command(s.t.Context(), s.args[0], s.args[1:]...)
	s.cmd.Stderr = s.t.Output()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ctx := within(s.t)
	for {
		c, err := s.host.DialTCP(netip.AddrPortFrom(s.host.Addr(), 3478), time.Second)
		if err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatal("the server does not listen:", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *labServer) kill() {
	_ = s.cmd.Process.Signal(syscall.SIGKILL)
	_ = s.cmd.Wait()
}

// servers has a credential of TURN's REST API.
func (s *labServer) servers() []wire.ICEServer {
	user := fmt.Sprintf("%d:lab", time.Now().Add(time.Hour).Unix())
	m := hmac.New(sha1.New, []byte(labSecret))
	m.Write([]byte(user))
	return []wire.ICEServer{{
		URLs:     []string{"turn:" + labName + ":3478?transport=udp", "turn:" + labName + ":3478?transport=tcp", "turns:" + labName + ":443?transport=tcp"},
		Username: user, Credential: base64.StdEncoding.EncodeToString(m.Sum(nil)),
	}}
}

// labPeer is a peer in a process on a host.
type labPeer struct {
	t     *testing.T
	in    io.WriteCloser
	cmd   *exec.Cmd
	ended chan struct{}

	mu       sync.Mutex
	news     chan struct{} // Closed and made again with each message.
	paths    []link.Path
	received int64
	at       time.Time // When received grew last.
	done     int
	other    *labPeer
}

// startPeers starts a sending peer and a receiving one.
func startPeers(t *testing.T, server *labServer, from, to *netlab.Host, change func(sender, receiver *peerConfig)) (a, b *labPeer) {
	t.Helper()
	ca := peerConfig{Offers: true, Servers: server.servers(), Roots: server.roots, Sends: 1}
	cb := peerConfig{Polite: true, Servers: server.servers(), Roots: server.roots}
	if change != nil {
		change(&ca, &cb)
	}
	a, b = newLabPeer(t, from, ca), newLabPeer(t, to, cb)
	a.other, b.other = b, a
	b.start()
	a.start()
	t.Cleanup(func() {
		for _, p := range []*labPeer{a, b} {
			_ = p.in.Close()
		}
		for _, p := range []*labPeer{a, b} {
			select {
			case <-p.ended:
			case <-time.After(15 * time.Second):
				t.Error("a peer does not end")
				_ = p.cmd.Process.Kill()
			}
		}
	})
	return a, b
}

func newLabPeer(t *testing.T, host *netlab.Host, c peerConfig) *labPeer {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	p := &labPeer{t: t, ended: make(chan struct{}), news: make(chan struct{})}
	p.cmd = host.Command(t.Context(), os.Args[0])
	p.cmd.Env = append(os.Environ(), peerVariable+"="+string(text))
	p.cmd.Stderr = t.Output()
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *labPeer) start() {
	p.t.Helper()
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var m peerMessage
			if json.Unmarshal(lines.Bytes(), &m) == nil {
				p.heard(m)
			}
		}
		_ = p.cmd.Wait()
	}()
}

func (p *labPeer) heard(m peerMessage) {
	if m.Signal != nil {
		p.other.tell(m)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Path != nil {
		p.paths = append(p.paths, *m.Path)
	}
	if m.Received > p.received {
		p.received, p.at = m.Received, time.Now()
	}
	if m.Done {
		p.done++
	}
	close(p.news)
	p.news = make(chan struct{})
}

func (p *labPeer) tell(m peerMessage) {
	b, _ := json.Marshal(m)
	_, _ = p.in.Write(append(b, '\n'))
}

// until waits for what is true, and returns how long that took.
func (p *labPeer) until(what string, limit time.Duration, is func() bool) time.Duration {
	p.t.Helper()
	begin := time.Now()
	end := time.After(limit)
	for {
		p.mu.Lock()
		ok, news := is(), p.news
		p.mu.Unlock()
		if ok {
			return time.Since(begin)
		}
		select {
		case <-news:
		case <-end:
			p.mu.Lock()
			defer p.mu.Unlock()
			p.t.Fatalf("not within %v: %s; %d bytes have come, the paths were %v", limit, what, p.received, p.paths)
		}
	}
}

// more waits until that many more bytes have come.
func (p *labPeer) more(n int64, limit time.Duration) time.Duration {
	p.t.Helper()
	p.mu.Lock()
	from := p.received
	p.mu.Unlock()
	return p.until(fmt.Sprintf("%d more bytes", n), limit, func() bool { return p.received >= from+n })
}

func (p *labPeer) path() link.Path {
	if len(p.paths) == 0 {
		return link.Path{}
	}
	return p.paths[len(p.paths)-1]
}

// onHost waits until the peer's path is as described.
func (p *labPeer) onPath(relayed bool, protocol string, limit time.Duration) time.Duration {
	p.t.Helper()
	return p.until(fmt.Sprintf("a path with relayed = %v over %s", relayed, protocol), limit, func() bool {
		x := p.path()
		return x.Transport != "" && x.Relayed == relayed && (protocol == "" || x.Protocol == protocol)
	})
}

func lab(t *testing.T) *netlab.Lab {
	t.Helper()
	if testing.Short() {
		t.Skip("namespaces and a server take long; -short is set")
	}
	return netlab.New(t)
}

func TestNATs(t *testing.T) {
	l := lab(t)
	server := startLabServer(t, l)
	for i, row := range []struct {
		from, to netlab.Kind
		relayed  bool
		protocol string // Of the sender.
	}{
		{netlab.PortRestricted, netlab.PortRestricted, false, "udp"},
		{netlab.Symmetric, netlab.Symmetric, true, "udp"},
		{netlab.UDPBlocked, netlab.FullCone, true, "tcp"},
		{netlab.Only443, netlab.Symmetric, true, "tls"},
		{netlab.IPv6Only, netlab.PortRestricted, true, "udp"},
		{netlab.IPv6Only, netlab.IPv6Only, false, "udp"},
	} {
		t.Run(fmt.Sprintf("%v to %v", row.from, row.to), func(t *testing.T) {
			from, to := l.Behind(row.from, fmt.Sprintf("a%d", i)), l.Behind(row.to, fmt.Sprintf("b%d", i))
			a, b := startPeers(t, server, from, to, func(s, r *peerConfig) { s.Total = 4 << 20 })
			b.until("the end of the stream", 30*time.Second, func() bool { return b.done == 1 && b.received == 4<<20 })
			took := a.onPath(row.relayed, row.protocol, 15*time.Second)
			a.mu.Lock()
			defer a.mu.Unlock()
			t.Logf("the paths: %v, after %v", a.paths, took)
		})
	}
}

// goesOnWithin is how long a transfer may stand still, on a machine that runs other tests beside it.
const goesOnWithin = 5 * time.Second

// TestNetworkChanges moves the sender to another network in mid-transfer.
func TestNetworkChanges(t *testing.T) {
	l := lab(t)
	server := startLabServer(t, l)
	from, to := l.Behind(netlab.PortRestricted, "from"), l.Behind(netlab.PortRestricted, "to")
	a, b := startPeers(t, server, from, to, nil)
	a.onPath(false, "udp", 15*time.Second)
	b.more(4<<20, 10*time.Second)
	for range 2 {
		l.Move(from, netlab.PortRestricted)
		begin := time.Now()
		a.tell(peerMessage{Restart: true}) // as the session does
		b.more(4<<20, 10*time.Second)
		if d := time.Since(begin); d > goesOnWithin {
			t.Errorf("the transfer went on after %v", d)
		} else {
			t.Logf("the transfer went on after %v", d)
		}
		a.onPath(false, "udp", 15*time.Second)
	}
}

// TestServerGone kills the server in mid-transfer on a direct path, and holds that nothing is noticed.
func TestServerGone(t *testing.T) {
	l := lab(t)
	server := startLabServer(t, l)
	a, b := startPeers(t, server, l.Behind(netlab.FullCone, "from"), l.Behind(netlab.PortRestricted, "to"), nil)
	a.onPath(false, "udp", 15*time.Second)
	server.kill()
	b.more(16<<20, 10*time.Second)
}

// TestRelayComesBack restarts the server under a relayed transfer.
func TestRelayComesBack(t *testing.T) {
	l := lab(t)
	server := startLabServer(t, l)
	a, b := startPeers(t, server, l.Behind(netlab.Symmetric, "from"), l.Behind(netlab.Symmetric, "to"), nil)
	a.onPath(true, "udp", 15*time.Second)
	b.more(4<<20, 10*time.Second)
	server.kill()
	server.start()
	b.more(4<<20, 40*time.Second)
}

// TestOutage cuts the sender off for longer than QUIC waits between two probes by then, and holds that the transfer goes on
// soon after.
func TestOutage(t *testing.T) {
	l := lab(t)
	server := startLabServer(t, l)
	from := l.Behind(netlab.PortRestricted, "from")
	a, b := startPeers(t, server, from, l.Behind(netlab.PortRestricted, "to"), nil)
	a.onPath(false, "udp", 15*time.Second)
	b.more(4<<20, 10*time.Second)
	l.Rules(from, "table inet outage {\n chain out { type filter hook output priority 0; meta l4proto udp drop; }\n chain in { type filter hook input priority 0; meta l4proto udp drop; }\n}")
	<-time.After(12 * time.Second)
	l.Rules(from, "delete table inet outage")
	if d := b.more(1<<20, 20*time.Second); d > goesOnWithin {
		t.Errorf("the transfer went on after %v", d)
	} else {
		t.Logf("the transfer went on after %v", d)
	}
}
