package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"example.org/turnpike/signal/wire"
)

// NetworkCheck looks at the network that this machine is in, with the help of a server. It asks that server, the addresses that it names,
// and the router here, for which it also searches by multicast. It maps no port. Its zero value needs Base and Timeout. One goroutine uses it.
//
//	the server     which is it, over https or http?        captive.go, if something else answers
//	the way in     a ticket, a session, its ICE servers    netsession.go
//	each family    STUN, the NAT, hairpins, the path MTU   natview.go, mtu.go
//	each relay     round trip, an allocation               netrelay.go
//	the router     UPnP, NAT-PMP, PCP                      portmap.go, upnp.go, pcp.go
//	the verdict    one sentence                            verdict.go
type NetworkCheck struct {
	Base    string        // scheme://host[:port]
	Timeout time.Duration // of each step
	Ticket  string        // empty: the server gives one
	Invite  string        // exchanged for the ticket; empty: a guest's

	// GetTicket makes a ticket whenever one is needed, in the place of Ticket. May be nil.
	GetTicket func() (string, error)

	session *netSession // of the last run; nil: none
	ticket  string      // that the server gave for the invite, which may admit once only
}

// Close signs out.
func (c *NetworkCheck) Close() {
	if c.session != nil {
		c.session.signOut()
		c.session = nil
	}
}

// look is one run.
type look struct {
	*NetworkCheck
	out  *Network
	host string
	way  [2]wayOut // to the server, over IPv4 and IPv6
	in   bool      // it lets this machine in

	mu sync.Mutex // guards out.NotTried and out.Problems
}

// Run looks once. It returns nil if ctx ends.
func (c *NetworkCheck) Run(ctx context.Context) *Network {
	l := &look{NetworkCheck: c, out: &Network{Schema: NetworkSchema, Time: time.Now(), Server: c.Base, Relays: []Relay{}, NotTried: []Skipped{}, Problems: []string{}}}
	u, err := url.Parse(c.Base)
	if err != nil {
		l.problem("%v", err)
		return l.out
	}
	l.host = u.Hostname()
	l.ways(ctx)
	var group sync.WaitGroup
	group.Go(func() { l.router(ctx) })
	urls := l.reach(ctx)
	l.relays(ctx, urls)
	l.families(ctx, urls)
	group.Wait()
	if ctx.Err() != nil {
		return nil
	}
	l.out.judge()
	return l.out
}

func (l *look) problem(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out.Problems = append(l.out.Problems, printable(fmt.Sprintf(format, args...)))
}

func (l *look) notTried(what, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out.NotTried = append(l.out.NotTried, Skipped{what, printable(fmt.Sprintf(format, args...))})
}

// family returns what holds for IPv4 (0) or IPv6 (1).
func (l *look) family(i int) *Family { return []*Family{&l.out.IPv4, &l.out.IPv6}[i] }

var familyNames = [2]string{"IPv4", "IPv6"}

// ways finds the server's addresses, and this machine's ways there.
func (l *look) ways(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", l.host)
	if err != nil {
		l.problem("the name %q has no address: %s", l.host, lookupProblem(err))
	}
	for i, name := range familyNames {
		f := l.family(i)
		at := slices.IndexFunc(all, func(a netip.Addr) bool { return a.Unmap().Is4() == (i == 0) })
		if at < 0 {
			f.Why = "the server has no " + name + " address"
			continue
		}
		f.Server = all[at].Unmap()
		l.way[i] = wayTo(f.Server)
		if !l.way[i].local.IsValid() {
			f.Works, f.Why = no(), "this machine has no "+name+" way to the server"
			continue
		}
		f.Local, f.Gateway = l.way[i].local, l.way[i].gateway
		if l.way[i].ifi != nil {
			f.Interface = l.way[i].ifi.Name
		}
	}
}

func lookupProblem(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.Err
	}
	return err.Error()
}

// online reports whether this machine has any way to the server.
func (l *look) online() bool { return l.way[0].local.IsValid() || l.way[1].local.IsValid() }

// router asks the router on the way to the server what it offers.
func (l *look) router(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, max(l.Timeout, upnpPatience))
	defer cancel()
	w := l.way[0]
	if !w.local.IsValid() {
		w = wayTo(netip.MustParseAddr(madeUp)) // nothing goes there: the system only names the way out
	}
	l.out.PortMapping = findPortMapping(ctx, w)
}

// reach finds the server and gets in. It returns what to try: the URLs that the server names, or where such servers usually are.
func (l *look) reach(ctx context.Context) []iceURL {
	if !l.online() {
		if len(l.out.Problems) == 0 {
			l.problem("this machine has no way to %s", l.host)
		}
		l.out.CaptivePortal.Why = "this machine has no way to the server"
		l.notTried("relays", "this machine has no way to the server")
		return nil
	}
	dial := new(net.Dialer).DialContext
	client := staying(dial)
	step, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	id, resp, err := identify(step, client, l.Base)
	if err != nil {
		portal, stop := context.WithTimeout(ctx, l.Timeout)
		defer stop()
		l.out.CaptivePortal = findPortal(portal, dial, l.Base, resp, err)
		if resp != nil {
			l.problem("%v", err)
		} else {
			l.problem("%s: %s", l.Base, dialProblem(err))
		}
		l.notTried("relays", "the server's pages do not answer, so that nothing names its relays and lets this machine in: the usual ports were tried")
		return l.usualURLs()
	}
	l.out.Version = id.Version
	l.out.CaptivePortal.Found = no()
	servers, err := l.signedIn(ctx)
	if err != nil {
		if _, expected := errors.AsType[*untried](err); !expected {
			l.problem("%v", err)
		}
		if told := namedURLs([]wire.ICEServer{{URLs: id.URLs}}); len(told) > 0 {
			l.notTried("relays", "%v", err)
			return told
		}
		l.notTried("relays", "%v; the usual ports were tried", err)
		return l.usualURLs()
	}
	l.in = true
	urls := namedURLs(withUntold(servers, id.URLs))
	if !slices.ContainsFunc(urls, func(u iceURL) bool { return u.network() == "dtls" }) {
		l.notTried("DTLS", "the server names no such address")
	}
	return urls
}

// withUntold adds the URLs that signaling does not name, as browsers do not use them. The credential is good for them, too.
func withUntold(servers []wire.ICEServer, all []string) []wire.ICEServer {
	cred := credentialOf(servers)
	if cred.Username == "" {
		return servers
	}
	untold := slices.DeleteFunc(slices.Clone(all), func(raw string) bool {
		return slices.ContainsFunc(servers, func(s wire.ICEServer) bool { return slices.Contains(s.URLs, raw) })
	})
	return append(slices.Clone(servers), wire.ICEServer{URLs: untold, Username: cred.Username, Credential: cred.Password})
}

// families looks at each family over which a STUN server answers.
func (l *look) families(ctx context.Context, urls []iceURL) {
	var group sync.WaitGroup
	for i := range familyNames {
		if l.way[i].local.IsValid() {
			group.Go(func() { l.oneFamily(ctx, i, urls) })
		}
	}
	group.Wait()
	for _, f := range []*Family{&l.out.IPv4, &l.out.IPv6} {
		if f.Mapped.IsValid() {
			l.out.UDP = yes()
			return
		}
	}
	if len(l.stunAddrs(0, urls))+len(l.stunAddrs(1, urls)) == 0 {
		return
	}
	if !urls[0].guessed || slices.ContainsFunc(l.out.Relays, func(r Relay) bool { return r.OK && r.Network == "tcp" && r.Address.Port() == usualPort }) {
		l.out.UDP = no() // the server is there, and its UDP does not answer
	}
}

// oneFamily finds out what this machine's packets meet.
func (l *look) oneFamily(ctx context.Context, i int, urls []iceURL) {
	f, way := l.family(i), l.way[i]
	tried, reached := false, false
	for _, r := range l.out.Relays {
		if r.Address.Addr().Is4() == (i == 0) {
			tried, reached = true, reached || r.OK
		}
	}
	addrs := l.answering(i, urls)
	server, mapped, local := firstAnswer(ctx, l.Timeout, addrs)
	if !server.IsValid() {
		why := "nothing of the server answers over UDP"
		switch {
		case reached:
			f.Works = yes()
		case tried:
			f.Works, f.Why = no(), "nothing answers over "+familyNames[i]
		default:
			why = "the server names no " + familyNames[i] + " address of STUN or TURN"
			f.Why = why
		}
		f.Mapping.Why, f.Filtering.Why, f.Hairpin.Why, f.PathMTU.Why = why, why, why, why
		return
	}
	f.Works, f.Mapped = yes(), mapped
	if nat := mapped.Addr() != local.Addr() || mapped.Port() != local.Port(); nat {
		f.NAT = yes()
	} else {
		f.NAT = no()
	}
	view := natView{timeout: l.Timeout, server: server, noRelay: "no relay over UDP was made here that could help"}
	if !l.in {
		view.noRelay = "it takes a way in, such as an invite, or a server that offers discovery (turn.nat_discovery_port)"
	}
	for _, a := range addrs {
		if a != server {
			view.others = append(view.others, a)
		}
	}
	view.relay = l.relayTarget(server, urls)
	if view.relay != nil {
		view.relay.relays6 = i == 1
	}
	mtu := linkMTU(way.ifi)
	var group sync.WaitGroup
	group.Go(func() { view.look(ctx, f) })
	group.Go(func() { l.within(ctx, func(ctx context.Context) { f.PathMTU = pathMTU(ctx, server, mtu) }) })
	if is(f.NAT) {
		group.Go(func() { l.within(ctx, func(ctx context.Context) { f.Hairpin = hairpin(ctx, server) }) })
	} else {
		f.Hairpin.Why = "there is no NAT"
	}
	group.Wait()
	if isNot(f.NAT) {
		f.Mapping = Dependence{Kind: EndpointIndependent, By: f.Mapping.By, Why: "there is no NAT"}
	}
}

func (l *look) within(ctx context.Context, do func(ctx context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	do(ctx)
}

// firstAnswer asks STUN servers over UDP from one socket, and returns the first in the list that answers, what it saw, and the socket's own address.
func firstAnswer(ctx context.Context, timeout time.Duration, addrs []netip.AddrPort) (server, mapped, local netip.AddrPort) {
	if len(addrs) == 0 {
		return
	}
	s, err := newNATSocket(ctx, addrs[0])
	if err != nil {
		return
	}
	defer s.close()
	questions := make([]natQuestion, len(addrs))
	for i, a := range addrs {
		questions[i] = natQuestion{to: a}
	}
	questions[0].enough = true
	for i, a := range s.askFor(ctx, min(timeout, 2*natPatience), questions...) {
		if a != nil {
			return addrs[i], a.mapped, s.local
		}
	}
	return netip.AddrPort{}, netip.AddrPort{}, netip.AddrPort{}
}
