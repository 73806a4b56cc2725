package signal

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"turnpike/auth"
	"turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

var propertySeed = flag.Uint64("property.seed", 0, "of TestNothingIsLost; 0: another one each time")

// TestNothingIsLost lets peers talk over connections that break at any byte, at any time: in the middle of a frame, before the welcome
// was read, again while resuming. Resumes are tried twice at once. Every message arrives once, and in order.
func TestNothingIsLost(t *testing.T) {
	const peers, messages = 4, 1500 // of each
	seed := *propertySeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-property.seed=%d", seed)
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, func(cfg *Config) {
			unlimited(cfg)
			resuming(cfg)
			cfg.Limits.QueueMessages, cfg.Limits.QueueBytes = peers*messages*2, 1<<30 // nobody is slow, who is away while all talk
		})
		all := make([]*fragile, peers)
		for i := range all {
			all[i] = newFragile(h, fmt.Sprint("peer ", i), seed+uint64(i))
			all[i].connect()
		}
		for _, p := range all {
			p.waitFor(func() bool { return len(p.mates) == peers-1 })
		}
		var talking sync.WaitGroup
		for _, p := range all {
			talking.Go(func() {
				for range messages {
					p.talk()
				}
			})
		}
		talking.Wait()
		said := map[string]map[string]int{} // by whom, to whom
		for _, p := range all {
			p.waitFor(func() bool {
				said[p.session] = maps.Clone(p.said)
				return true
			})
		}
		drops := 0
		for _, p := range all {
			p.waitFor(func() bool {
				for _, mate := range p.mates {
					if p.heard[mate] < said[mate][p.session] {
						return false
					}
				}
				drops += p.drops
				return true
			})
		}
		if drops < messages/20 {
			t.Errorf("only %d connections were lost", drops)
		}
		t.Logf("%d connections were lost, %d sessions replayed", drops, counterOf(h.srv, "sessions_begun", wire.ResumedReplayed))
		for _, p := range all {
			p.close()
		}
	})
}

// fragile is a client that follows PROTOCOL.md over connections that break.
type fragile struct {
	h    *harness
	name string

	mu      sync.Mutex
	changed sync.Cond
	// Guarded by mu.
	rng      *rand.Rand
	conn     *websocket.Conn // nil: lost
	session  string
	token    string
	received uint64
	lastID   int
	pending  []msg          // requests that the server may not have handled
	mates    []string       // sessions
	said     map[string]int // messages to each mate
	heard    map[string]int // and from each
	drops    int
	closed   bool
	reading  sync.WaitGroup
}

func newFragile(h *harness, name string, seed uint64) *fragile {
	p := &fragile{h: h, name: name, rng: rand.New(rand.NewPCG(seed, 1)), said: map[string]int{}, heard: map[string]int{}}
	p.changed.L = &p.mu
	return p
}

// waitFor returns once done says so.
func (p *fragile) waitFor(done func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !done() {
		p.changed.Wait()
	}
}

// talk says one thing to somebody.
func (p *fragile) talk() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.pending) > 40 { // as a client bounds what it keeps
		p.changed.Wait()
	}
	mate := p.mates[p.rng.IntN(len(p.mates))]
	p.said[mate]++
	p.request(msg{"type": "signal", "room": "x", "to": mate, "candidate": msg{"candidate": strconv.Itoa(p.said[mate])}})
}

// request sends what must be handled once; mu is held.
func (p *fragile) request(m msg) {
	p.lastID++
	m["id"] = strconv.Itoa(p.lastID)
	p.pending = append(p.pending, m)
	p.write(m)
}

// write sends on the connection, if there is one; mu is held, but not while it writes.
func (p *fragile) write(m msg) {
	conn := p.conn
	if conn == nil {
		return
	}
	m["received"] = p.received
	if err := conn.WriteJSON(m); err != nil {
		conn.Close() // the reader sees it
		if p.conn == conn {
			p.conn = nil
		}
	}
}

// connect makes a connection that will break, and resumes the session, or begins one.
func (p *fragile) connect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dial(p.session != "" && p.rng.IntN(4) == 0)
}

// budget is how many bytes a connection lasts: some do not get as far as the welcome.
func (p *fragile) budget() int { return 300 + p.rng.IntN(4000) }

// dial connects; if twice, by two sockets, of which the second replaces the first. mu is held.
func (p *fragile) dial(twice bool) {
	budget := p.budget()
	if p.session == "" {
		budget = 1 << 30 // who was never welcomed has nothing to resume
	}
	d := p.h.dialer
	dial := d.NetDial
	d.NetDial = func(network, addr string) (net.Conn, error) {
		conn, err := dial(network, addr)
		return &breaking{Conn: conn, left: budget}, err
	}
	conn, _, err := d.Dial(p.h.url, nil)
	if err != nil { // broken already
		p.reading.Go(p.again)
		return
	}
	hello := msg{"type": "hello", "ticket": testTicket(p.name, p.name, auth.RoleGuest)}
	if p.session != "" {
		hello = msg{"type": "hello", "resume": msg{"session": p.session, "token": p.token, "received": p.received}}
	}
	if conn.WriteJSON(hello) != nil {
		conn.Close()
		p.reading.Go(p.again)
		return
	}
	if twice {
		go func() {
			defer conn.Close()
			_, _, _ = conn.ReadMessage() // what it brings is lost
		}()
		p.dial(false)
		return
	}
	p.reading.Go(func() { p.read(conn) })
}

// again connects after a pause.
func (p *fragile) again() {
	p.mu.Lock()
	pause := time.Duration(p.rng.IntN(int(5 * time.Second)))
	p.drops++
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return
	}
	time.Sleep(pause) // of the bubble's clock
	p.connect()
}

func (p *fragile) read(conn *websocket.Conn) {
	for {
		var m msg
		if err := conn.ReadJSON(&m); err != nil {
			conn.Close()
			p.mu.Lock()
			if p.conn == conn {
				p.conn = nil
			}
			p.mu.Unlock()
			p.reading.Go(p.again)
			return
		}
		p.mu.Lock()
		p.handle(conn, m)
		p.changed.Broadcast()
		p.mu.Unlock()
	}
}

// handle acts on a message; mu is held.
func (p *fragile) handle(conn *websocket.Conn, m msg) {
	if seq, ok := m["seq"].(float64); ok {
		if p.received++; uint64(seq) != p.received {
			p.h.t.Errorf("%s: message %v after %d: %v", p.name, seq, p.received-1, m)
		}
	}
	switch m["type"] {
	case "welcome":
		resumed := p.session != ""
		if resumed && m["resumed"] != wire.ResumedReplayed {
			p.h.t.Errorf("%s: not replayed: %v", p.name, m)
		}
		p.conn, p.session, p.token = conn, m["session"].(string), m["resume"].(string)
		if !resumed {
			conn.NetConn().(*breaking).breakAfter(p.budget())
			p.request(msg{"type": "join", "room": "x", "create": true, "size": 16})
			return
		}
		p.write(msg{"type": "ack"})
		if handled, ok := m["handled"].(string); ok {
			p.forget(handled)
		}
		for _, again := range p.pending {
			p.write(again)
		}
	case "joined":
		for _, peer := range m["peers"].([]any) {
			p.mates = append(p.mates, peer.(map[string]any)["session"].(string))
		}
		p.forget(m["ref"].(string))
	case "peer-joined":
		p.mates = append(p.mates, m["peer"].(map[string]any)["session"].(string))
	case "resume":
		p.token = m["token"].(string)
	case "ack":
		p.forget(m["ref"].(string))
	case "signal":
		from := m["from"].(string)
		if p.heard[from]++; m["candidate"].(map[string]any)["candidate"] != strconv.Itoa(p.heard[from]) {
			p.h.t.Errorf("%s: %v is not message %d of %s", p.name, m["candidate"], p.heard[from], from)
		}
		if p.received%20 == 0 {
			p.write(msg{"type": "ack"})
		}
	case "peer-away", "peer-back":
	default:
		p.h.t.Errorf("%s: %v", p.name, m)
	}
}

// forget drops the requests up to an id; mu is held.
func (p *fragile) forget(id string) {
	last, _ := strconv.Atoi(id)
	for len(p.pending) > 0 {
		if n, _ := strconv.Atoi(p.pending[0]["id"].(string)); n > last {
			return
		}
		p.pending = p.pending[1:]
	}
}

func (p *fragile) close() {
	p.mu.Lock()
	p.closed = true
	if p.conn != nil {
		p.conn.Close()
	}
	p.mu.Unlock()
	p.reading.Wait()
}

// breaking is a connection that breaks after so many bytes, both ways together.
type breaking struct {
	net.Conn
	mu   sync.Mutex
	left int // guarded by mu
}

func (b *breaking) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if spared := b.spend(n); err == nil && spared < n {
		b.Conn.Close()
		return spared, io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *breaking) Write(p []byte) (int, error) {
	spared := b.spend(len(p))
	n, err := b.Conn.Write(p[:spared])
	if err == nil && spared < len(p) {
		b.Conn.Close()
		err = io.ErrClosedPipe
	}
	return n, err
}

func (b *breaking) breakAfter(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = n
}

func (b *breaking) spend(n int) (spared int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	spared = min(n, b.left)
	b.left -= spared
	return spared
}
