package path

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/turn/v5"
)

// headStart is how much earlier TCP is tried than what encrypts a second time.
const headStart = 200 * time.Millisecond

// gatherStreams tries relays by TCP, TLS and DTLS, and keeps the first that works.
func (p *Path) gatherStreams(ctx context.Context, all []endpoint, found func(*relay)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		group sync.WaitGroup
		first atomic.Bool
	)
	for _, e := range all {
		if e.protocol == "udp" || !e.relays() {
			continue
		}
		group.Go(func() {
			if e.protocol != "tcp" {
				wait := time.NewTimer(headStart)
				defer wait.Stop()
				select {
				case <-wait.C:
				case <-ctx.Done():
					return
				}
			}
			r, err := p.dialRelay(ctx, e)
			switch {
			case err != nil:
				if p.config.Logger != nil && ctx.Err() == nil {
					p.config.Logger.Info("the server gave no relay", "server", e.host, "protocol", e.protocol, "error", err)
				}
			case !first.CompareAndSwap(false, true):
				r.close()
			case !p.keepStream(r):
				r.close()
			default:
				cancel()
				found(r)
			}
		})
	}
	group.Wait()
}

func (p *Path) keepStream(r *relay) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return false
	}
	r.generation = p.generation
	p.streams = append(p.streams, r)
	return true
}

// closeStale ends the relays by connections of their own that belong to former generations.
func (p *Path) closeStale() {
	p.mu.Lock()
	var stale, kept []*relay
	for _, r := range p.streams {
		if r.generation < p.generation {
			stale = append(stale, r)
		} else {
			kept = append(kept, r)
		}
	}
	p.streams = kept
	p.mu.Unlock()
	for _, r := range stale {
		r.close()
	}
}

// dialRelay makes an allocation by a connection of its own.
func (p *Path) dialRelay(ctx context.Context, e endpoint) (*relay, error) {
	conn, packets, err := p.dialServer(ctx, e)
	if err != nil {
		return nil, err
	}
	out := &outbox{PacketConn: packets, queue: make(chan []byte, maxOutbox), done: make(chan struct{})}
	if !p.tasks.Run(out.run) {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	// A client of pion's takes the address that it sends to from a UDP address, though only the connection counts.
	client, err := p.newClient(out, e.credential, turn.RequestedAddressFamilyIPv4, conn.RemoteAddr().String())
	if err != nil {
		out.stop()
		_ = conn.Close()
		return nil, err
	}
	if !p.tasks.Run(func() { defer out.stop(); serve(client, packets, net.UDPAddrFromAddrPort(remoteOf(conn))) }) {
		out.stop()
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	allocated, err := client.AllocateWithContext(ctx)
	if err != nil {
		client.Close()
		_ = conn.Close()
		return nil, err
	}
	r, err := p.newRelay(allocated, client, netip.AddrPort{}, e.host, e.protocol, conn)
	if err != nil {
		client.Close()
		_ = conn.Close()
		return nil, err
	}
	return r, nil
}

// maxOutbox bounds the packets that wait for a connection.
const maxOutbox = 64

// outboxWait is how long a packet waits for a place, before it is lost. A connection that has died in silence takes
// nothing more, and must hold up neither ICE nor QUIC.
const outboxWait = 20 * time.Millisecond

// outbox writes packets to a connection that may block.
type outbox struct {
	net.PacketConn
	queue chan []byte
	done  chan struct{}
	once  sync.Once
}

func (o *outbox) run() {
	defer o.stop()
	for {
		select {
		case b := <-o.queue:
			if _, err := o.PacketConn.WriteTo(b, nil); err != nil {
				return
			}
		case <-o.done:
			// Packets from before the end go out, above all the one that ends the allocation.
			for {
				select {
				case b := <-o.queue:
					if _, err := o.PacketConn.WriteTo(b, nil); err != nil {
						return
					}
				default:
					return
				}
			}
		}
	}
}

func (o *outbox) stop() { o.once.Do(func() { close(o.done) }) }

// WriteTo never waits for long.
func (o *outbox) WriteTo(b []byte, _ net.Addr) (int, error) {
	p := append([]byte(nil), b...)
	select {
	case o.queue <- p:
		return len(b), nil
	case <-o.done:
		return 0, net.ErrClosed
	default:
	}
	t := time.NewTimer(outboxWait)
	defer t.Stop()
	select {
	case o.queue <- p:
	case <-t.C:
	case <-o.done:
		return 0, net.ErrClosed
	}
	return len(b), nil
}

func remoteOf(c net.Conn) netip.AddrPort {
	a, _ := netip.ParseAddrPort(c.RemoteAddr().String())
	return canonical(a)
}

// serve gives a client what its connection brings, until that ends.
func serve(client *turn.Client, packets net.PacketConn, from net.Addr) {
	b := make([]byte, bufferSize)
	for {
		n, _, err := packets.ReadFrom(b)
		if err != nil {
			client.Close()
			return
		}
		_, _ = client.HandleInbound(b[:n], from)
	}
}

func (p *Path) dialServer(ctx context.Context, e endpoint) (net.Conn, net.PacketConn, error) {
	address := net.JoinHostPort(e.host, strconv.Itoa(int(e.port)))
	config := &tls.Config{}
	if p.config.TLS != nil {
		config = p.config.TLS.Clone()
	}
	config.ServerName = e.host
	switch e.protocol {
	case "tcp":
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, nil, err
		}
		return c, turn.NewSTUNConn(c), nil
	case "tls":
		d := tls.Dialer{Config: config}
		c, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, nil, err
		}
		return c, turn.NewSTUNConn(c), nil
	case "dtls":
		return dialDTLS(ctx, e, config)
	}
	return nil, nil, errors.ErrUnsupported
}

func dialDTLS(ctx context.Context, e endpoint, config *tls.Config) (net.Conn, net.PacketConn, error) {
	v4, v6, err := resolve(ctx, e.host)
	if err != nil {
		return nil, nil, err
	}
	to := netip.AddrPortFrom(v4, e.port)
	if v6.IsValid() && (!v4.IsValid() || !routed(to)) {
		to = netip.AddrPortFrom(v6, e.port)
	}
	if !to.IsValid() {
		return nil, nil, errors.New("the name of the server has no address")
	}
	c, err := dtls.DialWithOptions("udp", net.UDPAddrFromAddrPort(to), dtls.WithServerName(config.ServerName), dtls.WithRootCAs(config.RootCAs), dtls.WithInsecureSkipVerify(config.InsecureSkipVerify))
	if err != nil {
		return nil, nil, err
	}
	if err := c.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, nil, err
	}
	return c, datagrams{c}, nil
}

// datagrams is a connected conn of datagrams as a net.PacketConn.
type datagrams struct{ net.Conn }

func (d datagrams) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := d.Read(b)
	return n, d.RemoteAddr(), err
}

func (d datagrams) WriteTo(b []byte, _ net.Addr) (int, error) { return d.Write(b) }
