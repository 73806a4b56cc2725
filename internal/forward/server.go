package forward

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Server is the side that allows. It serves streams of peers that its caller knows.
type Server struct {
	// Allow says what may be reached from here, AllowRemote where others may have this machine listen. Their zero values allow nothing.
	Allow       Allow
	AllowRemote AllowRemote
	// OfPeer and OfAll bound the streams of a peer, and of all together. Zero: MaxOpen, and twice as many.
	OfPeer, OfAll int
	// Wait is how long a connection to a listener of others waits until they take it.
	Wait time.Duration
	// Lookup resolves names. Nil: this machine's resolver.
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

	windows budget
	backlog backlog

	mu        sync.Mutex
	open      map[string]int // streams of each peer; guarded by mu, as is all below
	total     int
	listeners map[listenerKey]*remoteListener
}

// From is a peer, as the server knows it.
type From struct {
	Name string // by which its streams are counted
	Ask  Ask    // asks it for a stream
}

// Bounds of listeners, for all and for a peer.
const (
	maxListeners       = 64
	maxListenersOfPeer = 16
)

// notAllowed is in a refusal for which somebody here must allow more.
const notAllowed = "is not allowed here"

// Serves reports whether a stream of that name is one for a Server.
func Serves(name string) bool {
	return name == ListenName || strings.HasPrefix(name, TCPPrefix) || strings.HasPrefix(name, UDPPrefix)
}

// Serve serves one stream, until it has ended. The end of ctx resets it.
func (s *Server) Serve(ctx context.Context, from From, stream Stream) {
	if why := s.enter(from.Name); why != "" {
		Refuse(stream, why)
		return
	}
	defer s.leave(from.Name)
	stop := context.AfterFunc(ctx, stream.Reset)
	defer stop()
	name := stream.Name()
	if name == ListenName {
		s.listen(ctx, from, stream)
		return
	}
	text, isUDP := strings.CutPrefix(name, UDPPrefix)
	if !isUDP {
		text = strings.TrimPrefix(name, TCPPrefix)
	}
	d, framed, err := readDestination(stream, text)
	switch {
	case err != nil:
		Refuse(stream, err.Error())
	case !s.Allow.permits(isUDP, d):
		Refuse(stream, s.onlyThese(isUDP, d))
	default:
		out := outward{udp: isUDP, look: s.Lookup, resolve: resolve}
		if out.look == nil {
			out.look = net.DefaultResolver.LookupNetIP
		}
		if framed {
			out.windows = &s.windows
		}
		out.connect(ctx, stream, d)
	}
}

// readDestination returns where a stream shall go to. A port alone is one of this machine's, and its bytes come without frames, as from pipe.
func readDestination(stream Stream, text string) (d Destination, framed bool, err error) {
	if port, err := parsePort(text); err == nil {
		return Destination{localhost, port}, false, nil
	}
	if text == "" {
		_ = stream.SetReadDeadline(time.Now().Add(handshakeTime))
		if text, err = readLine(stream, maxDestination+1); err != nil {
			return Destination{}, false, fmt.Errorf("no destination: %w", err)
		}
		_ = stream.SetReadDeadline(time.Time{})
	}
	d, err = ParseDestination(text)
	return d, true, err
}

// onlyThese says what is allowed, as far as it fits.
func (s *Server) onlyThese(udp bool, d Destination) string {
	asked := d.String()
	if udp {
		asked = UDPPrefix + asked
	}
	if len(s.Allow) == 0 {
		return fmt.Sprintf("%s %s; nothing is", asked, notAllowed)
	}
	return fmt.Sprintf("%s %s; only %s", asked, notAllowed, s.Allow.String())
}

// enter counts a stream, or says why it may not be one more.
func (s *Server) enter(name string) string {
	ofPeer, ofAll := cmp.Or(s.OfPeer, MaxOpen), cmp.Or(s.OfAll, 2*MaxOpen)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.open[name] >= ofPeer:
		return fmt.Sprintf("%d connections of yours are open, and no more are allowed", ofPeer)
	case s.total >= ofAll:
		return tooMany(ofAll)
	}
	if s.open == nil {
		s.open = map[string]int{}
	}
	s.open[name]++
	s.total++
	return ""
}

func (s *Server) leave(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.open[name]--; s.open[name] == 0 {
		delete(s.open, name)
	}
}

type listenerKey struct{ owner, id string }

// remoteListener is a listener that a peer has asked for.
type remoteListener struct {
	end    context.CancelFunc
	closed chan struct{} // closed once its port is free
}

// listen listens for a peer, until its stream ends.
func (s *Server) listen(ctx context.Context, from From, stream Stream) {
	id, spec, err := readRequest(stream)
	if err != nil {
		Refuse(stream, err.Error())
		return
	}
	if !s.AllowRemote.permits(spec) {
		Refuse(stream, s.notThere(spec))
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	own := &remoteListener{cancel, make(chan struct{})}
	key := listenerKey{from.Name, id}
	if why := s.replace(ctx, key, own); why != "" {
		Refuse(stream, why)
		return
	}
	defer s.forget(key, own)
	open := func(ctx context.Context) (Stream, error) { return from.Ask(ctx, BackPrefix+id, "") }
	var address string
	var serve func()
	if spec.UDP {
		socket, err := spec.ListenUDP(ctx)
		if err != nil {
			Refuse(stream, err.Error())
			return
		}
		address = socket.LocalAddr().String()
		serve = func() { serveFlows(ctx, socket, s.Wait, &s.backlog, s.counted(from.Name, open), func(error) {}) }
	} else {
		listener, err := spec.ListenTCP(ctx)
		if err != nil {
			Refuse(stream, err.Error())
			return
		}
		address = listener.Addr().String()
		serve = func() {
			eachConn(ctx, listener, make(Places, MaxOpen), func(ctx context.Context, local net.Conn) { s.back(ctx, from.Name, open, local) })
		}
	}
	if err := writeAnswer(stream, address); err != nil {
		cancel() // which closes the listener
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer cancel()
		_, _ = stream.Read(make([]byte, 1)) // nothing comes but the end
	}()
	serve()
	stream.Reset()
	<-ended
}

// counted counts the streams of an open for a peer, until they are reset, as all of UDP are.
func (s *Server) counted(name string, open func(context.Context) (Stream, error)) func(context.Context) (Stream, error) {
	return func(ctx context.Context) (Stream, error) {
		if why := s.enter(name); why != "" {
			return nil, errors.New(why)
		}
		stream, err := open(ctx)
		if err != nil {
			s.leave(name)
			return nil, err
		}
		return countedStream{stream, sync.OnceFunc(func() { s.leave(name) })}, nil
	}
}

type countedStream struct {
	Stream
	leave func()
}

func (c countedStream) Reset() {
	c.Stream.Reset()
	c.leave()
}

// back takes a connection to the peer that has asked for the listener.
func (s *Server) back(ctx context.Context, name string, open func(context.Context) (Stream, error), local net.Conn) {
	if s.enter(name) != "" {
		ResetTCP(local)
		return
	}
	defer s.leave(name)
	asking, cancel := waiting(ctx, s.Wait)
	stream, err := open(asking)
	cancel()
	if err != nil {
		ResetTCP(local)
		return
	}
	Join(ctx, newWindow(stream, &s.windows), local)
}

// replace puts a listener into the place of the peer's former one of the same ID, once that has ended.
func (s *Server) replace(ctx context.Context, key listenerKey, own *remoteListener) string {
	s.mu.Lock()
	former := s.listeners[key]
	if most := s.mayListen(key.owner); former == nil && most > 0 {
		s.mu.Unlock()
		return fmt.Sprintf("%d listeners are open for others, and no more are allowed", most)
	}
	if s.listeners == nil {
		s.listeners = map[listenerKey]*remoteListener{}
	}
	s.listeners[key] = own
	s.mu.Unlock()
	if former != nil {
		former.end()
		select {
		case <-former.closed:
		case <-ctx.Done():
		}
	}
	return ""
}

// mayListen returns the bound that one more listener would break, or zero. The caller holds mu.
func (s *Server) mayListen(owner string) int {
	own := 0
	for key := range s.listeners {
		if key.owner == owner {
			own++
		}
	}
	switch {
	case own >= maxListenersOfPeer:
		return maxListenersOfPeer
	case len(s.listeners) >= maxListeners:
		return maxListeners
	}
	return 0
}

func (s *Server) forget(key listenerKey, own *remoteListener) {
	close(own.closed)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners[key] == own {
		delete(s.listeners, key)
	}
}

func (s *Server) notThere(spec Spec) string {
	if len(s.AllowRemote) == 0 {
		return "to listen for others " + notAllowed
	}
	return fmt.Sprintf("to listen there %s; only on %s", notAllowed, s.AllowRemote.String())
}
