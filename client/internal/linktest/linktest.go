// Package linktest has links in memory, for tests: they signal as real ones do, and their paths come and go as a test wants.
//
//	Network.New ── link.Link ──▶ description, candidates by Config.Send ──▶ the other Link's Receive
//	                    └────────── streams and datagrams, in memory ──────────┘
package linktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

// Network joins links. Its zero value is ready.
type Network struct {
	mu     sync.Mutex
	made   int
	offers int
	down   bool
	links  map[string]*Link // by name
}

// Down takes all paths away, or gives them back to links that are restarted.
func (n *Network) Down(down bool) {
	n.mu.Lock()
	n.down = down
	n.mu.Unlock()
	for _, l := range n.all() {
		if down {
			l.setPath(link.Path{})
		}
	}
}

// Break ends all links as their transports would: nobody asked for it.
func (n *Network) Break() {
	for _, l := range n.all() {
		l.end()
	}
}

func (n *Network) all() []*Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.links))
}

// Offers returns how many offers were made.
func (n *Network) Offers() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.offers
}

// Open returns how many links are there.
func (n *Network) Open() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.links)
}

// Made returns how many links were made.
func (n *Network) Made() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.made
}

// Link is a link in memory.
type Link struct {
	network  *Network
	cfg      link.Config
	name     string
	incoming chan *stream
	packets  chan []byte
	closed   chan struct{}

	mu       sync.Mutex
	count    int    // of descriptions
	offer    string // that is open
	last     string // description of the other side
	other    *Link
	path     link.Path
	changed  chan struct{} // closed when path changes
	isClosed bool
	streams  []*stream
}

// New is a constructor of links.
func (n *Network) New(cfg link.Config) (link.Link, error) {
	l := &Link{network: n, cfg: cfg, incoming: make(chan *stream), packets: make(chan []byte, 128),
		closed: make(chan struct{}), changed: make(chan struct{})}
	n.mu.Lock()
	n.made++
	l.name = fmt.Sprintf("memory-%d", n.made)
	if n.links == nil {
		n.links = map[string]*Link{}
	}
	n.links[l.name] = l
	n.mu.Unlock()
	if cfg.Offers {
		l.Restart()
	}
	return l, nil
}

type description struct {
	Type string `json:"type"`
	SDP  string `json:"sdp"`
	ID   string `json:"id"`
	To   string `json:"to,omitempty"`
}

// describe sends a description, a candidate, and that there are no more.
func (l *Link) describe(typ string) {
	l.mu.Lock()
	l.count++
	d := description{Type: typ, SDP: "memory", ID: fmt.Sprintf("%s.%d", l.name, l.count), To: l.last}
	if l.offer = ""; typ == "offer" {
		l.offer = d.ID
	}
	l.mu.Unlock()
	if typ == "offer" {
		l.network.mu.Lock()
		l.network.offers++
		l.network.mu.Unlock()
	}
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // strings always encode
	}
	l.cfg.Send(wire.Payload{Description: text})
	for _, c := range []string{`{"candidate":"candidate:1 1 udp 1 11.22.33.44 5 typ host","sdpMid":"0","sdpMLineIndex":0}`, "null"} {
		l.cfg.Send(wire.Payload{Candidate: json.RawMessage(c)})
	}
}

// Receive implements [link.Link].
func (l *Link) Receive(p wire.Payload) {
	var d description
	if p.Description == nil || json.Unmarshal(p.Description, &d) != nil {
		return
	}
	l.mu.Lock()
	isAnswer, offering := d.Type == "answer", l.offer != ""
	switch {
	case l.isClosed,
		isAnswer && d.To != l.offer,
		!isAnswer && offering && !l.cfg.Polite,
		!isAnswer && d.To != "" && nameIn(d.To) != l.name:
		l.mu.Unlock()
		return
	}
	l.last = d.ID
	if isAnswer {
		l.offer = ""
	}
	l.mu.Unlock()
	if !isAnswer {
		l.describe("answer")
	}
	l.connect(nameIn(d.ID))
}

func nameIn(id string) string {
	name, _, _ := strings.Cut(id, ".")
	return name
}

func (l *Link) connect(name string) {
	l.network.mu.Lock()
	other, down := l.network.links[name], l.network.down
	l.network.mu.Unlock()
	if other == nil || down {
		return
	}
	l.mu.Lock()
	l.other = other
	l.mu.Unlock()
	l.setPath(link.Path{Transport: link.QUIC, Protocol: "udp", Local: netip.MustParseAddrPort("11.22.33.44:5"),
		Remote: netip.MustParseAddrPort("11.22.33.55:6"), RTT: time.Millisecond})
}

func (l *Link) setPath(p link.Path) {
	l.mu.Lock()
	if l.isClosed || l.path == p {
		l.mu.Unlock()
		return
	}
	l.path = p
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
	if l.cfg.OnPath != nil {
		l.cfg.OnPath(p)
	}
}

// Restart implements [link.Link].
func (l *Link) Restart() {
	select {
	case <-l.closed:
	default:
		l.describe("offer")
	}
}

// SetICEServers implements [link.Link].
func (l *Link) SetICEServers([]wire.ICEServer) {}

// Path implements [link.Link].
func (l *Link) Path() (link.Path, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.path, l.path != link.Path{}
}

// withPath waits for a path, and returns the other end.
func (l *Link) withPath(ctx context.Context) (*Link, error) {
	for {
		l.mu.Lock()
		other, changed, has := l.other, l.changed, l.path != link.Path{}
		l.mu.Unlock()
		if has {
			return other, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
}

// Open implements [link.Link].
func (l *Link) Open(ctx context.Context, name string) (link.Stream, error) {
	if len(name) > link.MaxName {
		return nil, errors.New("the name is too long")
	}
	other, err := l.withPath(ctx)
	if err != nil {
		return nil, err
	}
	here, there := pipe(name, l.name, other.name)
	l.mu.Lock()
	l.streams = append(l.streams, here)
	l.mu.Unlock()
	select {
	case other.incoming <- there:
		other.mu.Lock()
		other.streams = append(other.streams, there)
		other.mu.Unlock()
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-other.closed:
		return nil, net.ErrClosed
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Accept implements [link.Link].
func (l *Link) Accept(ctx context.Context) (link.Stream, error) {
	select {
	case s := <-l.incoming:
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// SendDatagram implements [link.Link].
func (l *Link) SendDatagram(data []byte) error {
	l.mu.Lock()
	other, has := l.other, l.path != link.Path{}
	l.mu.Unlock()
	if !has || len(data) > 1200 {
		return errors.New("there is no path for this datagram")
	}
	select {
	case other.packets <- append([]byte(nil), data...):
	default: // lost
	}
	return nil
}

// ReceiveDatagram implements [link.Link].
func (l *Link) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	select {
	case data := <-l.packets:
		return data, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [link.Link]. The other side learns of it.
func (l *Link) Close() error {
	l.end()
	l.mu.Lock()
	other := l.other
	l.mu.Unlock()
	if other != nil {
		other.end()
	}
	return nil
}

func (l *Link) end() {
	l.mu.Lock()
	if l.isClosed {
		l.mu.Unlock()
		return
	}
	l.isClosed = true
	streams := l.streams
	l.path = link.Path{}
	close(l.closed)
	l.mu.Unlock()
	l.network.mu.Lock()
	delete(l.network.links, l.name)
	l.network.mu.Unlock()
	for _, s := range streams {
		s.reset()
	}
}
