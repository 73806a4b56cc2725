package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/things-go/go-socks5/statute"
)

// handshakeTime is how long a program may take to say what it wants.
const handshakeTime = 10 * time.Second

// ServeSOCKS is a SOCKS5 server (RFC 1928) whose connections and datagrams go out at the peer, which also resolves names. It serves until
// ctx ends. It knows CONNECT and UDP ASSOCIATE, and asks for no password: its listener's address says who may come.
func (c *Client) ServeSOCKS(ctx context.Context, listener net.Listener, s Spec) {
	eachConn(ctx, listener, c.Places, func(ctx context.Context, local net.Conn) {
		stop := context.AfterFunc(ctx, func() { _ = local.Close() })
		defer stop()
		if err := c.socks(ctx, &program{Conn: local}, s); err != nil {
			c.failed(ctx, s, err)
		}
	})
}

// program is a connection of a program of this machine. If it breaks or is silent, that is no failure of the forward: it has gone.
type program struct {
	net.Conn
	gone bool
}

func (p *program) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	p.gone = p.gone || err != nil
	return n, err
}

// socks serves one connection, and closes it.
func (c *Client) socks(ctx context.Context, p *program, s Spec) error {
	local := p.Conn
	defer local.Close()
	_ = local.SetDeadline(time.Now().Add(handshakeTime))
	command, d, err := greet(p)
	if p.gone && !errors.Is(err, errNotSOCKS) {
		return nil
	}
	if err != nil {
		return err
	}
	_ = local.SetDeadline(time.Time{})
	switch command {
	case statute.CommandConnect:
		stream, err := c.to(ctx, TCPPrefix, d)
		if err != nil {
			_ = reply(local, replyTo(err), netip.AddrPort{})
			return fmt.Errorf("%s: %w", d, err)
		}
		if err := reply(local, statute.RepSuccess, netip.AddrPort{}); err != nil {
			stream.Reset()
			return nil // the program has gone
		}
		Join(ctx, newWindow(stream, &c.windows), local)
		return nil
	case statute.CommandAssociate:
		return c.associate(ctx, local, s)
	}
	_ = reply(local, statute.RepCommandNotSupported, netip.AddrPort{})
	return errors.New("a program asked SOCKS5 for something else than CONNECT and UDP ASSOCIATE")
}

// errNotSOCKS is said of a browser, for example, that takes the port for an HTTP proxy's.
var errNotSOCKS = errors.New("a program speaks something else than SOCKS5 there")

// greet reads what a program wants, and answers what it refuses.
func greet(local io.ReadWriter) (command byte, d Destination, err error) {
	var version [1]byte
	if _, err := io.ReadFull(local, version[:]); err != nil {
		return 0, Destination{}, err
	}
	if version[0] != statute.VersionSocks5 {
		return 0, Destination{}, errNotSOCKS
	}
	methods, err := statute.ParseMethodRequest(io.MultiReader(bytes.NewReader(version[:]), local))
	switch {
	case err != nil:
		return 0, Destination{}, err
	case !strings.Contains(string(methods.Methods), string(statute.MethodNoAuth)):
		_, _ = local.Write([]byte{statute.VersionSocks5, statute.MethodNoAcceptable})
		return 0, Destination{}, errors.New("a program wants to sign in by SOCKS5; this forward takes no password")
	}
	if _, err := local.Write([]byte{statute.VersionSocks5, statute.MethodNoAuth}); err != nil {
		return 0, Destination{}, err
	}
	request, err := statute.ParseRequest(local)
	if errors.Is(err, statute.ErrUnrecognizedAddrType) {
		_ = reply(local, statute.RepAddrTypeNotSupported, netip.AddrPort{})
	}
	if err != nil {
		return 0, Destination{}, err
	}
	if request.Command == statute.CommandAssociate {
		return request.Command, Destination{}, nil // where from it will send says its first datagram
	}
	if d, err = socksDestination(request.DstAddr); err != nil {
		_ = reply(local, statute.RepHostUnreachable, netip.AddrPort{})
	}
	return request.Command, d, err
}

func socksDestination(a statute.AddrSpec) (d Destination, err error) {
	host := a.FQDN
	if addr, ok := netip.AddrFromSlice(a.IP); ok {
		host = addr.Unmap().String()
	}
	if a.Port < 1 || a.Port > 65535 {
		return Destination{}, fmt.Errorf("%d is no port", a.Port)
	}
	d.Port = uint16(a.Port)
	d.Host, err = parseHost(host)
	return d, err
}

// reply answers a request. at is where the program sends datagrams to, if it may.
func reply(local io.Writer, code byte, at netip.AddrPort) error {
	answer := statute.Reply{Version: statute.VersionSocks5, Response: code, BndAddr: addrSpec(at)}
	_, err := local.Write(answer.Bytes())
	return err
}

func addrSpec(at netip.AddrPort) statute.AddrSpec {
	addr := at.Addr().Unmap()
	if !addr.IsValid() {
		addr = netip.IPv4Unspecified()
	}
	kind := statute.ATYPIPv4
	if addr.Is6() {
		kind = statute.ATYPIPv6
	}
	return statute.AddrSpec{IP: addr.AsSlice(), Port: int(at.Port()), AddrType: kind}
}

// replyTo says in SOCKS5's codes what the peer says in words.
func replyTo(err error) byte {
	refusal, ok := errors.AsType[*Refusal](err)
	switch {
	case !ok:
		return statute.RepNetworkUnreachable // the peer is away
	case strings.Contains(refusal.Why, notAllowed):
		return statute.RepRuleFailure
	case strings.HasSuffix(refusal.Why, syscall.ECONNREFUSED.Error()):
		return statute.RepConnectionRefused
	}
	return statute.RepHostUnreachable
}

// associate carries datagrams for a program, for as long as its connection is open.
func (c *Client) associate(ctx context.Context, local net.Conn, s Spec) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	here, there := addrOf(local.LocalAddr()).Addr(), addrOf(local.RemoteAddr()).Addr()
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(here, 0)))
	if err != nil {
		_ = reply(local, statute.RepServerFailure, netip.AddrPort{})
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	defer stop()
	defer socket.Close()
	if err := reply(local, statute.RepSuccess, addrOf(socket.LocalAddr())); err != nil {
		return nil
	}
	all := newFlows(ctx, c.Wait, &c.backlog)
	defer all.running.Wait()
	all.running.Go(func() { // the end of the connection is the end of all
		defer cancel()
		_, _ = io.Copy(io.Discard, local)
	})
	defer local.Close()
	defer cancel()
	var program netip.AddrPort // where its first datagram came from
	buffer := make([]byte, maxDatagram)
	for {
		n, from, err := socket.ReadFromUDPAddrPort(buffer)
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return nil
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if err != nil && !pause(ctx, time.Millisecond) { // else an error that lasts would take a whole core
			return nil
		}
		d, data, ok := socksDatagram(buffer[:n])
		if err != nil || !ok || from.Addr() != there || program.IsValid() && from != program {
			continue
		}
		program = from
		all.send(flowKey{from, d}, data, func() (func(context.Context) (Stream, error), func([]byte)) {
			header := socksHeader(d)
			var whole []byte
			open := func(ctx context.Context) (Stream, error) {
				stream, err := c.Ask.to(ctx, UDPPrefix, d)
				if err != nil {
					c.failed(ctx, s, fmt.Errorf("%s: %w", d, err))
				}
				return stream, err
			}
			return open, func(datagram []byte) {
				whole = append(append(whole[:0], header...), datagram...)
				_, _ = socket.WriteToUDPAddrPort(whole, from) // it may be lost
			}
		})
	}
}

// socksDatagram takes the header away. Fragments are passed over, as RFC 1928 §7 allows.
func socksDatagram(b []byte) (d Destination, data []byte, ok bool) {
	datagram, err := statute.ParseDatagram(b)
	if err != nil || datagram.Frag != 0 {
		return Destination{}, nil, false
	}
	d, err = socksDestination(datagram.DstAddr)
	return d, datagram.Data, err == nil
}

func socksHeader(d Destination) []byte {
	spec := statute.AddrSpec{FQDN: d.Host, Port: int(d.Port), AddrType: statute.ATYPDomain}
	if addr, err := netip.ParseAddr(d.Host); err == nil {
		spec = addrSpec(netip.AddrPortFrom(addr, d.Port))
	}
	header := statute.Datagram{DstAddr: spec}
	return header.Header()
}

// addrOf is the address of a TCP or UDP socket.
func addrOf(a net.Addr) netip.AddrPort {
	from, ok := a.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}
	}
	at := from.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}
