package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"

	"github.com/pion/stun/v4"

	"example.org/turnpike/internal/config"
	"example.org/turnpike/signal/wire"
)

const (
	clientPath = "/api/v1/client"
	// madeUp is an address that no client has (RFC 5737).
	madeUp = "192.0.2.77"
)

// seenAs is what the server says of a client.
type seenAs struct {
	Address netip.Addr `json:"address"`
	Ignored string     `json:"ignored"` // a forwarding header that counted for nothing

	local netip.Addr // this end of the connection
}

// proxies reports a proxy whose clients the server cannot tell apart, or whose clients can choose their address. If there is none, it
// reports nothing.
func (r *run) proxies(ctx context.Context, w web, servers []wire.ICEServer) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	if err := w.proxyFault(ctx, func() netip.Addr { return mappedBy(ctx, servers) }); err != nil {
		r.report(Finding{Check: "proxy", Target: r.Base + clientPath, Problem: oneLine(err.Error())})
	}
}

// proxyFault returns what is wrong with a proxy before the server. mapped asks a STUN server for this machine's address; the zero address
// means that it is not known.
func (w web) proxyFault(ctx context.Context, mapped func() netip.Addr) error {
	seen, err := w.seen(ctx, "")
	if err != nil {
		return nil // a server that does not tell, or a proxy on this machine's side
	}
	if seen.Ignored != "" {
		return fmt.Errorf("the server takes all clients for %s: a proxy there sends %s, but the server does not trust it; set http.trusted_proxies = [%q]",
			seen.Address, seen.Ignored, seen.Address)
	}
	if seen.Address == seen.local {
		return nil // nothing stands in between; a client on a trusted proxy's machine may say what it likes
	}
	if forged, err := w.seen(ctx, madeUp); err == nil && forged.Address == netip.MustParseAddr(madeUp) {
		return errors.New("the server believes an X-Forwarded-For that its client made up; have the proxy add the client's address to the header, as nginx does with $proxy_add_x_forwarded_for, and see that http.trusted_proxies names proxies only")
	}
	if !isInside(seen.Address) || seen.Address == mapped() {
		return nil
	}
	return fmt.Errorf("the server takes all clients for %s, a proxy that does not tell whom it speaks for; have it set X-Forwarded-For, and set http.trusted_proxies = [%q]",
		seen.Address, seen.Address)
}

// isInside reports whether an address is of a private network or of the server's own machine, where no client from outside has it.
func isInside(ip netip.Addr) bool {
	return config.PrivateAddress(ip) || ip.IsLoopback() || ip.IsLinkLocalUnicast()
}

// seen asks the server by which address it knows us. forwardedFor is what we claim; empty: nothing.
func (w web) seen(ctx context.Context, forwardedFor string) (seen seenAs, err error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if tcp, ok := info.Conn.LocalAddr().(*net.TCPAddr); ok {
			seen.local = tcp.AddrPort().Addr().Unmap()
		}
	}})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+clientPath, nil)
	if err != nil {
		return seen, err
	}
	if proxy, err := http.ProxyFromEnvironment(req); err != nil || proxy != nil {
		return seen, errors.New("this machine has a proxy of its own")
	}
	if forwardedFor != "" {
		req.Header.Set("X-Forwarded-For", forwardedFor)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return seen, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return seen, fmt.Errorf("%s answers %d", clientPath, resp.StatusCode)
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&seen)
	return seen, err
}

// mappedBy returns this machine's address as the first STUN server that answers sees it.
func mappedBy(ctx context.Context, servers []wire.ICEServer) netip.Addr {
	for _, server := range servers {
		for _, raw := range server.URLs {
			uri, err := stun.ParseURI(raw)
			if err != nil || uri.Scheme != stun.SchemeTypeSTUN {
				continue
			}
			target := iceTarget{uri: uri}
			if target.bind(ctx, new(Finding)) == nil {
				return target.mapped.Addr()
			}
		}
	}
	return netip.Addr{}
}
