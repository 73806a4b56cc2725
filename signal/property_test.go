package signal

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

var propertySeed = flag.Uint64("property.seed", 0, "of TestNothingIsLost; 0: another one each time")

// TestNothingIsLost lets peers talk over connections that break at any byte, at any time: in the middle of a frame,
// before the welcome was read, again while resuming. Peers try resumes twice at once. Now and then, when nobody talks,
// another server replaces the first, and connections break as before while all peers come back there. Every message
// must arrive once, and in order, and every request must be answered once.
func TestNothingIsLost(t *testing.T) {
	const peers, servers, messages = 4, 6, 200 // of each peer, to each server
	seed := *propertySeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-property.seed=%d", seed)
	synctest.Test(t, func(t *testing.T) {
		serve := func() *harness {
			return newMemoryHarness(t, func(cfg *Config) {
				unlimited(cfg)
				resuming(cfg)
				cfg.Limits.QueueMessages, cfg.Limits.QueueBytes = peers*messages*2, 1<<30 // nobody ends as slow who is away while all talk
			})
		}
		h := serve()
		all := make([]*fragile, peers)
		for i := range all {
			all[i] = newFragile(h, fmt.Sprint("peer ", i), seed+uint64(i))
			all[i].connect()
		}
		resumed := map[string]uint64{}
		for server := range servers {
			if server > 0 {
				h.shutdown()
				h = serve()
				for _, p := range all {
					p.moveTo(h)
				}
			}
			allTalk(all, messages)
			for _, how := range []string{wire.ResumedReplayed, wire.ResumedRestored} {
				resumed[how] += counterOf(h.srv, "sessions_begun", how)
			}
			if begun := counterOf(h.srv, "sessions_begun", sessionNew); server > 0 && begun > 0 {
				t.Errorf("%d sessions were begun anew", begun)
			}
		}
		drops := 0
		for _, p := range all {
			p.waitFor(func() bool {
				drops += p.drops
				return true
			})
		}
		if drops < peers*servers*messages/80 {
			t.Errorf("only %d connections were lost", drops)
		}
		t.Logf("%d connections were lost, sessions resumed: %v", drops, resumed)
		for _, p := range all {
			p.close()
		}
		for _, p := range all {
			p.reading.Wait()
		}
	})
}

// allTalk returns when all peers know each other, each has sent so many messages, and all of these have arrived.
func allTalk(all []*fragile, messages int) {
	var talking sync.WaitGroup
	for _, p := range all {
		p.waitFor(func() bool { return p.keepsRoom && len(p.mates) == len(all)-1 })
	}
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
	for _, p := range all {
		p.waitFor(func() bool {
			for _, mate := range p.mates {
				if p.heard[mate] < said[mate][p.session] {
					return false
				}
			}
			return len(p.asked) == 0
		})
	}
}

// fragile is a client that follows PROTOCOL.md over connections that break.
type fragile struct {
	name    string
	reading sync.WaitGroup

	mu      sync.Mutex
	changed sync.Cond
	// Guarded by mu.
	h         *harness
	rng       *rand.Rand
	conn      *websocket.Conn // nil: lost
	session   string
	token     string
	epoch     string
	keepsRoom bool // token knows the room
	received  uint64
	lastID    int
	pending   []msg           // requests that the server may not have handled
	mates     []string        // sessions
	said      map[string]int  // messages to each mate
	heard     map[string]int  // and from each
	asked     map[string]bool // ids of requests that want an answer
	drops     int
	closed    bool
}

func newFragile(h *harness, name string, seed uint64) *fragile {
	p := &fragile{h: h, name: name, rng: rand.New(rand.NewPCG(seed, 1)), said: map[string]int{}, heard: map[string]int{}, asked: map[string]bool{}}
	p.changed.L = &p.mu
	return p
}

// waitFor returns once done reports true.
func (p *fragile) waitFor(done func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !done() {
		p.changed.Wait()
	}
}

// moveTo has the peer use another server from now on, where it finds its mates again.
func (p *fragile) moveTo(h *harness) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.h, p.mates = h, nil
}

// talk sends one message to a mate, and sometimes a request to the server.
func (p *fragile) talk() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.pending) > 40 { // clients bound what they keep
		p.changed.Wait()
	}
	mate := p.mates[p.rng.IntN(len(p.mates))]
	p.said[mate]++
	p.request(msg{"type": "signal", "room": "x", "to": mate, "candidate": msg{"candidate": strconv.Itoa(p.said[mate])}})
	if p.rng.IntN(4) == 0 {
		p.asked[strconv.Itoa(p.lastID+1)] = true
		p.request(msg{"type": "leave", "room": "y"}) // the peer is not in it
	}
}

// request sends a request that must be handled once; mu is held.
func (p *fragile) request(m msg) {
	p.lastID++
	m["id"] = strconv.Itoa(p.lastID)
	p.pending = append(p.pending, m)
	p.write(m)
}

// write sends on the connection, if there is one. mu is held, except while it writes.
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
	if p.closed { // while it paused
		return
	}
	p.dial(p.session != "" && p.rng.IntN(4) == 0)
}

// budget is after how many bytes a connection breaks: some break before the welcome.
func (p *fragile) budget() int { return 300 + p.rng.IntN(4000) }

// dial connects. If twice is set, it makes two connections, and the second replaces the first. mu is held.
func (p *fragile) dial(twice bool) {
	budget := p.budget()
	if p.session == "" {
		budget = 1 << 30 // without a first welcome there is nothing to resume
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
			_, _, _ = conn.ReadMessage() // its messages are lost
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
		if p.closed {
			conn.Close()
		} else {
			p.handle(conn, m)
			p.changed.Broadcast()
		}
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
		how := wire.ResumedRestored
		if m["epoch"] == p.epoch {
			how = wire.ResumedReplayed
		}
		if resumed && (m["resumed"] != how || m["session"] != p.session) {
			p.h.t.Errorf("%s: not %s: %v", p.name, how, m)
		}
		p.conn, p.session, p.token, p.epoch = conn, m["session"].(string), m["resume"].(string), m["epoch"].(string)
		p.received = uint64(m["after"].(float64))
		if m["resumed"] == wire.ResumedRestored {
			p.mates = nil
			for _, room := range m["rooms"].([]any) {
				p.meet(room.(map[string]any)["peers"].([]any)...)
			}
		}
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
		p.meet(m["peers"].([]any)...)
		p.forget(m["ref"].(string))
	case "peer-joined":
		p.meet(m["peer"])
	case "resume":
		p.token, p.keepsRoom = m["token"].(string), true
	case "ack":
		p.forget(m["ref"].(string))
	case "error":
		ref, _ := m["ref"].(string)
		if m["code"] != "not-in-room" || !p.asked[ref] {
			p.h.t.Errorf("%s: %v", p.name, m)
		}
		delete(p.asked, ref)
		p.forget(ref)
	case "signal":
		from := m["from"].(string)
		if p.heard[from]++; m["candidate"].(map[string]any)["candidate"] != strconv.Itoa(p.heard[from]) {
			p.h.t.Errorf("%s: %v is not message %d of %s", p.name, m["candidate"], p.heard[from], from)
		}
		if p.received%20 == 0 {
			p.write(msg{"type": "ack"})
		}
	case "peer-away", "peer-back", "going-away", "host":
	default:
		p.h.t.Errorf("%s: %v", p.name, m)
	}
}

// meet adds mates that are not known yet; mu is held.
func (p *fragile) meet(peers ...any) {
	for _, peer := range peers {
		if session := peer.(map[string]any)["session"].(string); !slices.Contains(p.mates, session) {
			p.mates = append(p.mates, session)
		}
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

// close ends the peer. The caller must wait for its goroutines.
func (p *fragile) close() {
	p.mu.Lock()
	p.closed = true
	if p.conn != nil {
		p.conn.Close()
	}
	p.mu.Unlock()
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
