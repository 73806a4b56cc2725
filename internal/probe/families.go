package probe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"

	"github.com/pion/stun/v4"

	"example.org/turnpike/auth"
)

// reached is a STUN or TURN address that answered.
type reached struct {
	iceTarget

	raw string
}

// ice tries one URL over each family that its host has and that this machine reaches. It returns what worked.
func (r *run) ice(ctx context.Context, raw string, credential auth.Credential) (found []reached) {
	uri, err := stun.ParseURI(raw)
	if err != nil {
		r.report(ICE(ctx, r.Timeout, raw, credential))
		return nil
	}
	targets := []*iceTarget{{uri: uri, credential: credential}}
	if addrs := onePerFamily(ctx, uri.Host); len(addrs) > 0 {
		targets = nil
		for _, addr := range addrs {
			targets = append(targets, &iceTarget{uri: uri, credential: credential, addr: addr})
		}
	}
	for _, target := range targets {
		f := target.try(ctx, r.Timeout, raw)
		r.report(f)
		if f.OK && target.addr.IsValid() {
			found = append(found, reached{*target, raw})
		}
	}
	return found
}

// overFamilies looks at the pages over each family, and says which one was not tried. It returns whether they can be reached.
func (r *run) overFamilies(ctx context.Context) bool {
	base, err := url.Parse(r.Base)
	if err != nil || r.Own != nil || proxied(r.Base) {
		return r.health(ctx, "web", r.web)
	}
	addrs := onePerFamily(ctx, base.Hostname())
	if len(addrs) == 0 {
		return r.health(ctx, "web", r.web)
	}
	ok := false
	for _, addr := range addrs {
		check, network := "web", "tcp4"
		if addr.Is6() {
			check, network = "web6", "tcp6"
		}
		there := web{r.Base, &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, at string) (net.Conn, error) {
			return r.Dial(ctx, network, at)
		}}}}
		ok = r.health(ctx, check, there) || ok
	}
	if ok && net.ParseIP(base.Hostname()) == nil && !addrs[0].IsLoopback() {
		r.noteFamilies(ctx, base.Hostname(), addrs)
	}
	return ok
}

// health looks at the pages, and remembers that their certificate is none to trust.
func (r *run) health(ctx context.Context, check string, there web) bool {
	return r.step(ctx, check, r.Base, func(ctx context.Context, f *Finding) error {
		err := there.health(ctx, f)
		if _, ok := errors.AsType[*untrusted](err); ok {
			r.untrusted = true
		}
		return err
	})
}

// noteFamilies says why a family was not tried.
func (r *run) noteFamilies(ctx context.Context, host string, tried []netip.Addr) {
	all, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	for _, family := range []struct{ name, record string }{{"IPv4", "A"}, {"IPv6", "AAAA"}} {
		is4 := family.name == "IPv4"
		ofFamily := func(a netip.Addr) bool { return a.Unmap().Is4() == is4 }
		switch {
		case slices.ContainsFunc(tried, ofFamily):
		case slices.ContainsFunc(all, ofFamily):
			r.note(family.name, host, "was not tried: this machine has no route there")
		default:
			r.note(family.name, host, "was not tried: the name has no %s record, so that clients which have only %s do not reach it by themselves", family.record, family.name)
		}
	}
}

func proxied(base string) bool {
	r, err := http.NewRequest(http.MethodGet, base, nil)
	if err != nil {
		return false
	}
	proxy, err := http.ProxyFromEnvironment(r)
	return err != nil || proxy != nil
}

// onePerFamily returns the first address of each family that a host has and that this machine has a route to, IPv4 first.
func onePerFamily(ctx context.Context, host string) (out []netip.Addr) {
	addrs, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	for _, is4 := range []bool{true, false} {
		i := slices.IndexFunc(addrs, func(a netip.Addr) bool { return a.Unmap().Is4() == is4 })
		if i >= 0 && sourceFor(addrs[i].Unmap()).IsValid() {
			out = append(out, addrs[i].Unmap())
		}
	}
	return out
}

// sourceFor is this machine's own address on the way to another; the zero address if there is no route. It sends nothing.
func sourceFor(addr netip.Addr) netip.Addr {
	conn, err := net.Dial("udp", netip.AddrPortFrom(addr, 9).String())
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}
