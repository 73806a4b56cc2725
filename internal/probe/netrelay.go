package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pion/stun/v4"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// iceURL is a STUN or TURN URL of the server, or one where such servers usually are.
type iceURL struct {
	iceTarget

	raw     string
	guessed bool
}

// maxICEURLs bounds what a server may have this machine try.
const maxICEURLs = 32

// namedURLs lists what signaling names.
func namedURLs(servers []wire.ICEServer) (out []iceURL) {
	for _, server := range servers {
		for _, raw := range server.URLs {
			uri, err := stun.ParseURI(raw)
			if err == nil && len(out) < maxICEURLs {
				credential := auth.Credential{Username: server.Username, Password: server.Credential}
				out = append(out, iceURL{iceTarget{uri: uri, credential: credential}, printable(raw), false})
			}
		}
	}
	return out
}

// usualPort is where a server that answers over TCP most likely answers over UDP (RFC 8656 §4).
const usualPort = 3478

// usualURLs lists where STUN and TURN usually are: the ports of RFC 8656 §4, and the port of the pages, where ours answers too.
func (l *look) usualURLs() (out []iceURL) {
	host := hostForURL(l.host)
	guesses := []string{"stun:" + host + ":3478", "turn:" + host + ":3478?transport=tcp", "turns:" + host + ":5349?transport=tcp", "turns:" + host + ":5349?transport=udp"}
	if u, err := url.Parse(l.Base); err == nil {
		port, scheme := u.Port(), "turns"
		if u.Scheme == "http" {
			scheme = "turn"
		}
		if port == "" {
			port = map[string]string{"turn": "80", "turns": "443"}[scheme]
		}
		guesses = append(guesses, scheme+":"+host+":"+port+"?transport=tcp")
	}
	for _, raw := range guesses {
		if uri, err := stun.ParseURI(raw); err == nil {
			out = append(out, iceURL{iceTarget{uri: uri}, raw, true})
		}
	}
	return out
}

// relays tries each URL over each family that its host has and that this machine has a way to, all at once.
func (l *look) relays(ctx context.Context, urls []iceURL) {
	if len(urls) == 0 {
		return
	}
	addrs := map[string][]netip.Addr{}
	l.within(ctx, func(ctx context.Context) {
		for _, u := range urls {
			if _, known := addrs[u.uri.Host]; !known {
				addrs[u.uri.Host] = onePerFamily(ctx, u.uri.Host)
			}
		}
	})
	var targets []iceTarget
	for _, u := range urls {
		for _, addr := range addrs[u.uri.Host] {
			r := Relay{URL: u.raw, Network: u.network(), Family: "ipv4", Guessed: u.guessed, Address: netip.AddrPortFrom(addr, uint16(u.uri.Port))}
			if addr.Is6() {
				r.Family = "ipv6"
			}
			target := u.iceTarget
			target.addr = addr
			l.out.Relays, targets = append(l.out.Relays, r), append(targets, target)
		}
	}
	var group sync.WaitGroup
	for i := range targets {
		group.Go(func() { // it alone has this element until all have ended
			r, timeout := &l.out.Relays[i], l.Timeout
			if r.Guessed {
				timeout = min(timeout, guessPatience)
			}
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			targets[i].measure(ctx, r)
		})
	}
	group.Wait()
}

const (
	rttTries      = 3               // of which the quickest counts
	guessPatience = 2 * time.Second // with a port that the server may not have
)

// measure connects, measures the round trip, and makes a relay if there is a credential.
func (t iceTarget) measure(ctx context.Context, r *Relay) {
	relays := t.uri.Scheme != stun.SchemeTypeSTUN && t.credential.Username != ""
	err := t.roundTrips(ctx, r, relays)
	if r.OK = err == nil; r.OK {
		return
	}
	r.Problem = t.complaint(ctx, err)
	if relays {
		r.Allocated = no()
	}
}

func (t iceTarget) roundTrips(ctx context.Context, r *Relay, relays bool) error {
	client, err := t.connect(ctx)
	if err != nil {
		return err
	}
	defer client.close()
	for range rttTries {
		start := time.Now()
		if _, err = client.SendBindingRequestTo(client.server); err != nil {
			break
		}
		if ms := float64(time.Since(start).Microseconds()) / 1000; r.RTT == nil || ms < *r.RTT {
			r.RTT = &ms
		}
	}
	if r.RTT == nil {
		return err
	}
	if !relays {
		return nil
	}
	relayed, err := client.Allocate()
	if err != nil {
		return err
	}
	r.Allocated, r.Relayed = yes(), relayed.LocalAddr().String()
	_ = relayed.Close()
	return nil
}

// complaint says what an error means for the person at this machine. iceTarget.problem says it to the server's operator.
func (t iceTarget) complaint(ctx context.Context, err error) string {
	if refused, ok := errors.AsType[*stun.TurnError](err); ok {
		return printable(fmt.Sprintf("the server makes no relay: %v", refused))
	}
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return printable("another answers in the server's place, or its certificate is not one that clients trust: " + cert.Err.Error())
	}
	switch {
	case isErrno(err, syscall.ECONNREFUSED, 10061):
		return "refused: nobody listens there, or a firewall says so"
	case isErrno(err, syscall.ENETUNREACH, 10051) || isErrno(err, syscall.EHOSTUNREACH, 10065):
		return "no way there"
	case ctx.Err() != nil || isTimeout(err) || strings.Contains(cause(err), "all retransmissions failed"): // pion's words
		return "no answer"
	}
	return printable(cause(err))
}

// cause is the text of an error without advice to the server's operator.
func cause(err error) string {
	if told, ok := errors.AsType[*advice](err); ok {
		return told.err.Error()
	}
	return err.Error()
}

// stunAddrs lists the addresses of one family that answer Binding requests over plain UDP, without doubles: those of STUN URLs and of
// TURN URLs over UDP.
func (l *look) stunAddrs(i int, urls []iceURL) (out []netip.AddrPort) {
	for _, u := range urls {
		if u.network() != "udp" {
			continue
		}
		for _, r := range l.out.Relays {
			if r.URL == u.raw && r.Address.Addr().Is4() == (i == 0) && !slices.Contains(out, r.Address) {
				out = append(out, r.Address)
			}
		}
	}
	return out
}

// answering lists those of them that have answered.
func (l *look) answering(i int, urls []iceURL) []netip.AddrPort {
	return slices.DeleteFunc(l.stunAddrs(i, urls), func(a netip.AddrPort) bool {
		return !slices.ContainsFunc(l.out.Relays, func(r Relay) bool { return r.Network == "udp" && r.Address == a && r.RTT != nil })
	})
}

// relayTarget returns the TURN URL over UDP with the same IP address as a STUN server, or one with another.
func (l *look) relayTarget(server netip.AddrPort, urls []iceURL) *iceTarget {
	var other *iceTarget
	for _, u := range urls {
		if u.network() != "udp" || u.uri.Scheme != stun.SchemeTypeTURN || u.credential.Username == "" {
			continue
		}
		for _, r := range l.out.Relays {
			if r.URL != u.raw || r.Address.Addr().Is4() != server.Addr().Is4() || !is(r.Allocated) {
				continue
			}
			t := u.iceTarget
			t.addr = r.Address.Addr()
			if t.addr == server.Addr() {
				return &t
			}
			other = &t
		}
	}
	return other
}
