package setup

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"example.org/turnpike/internal/config"
)

// clockTolerance is how far a clock may be off before certificates and credentials fail now and then.
const clockTolerance = time.Minute

// leastRoom is the space that the state needs, with room for years of invites.
const leastRoom = 10 << 20

// checkDNS sees that the name or the address leads here.
func (p *Plan) checkDNS(ctx context.Context, m Machine) {
	host := p.Config.PublicHost
	if len(p.Config.HTTP.TrustedProxies) > 0 {
		return
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if here := p.outsideAddrs(ctx, m); !slices.Contains(here, a) && !slices.Contains(m.Own(), a) {
			p.wrong("public_host is %s, and this machine is %s; write the one that leads here, or name it in turn.external_addresses", a, joinAddrs(here))
		}
		return
	}
	found, err := m.Resolve(ctx, host)
	if err != nil || len(found) == 0 {
		p.wrong("%s has no address: %v; give it an A or AAAA record that leads to this machine (%s)", host, errOr(err, "there is no record"), joinAddrs(p.outsideAddrs(ctx, m)))
		return
	}
	if slices.ContainsFunc(found, netip.Addr.IsLoopback) { // as Debian's installer has it
		p.note("/etc/hosts leads %s to this machine, so that its DNS records were not tried from here", host)
		return
	}
	here := p.outsideAddrs(ctx, m)
	elsewhere := slices.DeleteFunc(slices.Clone(found), func(a netip.Addr) bool { return slices.Contains(here, a) || slices.Contains(m.Own(), a) })
	switch {
	case len(elsewhere) == len(found):
		p.wrong("%s leads to %s, and this machine is %s; correct the record, or name the address in turn.external_addresses", host, joinAddrs(elsewhere), joinAddrs(here))
	case len(elsewhere) > 0:
		p.note("%s leads to %s, too: people who come there do not meet those who come here, and the certificate authority may ask there. "+
			"If that is no server of yours, correct the record", host, joinAddrs(elsewhere))
	}
}

func errOr(err error, otherwise string) string {
	if err != nil {
		return err.Error()
	}
	return otherwise
}

// outsideAddrs are the addresses by which the world reaches this machine.
func (p *Plan) outsideAddrs(ctx context.Context, m Machine) (out []netip.Addr) {
	for _, a := range m.Sources() {
		out = append(out, p.outsideOf(ctx, m, a)...)
	}
	return out
}

// outsideOf are the addresses by which the world knows one of this machine's: by its row of turn.external_addresses, or by that of its family.
func (p *Plan) outsideOf(ctx context.Context, m Machine, a netip.Addr) []netip.Addr {
	for _, row := range []netip.Addr{a, unspecified(a)} {
		if outside, ok := p.Config.TURN.ExternalAddresses[row]; ok {
			return []netip.Addr{outside}
		}
		if name, ok := p.Config.TURN.ExternalNames[row]; ok {
			found, _ := m.Resolve(ctx, name)
			return slices.DeleteFunc(slices.Clone(found), func(f netip.Addr) bool { return f.Is4() != a.Is4() })
		}
	}
	return []netip.Addr{a}
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// checkPorts sees that nobody else has the ports.
func (p *Plan) checkPorts(ctx context.Context, m Machine) {
	for _, l := range p.listeners() {
		err := m.Listen(l.network, l.addr)
		noFamily := errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
		if err == nil || noFamily && p.Config.Source(l.key) == "" { // the server leaves such a default out, too
			continue
		}
		if errors.Is(err, fs.ErrPermission) {
			p.note("%s %s was not tried, as only root may open it", l.network, l.addr)
			continue
		}
		who := m.Holder(ctx, l.network, l.addr)
		if p.review && errors.Is(err, syscall.EADDRINUSE) && ours(who) {
			continue // it starts or drains
		}
		text := fmt.Sprintf("%s port of %s cannot be opened: %v", l.network, l.addr, err)
		if who != "" {
			text = fmt.Sprintf("%s %s is taken by %s; stop it (systemctl disable --now ...), or set %s", l.network, l.addr, who, l.key)
		}
		if l.key == "http.redirect_listen" && p.Config.Source(l.key) == "" {
			p.note("%s. The certificate then comes by port 443 alone, and http:// leads nowhere", text)
			continue
		}
		p.wrong("%s", text)
	}
}

type listener struct{ network, addr, key string }

func (p *Plan) listeners() (out []listener) {
	for _, addr := range p.Config.HTTP.Listen {
		out = append(out, listener{"tcp", addr, "http.listen"})
	}
	for _, addr := range p.Config.HTTP.RedirectListen {
		out = append(out, listener{"tcp", addr, "http.redirect_listen"})
	}
	for _, l := range p.Config.TURN.Listen {
		network := "udp"
		if l.Network == "tcp" || l.Network == "tls" {
			network = "tcp"
		}
		if l.Addr.Addr().Is4() {
			network += "4"
		} else {
			network += "6"
		}
		out = append(out, listener{network, l.Addr.String(), "turn.listen"})
	}
	return out
}

// checkClock compares the clock with that of the certificate authority, which must be reachable anyway.
func (p *Plan) checkClock(ctx context.Context, m Machine) {
	if p.Config.TLS.Mode != config.TLSACME {
		return
	}
	theirs, err := m.Date(ctx, p.Config.TLS.ACMEDirectory, p.Config.TLS.ACMECAFile)
	if err != nil {
		p.note("the certificate authority cannot be reached now (%v); the server tries again until it can", err)
		return
	}
	if off := m.Now().Sub(theirs); off.Abs() > clockTolerance {
		p.wrong("the clock of this machine is off by %s; set it: timedatectl set-ntp true", off.Abs().Round(time.Second))
	}
}

// checkState sees that the state can be kept.
func (p *Plan) checkState(m Machine) {
	if dir := p.Config.StateDir; !p.review && dir != StateDir && !strings.HasPrefix(dir, StateDir+"/") {
		p.wrong("state_dir is %s, and the service may write to %s alone; leave --state out", dir, StateDir)
		return
	}
	switch err := m.Writable(p.Config.StateDir, leastRoom); {
	case errors.Is(err, fs.ErrPermission):
		p.note("%s was not tried, as only root may write there", p.Config.StateDir)
	case err != nil:
		p.wrong("%s cannot keep the server's state: %v; make it writable, and give it room", p.Config.StateDir, err)
	}
}

// checkFiles sees that the certificate of files is one that clients take.
func (p *Plan) checkFiles(m Machine) {
	if p.Config.TLS.Mode != config.TLSFiles {
		return
	}
	for _, file := range []struct{ key, path string }{{"tls.cert_file", p.Config.TLS.CertFile}, {"tls.key_file", p.Config.TLS.KeyFile}} {
		if !p.review && (!filepath.IsAbs(file.path) || strings.ContainsFunc(file.path, unicode.IsControl)) {
			p.wrong("%s is %q; the service runs in another folder, so write the whole path, which begins with /", file.key, file.path)
		}
	}
	pair, err := tls.LoadX509KeyPair(p.Config.TLS.CertFile, p.Config.TLS.KeyFile)
	if errors.Is(err, fs.ErrPermission) && p.review {
		p.note("tls.cert_file and tls.key_file were not tried, as this user may not read them")
		return
	}
	if err != nil {
		p.wrong("tls.cert_file and tls.key_file: %v", err)
		return
	}
	now := m.Now()
	switch leaf := pair.Leaf; {
	case now.After(leaf.NotAfter):
		p.wrong("the certificate in %s expired on %s; renew it, or set tls.mode = \"acme\"", p.Config.TLS.CertFile, leaf.NotAfter.Format(time.DateOnly))
	case p.Config.PublicHost != "" && leaf.VerifyHostname(p.Config.PublicHost) != nil:
		p.wrong("the certificate in %s is not for %s; browsers will refuse it", p.Config.TLS.CertFile, p.Config.PublicHost)
	case len(pair.Certificate) == 1 && !selfSigned(leaf):
		p.note("%s has one certificate, and its issuer %q is not in it; use the file with the chain (fullchain.pem)", p.Config.TLS.CertFile, leaf.Issuer.CommonName)
	}
	if info, err := os.Stat(p.Config.TLS.KeyFile); err == nil && info.Mode().Perm()&0o004 != 0 {
		p.note("everybody on this machine may read the key %s; chmod 640 it, and give its group to the server", p.Config.TLS.KeyFile)
	}
}

func selfSigned(leaf *x509.Certificate) bool { return leaf.CheckSignatureFrom(leaf) == nil }
