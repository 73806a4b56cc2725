package probe

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"github.com/pion/stun/v4"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/signal/wire"
)

// Own is the server of cfg on this machine. Its URL has the name of the certificate, and Dial leads to its first
// listener. A server behind a load balancer must be reached through that, as from elsewhere.
func Own(cfg *config.Config) *Server {
	if cfg.HTTP.ProxyProtocol {
		return &Server{Base: cfg.PublicURL(cfg.HTTP.Listen), Dial: new(net.Dialer).DialContext, Own: cfg}
	}
	listener := cfg.HTTP.Listen[0]
	base := cfg.ListenerURL(listener)
	if cfg.TLS.Mode != config.TLSOff {
		base = cfg.PublicURL(cfg.HTTP.Listen)
	}
	return &Server{Base: base, Dial: leadTo(listener), Own: cfg}
}

// leadTo dials one address, for any name.
func leadTo(listener string) Dialer {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, listener)
	}
}

// ownListener is a listener of the configuration, with the address at which this machine reaches it.
type ownListener struct {
	network string // udp, tcp, tls or dtls
	addr    netip.AddrPort
	wide    bool // it has every address of the family
}

// listenersOf lists the TURN listeners of cfg, on http listeners too. It leaves out those whose port the system
// chooses, and those over TCP behind a load balancer.
func listenersOf(cfg *config.Config) (out []ownListener) {
	add := func(network string, addr netip.AddrPort) {
		l := ownListener{network, addr, addr.Addr().IsUnspecified()}
		if l.wide {
			l.addr = netip.AddrPortFrom(loopbackOf(addr.Addr()), addr.Port())
		}
		stream := network == "tcp" || network == "tls"
		if addr.Port() != 0 && !(stream && cfg.HTTP.ProxyProtocol) {
			out = append(out, l)
		}
	}
	optional := cfg.Source("turn.listen") == "" // a default listener is missing if the host lacks its address family
	for _, l := range cfg.TURN.Listen {
		if !optional || hasFamily(l.Addr.Addr()) {
			add(l.Network, l.Addr)
		}
	}
	for _, l := range cfg.DiscoveryListeners() {
		add(l.Network, l.Addr)
	}
	network := "tcp"
	if cfg.TLS.Mode != config.TLSOff {
		network = "tls"
	}
	for _, listen := range cfg.HTTP.Listen {
		host, port, err := net.SplitHostPort(listen)
		if n, e := strconv.ParseUint(port, 10, 16); err == nil && e == nil && cfg.HTTP.TURN {
			if ip, err := netip.ParseAddr(cmp.Or(host, "0.0.0.0")); err == nil {
				add(network, netip.AddrPortFrom(ip.Unmap(), uint16(n)))
			}
		}
	}
	return out
}

func loopbackOf(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return netip.MustParseAddr("127.0.0.1")
	}
	return netip.IPv6Loopback()
}

// hasFamily reports whether this machine has addresses of ip's family.
func hasFamily(ip netip.Addr) bool {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopbackOf(ip), 0)))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// ownListeners tries the TURN listeners that signaling names to no client, such as DTLS. servers were tried before. Without a credential it
// only asks for this machine's address.
func (r *run) ownListeners(ctx context.Context, servers []wire.ICEServer, cred auth.Credential) {
	var tried []ownListener
	for _, server := range servers {
		for _, raw := range server.URLs {
			if uri, err := stun.ParseURI(raw); err == nil && server.Username == cred.Username {
				target := iceTarget{uri: uri}
				if addr, err := target.resolve(ctx); err == nil { // else the step for this URL has said so
					tried = append(tried, ownListener{network: target.network(), addr: addr})
				}
			}
		}
	}
	base, err := url.Parse(r.Base)
	if err != nil {
		return
	}
	for _, l := range listenersOf(r.Own) {
		if !slices.ContainsFunc(tried, l.covers) {
			tried = append(tried, l)
			target := iceTarget{uri: l.uri(), credential: cred, name: base.Hostname()}
			r.report(target.try(ctx, r.Timeout, target.uri.String()))
		}
	}
}

// covers reports whether a packet to tried came to the listener.
func (l ownListener) covers(tried ownListener) bool {
	if l.network != tried.network || l.addr.Port() != tried.addr.Port() {
		return false
	}
	return l.addr == tried.addr || l.wide && l.addr.Addr().Is4() == tried.addr.Addr().Is4()
}

// ownWeb tries the http listeners after the first, which all other steps use, and the metrics if the configuration
// names their address.
func (r *run) ownWeb(ctx context.Context) {
	cfg := r.Own
	for i, listen := range cfg.HTTP.Listen {
		if _, port, err := net.SplitHostPort(listen); i == 0 || err != nil || port == "0" || cfg.HTTP.ProxyProtocol {
			continue
		}
		there := web{r.Base, &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: leadTo(listen)}}}
		r.step(ctx, "web", cfg.ListenerURL(listen), there.health)
	}
	host, port, err := net.SplitHostPort(cfg.Metrics.Listen)
	if err != nil || port == "0" || cfg.Source("metrics.listen") == "" {
		return
	}
	if ip, err := netip.ParseAddr(cmp.Or(host, "0.0.0.0")); err == nil && ip.IsUnspecified() {
		host = loopbackOf(ip).String()
	}
	there := web{"http://" + net.JoinHostPort(host, port), &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	r.step(ctx, "metrics", there.base+"/metrics", there.metrics)
}

// ownOffload asks the server at its metrics listener, if that is on loopback: elsewhere it lists no relays.
func (r *run) ownOffload(ctx context.Context) {
	if !config.ListensOnLoopback(r.Own.Metrics.Listen) {
		return
	}
	if f, ok := Offload(ctx, r.Timeout, "http://"+r.Own.Metrics.Listen+"/allocations"); ok {
		r.report(f)
	}
}

// uri names the listener as RFC 7065 does.
func (l ownListener) uri() *stun.URI {
	uri := &stun.URI{Scheme: stun.SchemeTypeTURN, Host: l.addr.Addr().String(), Port: int(l.addr.Port()), Proto: stun.ProtoTypeUDP}
	if l.network == "tcp" || l.network == "tls" {
		uri.Proto = stun.ProtoTypeTCP
	}
	if l.network == "tls" || l.network == "dtls" {
		uri.Scheme = stun.SchemeTypeTURNS
	}
	return uri
}
