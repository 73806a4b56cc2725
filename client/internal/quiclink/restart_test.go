package quiclink

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

// transfer sends bytes from a to b until the test ends, and counts those that arrive.
func transfer(t *testing.T, a, b *side) *atomic.Int64 {
	t.Helper()
	x, y := streamsOf(t, a, b, "transfer")
	var n atomic.Int64
	go func() {
		buf := make([]byte, 64<<10)
		for {
			k, err := y.Read(buf)
			n.Add(int64(k))
			if err != nil {
				return
			}
		}
	}()
	go func() {
		// Not as fast as it could: other tests run beside it.
		for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
			if _, err := x.Write(make([]byte, 16<<10)); err != nil {
				tick.Stop()
				return
			}
		}
	}()
	return &n
}

// goesOn waits until more has arrived.
func goesOn(t *testing.T, n *atomic.Int64) {
	t.Helper()
	ctx := within(t)
	for from := n.Load(); n.Load() < from+256<<10; {
		select {
		case <-ctx.Done():
			t.Fatal("nothing arrives any more")
		case <-time.After(time.Millisecond):
		}
	}
}

func ufragOf(s *side) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := ""
	for _, p := range s.sent {
		if _, rest, ok := strings.Cut(string(p.Description), "ice-ufrag:"); ok {
			last, _, _ = strings.Cut(rest, `\r`)
		}
	}
	return last
}

func TestRestart(t *testing.T) {
	server := startTURN(t)
	for name, change := range map[string]func(a, b *link.Config){
		"direct":  nil,
		"relayed": func(a, b *link.Config) { a.RelayOnly, a.ICEServers = true, server.servers("udp") },
		"by TCP":  func(a, b *link.Config) { a.RelayOnly, a.ICEServers = true, server.servers("tcp") },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pairOf(t, change)
			n := transfer(t, a, b)
			goesOn(t, n)
			for i, s := range []*side{a, b, a} {
				before := [2]string{ufragOf(a), ufragOf(b)}
				s.Restart()
				ctx := within(t)
				for ufragOf(a) == before[0] || ufragOf(b) == before[1] {
					select {
					case <-ctx.Done():
						t.Fatalf("restart %d gave no new credentials on both sides", i)
					case <-time.After(time.Millisecond):
					}
				}
				goesOn(t, n)
			}
			for _, p := range a.told() {
				if p == (link.Path{}) {
					t.Error("there was no path in between")
				}
			}
		})
	}
}

// TestGlare restarts both sides at once.
func TestGlare(t *testing.T) {
	a, b := pairOf(t, nil)
	n := transfer(t, a, b)
	goesOn(t, n)
	for range 5 {
		go a.Restart()
		b.Restart()
		goesOn(t, n)
	}
}

// TestLostOffer loses the first offer: a Restart makes another.
func TestLostOffer(t *testing.T) {
	var lost atomic.Bool
	a, b := pairOf(t, func(a, b *link.Config) {
		send := a.Send
		a.Send = func(p wire.Payload) {
			if p.Description != nil && lost.CompareAndSwap(false, true) {
				return
			}
			send(p)
		}
	})
	for ctx := within(t); !lost.Load() && ctx.Err() == nil; {
		<-time.After(time.Millisecond)
	}
	b.Restart() // Signaling tells both.
	a.Restart()
	exchange(t, a, b, 1<<10)
}

// TestAnotherLink replaces one side's Link, as after a restart of its program.
func TestAnotherLink(t *testing.T) {
	a, b := pairOf(t, nil)
	exchange(t, a, b, 1<<10)
	_ = a.Close()
	known := make(chan struct{})
	c, d := pairOf(t, func(x, y *link.Config) {
		x.Send = func(p wire.Payload) {
			<-known
			b.Receive(p)
		}
	})
	_ = d.Close()
	b.mu.Lock()
	b.other = c
	b.mu.Unlock()
	close(known)
	exchange(t, c, b, 1<<10)
	x, y := streamsOf(t, b, c, "back")
	_, _ = x.Write([]byte("back"))
	_ = x.Close()
	if got, err := io.ReadAll(y); err != nil || string(got) != "back" {
		t.Errorf("read %q, %v", got, err)
	}
}

// proxy passes connections on, until freeze stops those that it has without closing them: so does a network that is left.
type proxy struct {
	net.Listener
	mu     sync.Mutex
	frozen chan struct{}
	conns  []net.Conn
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, frozen: make(chan struct{})}
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.conns {
			_ = c.Close()
		}
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp4", to)
			if err != nil {
				_ = c.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, c, s)
			frozen := p.frozen
			p.mu.Unlock()
			go pass(c, s, frozen)
			go pass(s, c, frozen)
		}
	}()
	return p
}

func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.frozen)
	p.frozen = make(chan struct{})
}

func pass(from, to net.Conn, frozen <-chan struct{}) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		select {
		case <-frozen:
			return
		default:
		}
		if err != nil {
			_ = to.Close()
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// TestDeadConnection has the connection to the TURN server die without a word.
func TestDeadConnection(t *testing.T) {
	s := startTURN(t)
	p := startProxy(t, s.tcp.String())
	s.tcp = p.Addr()
	a, b := pairOf(t, func(a, b *link.Config) { a.RelayOnly, a.ICEServers = true, s.servers("tcp") })
	n := transfer(t, a, b)
	goesOn(t, n)
	p.freeze()
	a.Restart()
	goesOn(t, n)
}

// TestTooManyRestarts holds that a side cannot have the other gather without end.
func TestTooManyRestarts(t *testing.T) {
	var answers atomic.Int32
	made, err := New(link.Config{Polite: true, Send: func(p wire.Payload) {
		if p.Description != nil {
			answers.Add(1)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	l := made.(*Link)
	const offers = 60
	for i := range offers {
		text, _ := json.Marshal(link.Description{Type: "offer", ID: fmt.Sprint("other.", i), SDP: terms{fmt.Sprint("ufrag", i), strings.Repeat("p", 22), l.own, either}.marshal()})
		l.Receive(wire.Payload{Description: text})
	}
	done := make(chan struct{})
	l.inbox.put(func() { close(done) })
	<-done
	if n := answers.Load(); n < 2 || n > offers/2 {
		t.Errorf("%d of %d restarts were followed", n, offers)
	}
}
