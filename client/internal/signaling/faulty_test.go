package signaling

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"example.org/turnpike/signal/wire"
)

// faultyNetwork carries WebSockets, and everything goes wrong on it: connections break at any moment, go on in one direction
// only, die without a sign, stall, deliver a message twice, or lose one.
type faultyNetwork struct {
	dial Dial // over a network without faults

	mu     sync.Mutex
	random *rand.Rand
	calm   bool // nothing goes wrong any more
	open   map[*faultyConn]bool
	counts map[string]int
}

func (n *faultyNetwork) dice() float64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.random.Float64()
}

// happens reports whether something of a small chance happens now, and counts it.
func (n *faultyNetwork) happens(what string, chance float64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.calm || n.random.Float64() >= chance {
		return false
	}
	n.counts[what]++
	return true
}

func (n *faultyNetwork) latency() time.Duration {
	if n.happens("stalled", 0.01) {
		return time.Duration(n.dice() * 3 * float64(time.Second))
	}
	return time.Duration((5 + 60*n.dice()) * float64(time.Millisecond))
}

// Dial is a [Dial].
func (n *faultyNetwork) Dial(ctx context.Context, heard func()) (Conn, error) {
	if n.happens("unreachable", 0.1) {
		return nil, errors.New("unreachable")
	}
	if n.happens("no answer", 0.03) {
		select {
		case <-ctx.Done():
		case <-time.After(dialTimeout):
		}
		return nil, errors.New("no answer")
	}
	time.Sleep(n.latency())
	n.mu.Lock()
	dial := n.dial
	n.mu.Unlock()
	inner, err := dial(ctx, heard)
	if err != nil {
		return nil, err
	}
	c := &faultyConn{network: n, inner: inner, up: make(chan []byte, 1000), down: make(chan []byte, 5000), in: make(chan []byte),
		closed: make(chan struct{})}
	n.mu.Lock()
	n.open[c] = true
	n.mu.Unlock()
	c.pumps.Go(c.pumpUp)
	c.pumps.Go(c.read)
	c.pumps.Go(c.pumpDown)
	c.pumps.Go(c.plan)
	return c, nil
}

func (n *faultyNetwork) all() (conns []*faultyConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.open {
		conns = append(conns, c)
	}
	return conns
}

// calmDown breaks what is open, and nothing after that.
func (n *faultyNetwork) calmDown() {
	n.mu.Lock()
	n.calm = true
	n.mu.Unlock()
	n.breakAll()
}

func (n *faultyNetwork) breakAll() {
	for _, c := range n.all() {
		c.fail(errors.New("broken"))
	}
}

// wait waits until all goroutines of connections have ended.
func (n *faultyNetwork) wait() {
	for _, c := range n.all() {
		c.Close()
		c.pumps.Wait()
	}
}

// faultyConn is one WebSocket over the network.
type faultyConn struct {
	network  *faultyNetwork
	inner    Conn
	up, down chan []byte // on the way
	in       chan []byte
	closed   chan struct{}
	pumps    sync.WaitGroup

	mu             sync.Mutex
	isClosed       bool
	err            error
	cutUp, cutDown bool
}

// plan has something go wrong after a while.
func (c *faultyConn) plan() {
	life := time.Duration(-math.Log(1-c.network.dice()) * 4 * float64(time.Second))
	if !c.sleep(life) {
		return
	}
	switch n := c.network; {
	case n.happens("broken", 0.6):
		c.fail(errors.New("broken"))
	case n.happens("silent", 0.5):
		c.cut(true, true)
	case n.happens("half dead", 0.5):
		c.cut(true, false)
	case n.happens("half dead", 1):
		c.cut(false, true)
	}
}

func (c *faultyConn) cut(up, down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutUp, c.cutDown = c.cutUp || up, c.cutDown || down
}

// sleep reports false if the connection was closed first.
func (c *faultyConn) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-c.closed:
		return false
	}
}

func (c *faultyConn) pumpUp() {
	for {
		select {
		case data := <-c.up:
			if !c.sleep(c.network.latency() / 10) {
				return
			}
			c.mu.Lock()
			isCut := c.cutUp
			c.mu.Unlock()
			if !isCut && c.inner.WriteMessage(data) != nil {
				return // the reader learns of it
			}
		case <-c.closed:
			return
		}
	}
}

func (c *faultyConn) read() {
	for {
		data, err := c.inner.ReadMessage()
		if err != nil {
			c.mu.Lock()
			isCut := c.cutDown
			c.mu.Unlock()
			if !isCut {
				c.fail(err)
			}
			return
		}
		select {
		case c.down <- data:
		case <-c.closed:
			return
		}
	}
}

func (c *faultyConn) pumpDown() {
	for {
		select {
		case data := <-c.down:
			if !c.sleep(c.network.latency() / 10) {
				return
			}
			c.mu.Lock()
			isCut := c.cutDown
			c.mu.Unlock()
			times := 1
			if _, seq, _ := wire.ParseServer(data); seq > 0 {
				if c.network.happens("doubled", 0.02) {
					times = 2
				} else if c.network.happens("skipped", 0.001) {
					times = 0
				}
			}
			for range times {
				if isCut {
					break
				}
				select {
				case c.in <- data:
				case <-c.closed:
					return
				}
			}
		case <-c.closed:
			return
		}
	}
}

func (c *faultyConn) ReadMessage() ([]byte, error) {
	select {
	case data := <-c.in:
		return data, nil
	case <-c.closed:
		c.mu.Lock()
		defer c.mu.Unlock()
		return nil, c.err
	}
}

func (c *faultyConn) WriteMessage(data []byte) error {
	select {
	case c.up <- data:
		return nil
	case <-c.closed:
		return errors.New("closed")
	}
}

func (c *faultyConn) Close() error {
	c.fail(errors.New("closed"))
	return nil
}

func (c *faultyConn) fail(err error) {
	c.mu.Lock()
	was := c.isClosed
	if c.isClosed = true; !was {
		c.err = err
	}
	c.mu.Unlock()
	if was {
		return
	}
	if _, byServer := errors.AsType[*websocket.CloseError](err); !byServer && c.network.happens("unnoticed", 0.3) {
		c.pumps.Go(func() { // the server learns of it late
			time.Sleep(time.Duration(c.network.dice() * 45 * float64(time.Second)))
			_ = c.inner.Close()
		})
	} else {
		_ = c.inner.Close()
	}
	close(c.closed)
}
