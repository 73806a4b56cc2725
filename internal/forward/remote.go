package forward

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// listenRequest asks the other side to listen: the line that begins a stream "listen". Each connection comes back as a stream back/ID. The
// listener goes with the stream. A peer that asks with the ID of a listener of its own takes its place: the former stream may be dead, and
// nobody knows yet.
type listenRequest struct {
	ID      string `json:"id"`
	Network string `json:"network"`        // tcp or udp
	Bind    string `json:"bind,omitempty"` // empty: that machine alone; "*": every interface
	Port    uint16 `json:"port"`           // zero: any
}

// listenAnswer follows the acceptance.
type listenAnswer struct {
	Address string `json:"address"`
}

// maxListenLine is the greatest length of such a line.
const maxListenLine = 1024

// The networks of a request.
const (
	networkTCP = "tcp"
	networkUDP = "udp"
)

// remotes are the forwards for which the other side listens, by their IDs.
type remotes struct {
	mu   sync.Mutex
	byID map[string]Spec // guarded by mu
}

func (r *remotes) add(s Spec) (id string) {
	id = strings.ToLower(rand.Text())
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil {
		r.byID = map[string]Spec{}
	}
	r.byID[id] = s
	return id
}

func (r *remotes) find(id string) (Spec, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.byID[id]
	return s, ok
}

// The pauses before the peer is asked once more to listen.
const (
	askAgain     = time.Second
	askAgainMost = 15 * time.Second
)

// ServeRemote has the peer listen, and listen again whenever it comes back, until ctx ends. made hears where it listens, each time. Only the
// first time an error ends it, before which nobody knows whether the peer would.
func (c *Client) ServeRemote(ctx context.Context, s Spec, made func(address string)) error {
	id := c.remotes.add(s)
	again := askAgain
	for first := true; ; first = false {
		asking, cancel := waiting(ctx, c.Wait)
		stream, address, err := c.listen(asking, id, s)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil:
			c.failed(ctx, s, err)
			again = min(2*again, askAgainMost)
		default:
			again = askAgain
			made(address)
			stop := context.AfterFunc(ctx, stream.Reset)
			_, _ = stream.Read(make([]byte, 1)) // nothing comes but the end
			stop()
			stream.Reset()
		}
		if !pause(ctx, again) {
			return nil
		}
	}
}

func (c *Client) listen(ctx context.Context, id string, s Spec) (Stream, string, error) {
	request := listenRequest{ID: id, Network: networkTCP, Bind: s.Bind, Port: s.Port}
	if s.UDP {
		request.Network = networkUDP
	}
	line, err := json.Marshal(request)
	if err != nil {
		return nil, "", err
	}
	stream, err := c.Ask(ctx, ListenName, string(line)+"\n")
	if err != nil {
		return nil, "", err
	}
	stop := context.AfterFunc(ctx, stream.Reset)
	defer stop()
	var answer listenAnswer
	text, err := readLine(stream, maxListenLine)
	if err == nil {
		err = json.Unmarshal([]byte(text), &answer)
	}
	if err != nil {
		stream.Reset()
		return nil, "", fmt.Errorf("the answer is none of the protocol: %w", err)
	}
	return stream, answer.Address, nil
}

// ServeBack connects a stream back/ID to where its forward leads: this machine's own network, which its user has named. It returns when the
// stream has ended.
func (c *Client) ServeBack(ctx context.Context, stream Stream) {
	s, ok := c.remotes.find(strings.TrimPrefix(stream.Name(), BackPrefix))
	if !ok {
		Refuse(stream, "nobody has asked for that here")
		return
	}
	select {
	case c.Places <- struct{}{}:
		defer func() { <-c.Places }()
	default:
		Refuse(stream, tooMany(cap(c.Places)))
		return
	}
	out := outward{udp: s.UDP, look: net.DefaultResolver.LookupNetIP, resolve: ownNetwork, windows: &c.windows}
	out.connect(ctx, stream, s.To)
}

func tooMany(n int) string { return fmt.Sprintf("%d connections are open, and no more are allowed", n) }

// outward is a way out of this machine.
type outward struct {
	udp     bool
	look    lookup
	resolve resolver
	windows *budget // nil: bytes follow the answer, without frames
}

// connect takes a stream, once there is a connection for it. It returns when both have ended.
func (o outward) connect(ctx context.Context, stream Stream, d Destination) {
	dialing, cancel := context.WithTimeout(ctx, dialTime)
	local, err := o.dial(dialing, d)
	cancel()
	if err != nil {
		Refuse(stream, fmt.Sprintf("%s there: %v", d, Reason(err)))
		return
	}
	if err := Accept(stream); err != nil {
		stream.Reset()
		_ = local.Close()
		return
	}
	switch {
	case o.udp:
		joinUDP(ctx, stream, local)
	case o.windows != nil:
		Join(ctx, newWindow(stream, o.windows), local)
	default:
		Join(ctx, stream, local)
	}
}

// dialTime is how long a destination may take to answer.
const dialTime = 10 * time.Second

// dial connects to the first address of d that answers.
func (o outward) dial(ctx context.Context, d Destination) (net.Conn, error) {
	network := networkTCP
	if o.udp {
		network = networkUDP
	}
	addrs, err := o.resolve(ctx, o.look, d.Host)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	var first error
	for i, addr := range addrs {
		one, cancel := ctx, context.CancelFunc(func() {})
		if left := len(addrs) - i; left > 1 { // a share of the time for each
			deadline, _ := ctx.Deadline()
			one, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		}
		conn, err := dialer.DialContext(one, network, net.JoinHostPort(addr.String(), fmt.Sprint(d.Port)))
		cancel()
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = errors.New("no such host")
	}
	return nil, first
}

// readRequest reads and checks what a stream "listen" begins with.
func readRequest(stream Stream) (id string, s Spec, err error) {
	_ = stream.SetReadDeadline(time.Now().Add(handshakeTime))
	line, err := readLine(stream, maxListenLine)
	if err != nil {
		return "", Spec{}, err
	}
	_ = stream.SetReadDeadline(time.Time{})
	return parseRequest(line)
}

func parseRequest(line string) (id string, s Spec, err error) {
	var request listenRequest
	if err := json.Unmarshal([]byte(line), &request); err != nil {
		return "", Spec{}, errors.New("the request is no JSON")
	}
	id = request.ID
	if id == "" || len(id) > maxName-len(BackPrefix) || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return "", Spec{}, errors.New("the request has an ID that cannot be one")
	}
	s.UDP, s.Port = request.Network == networkUDP, request.Port
	if !s.UDP && request.Network != networkTCP {
		return "", Spec{}, errors.New("the request names a network that is neither tcp nor udp")
	}
	if request.Bind != "" {
		if s.Bind, err = parseBind(request.Bind); err != nil {
			return "", Spec{}, errors.New("the request names an address that is none")
		}
	}
	return id, s, nil
}

// writeAnswer says that the listener is there.
func writeAnswer(stream Stream, address string) error {
	to := bufio.NewWriter(stream)
	if err := Accept(to); err != nil {
		return err
	}
	if err := json.NewEncoder(to).Encode(listenAnswer{address}); err != nil {
		return err
	}
	return to.Flush()
}
