package probe

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"example.org/turnpike/signal/wire"
)

func TestCompareMappings(t *testing.T) {
	at := netip.MustParseAddrPort
	for name, test := range map[string]struct {
		seen map[string]string
		want DependenceKind
	}{
		"nothing":                {nil, DependenceUnknown},
		"one":                    {map[string]string{"1.0.0.1:1": "9.0.0.1:5"}, DependenceUnknown},
		"two ports, same":        {map[string]string{"1.0.0.1:1": "9.0.0.1:5", "1.0.0.1:2": "9.0.0.1:5"}, PortIndependent},
		"two ports, differ":      {map[string]string{"1.0.0.1:1": "9.0.0.1:5", "1.0.0.1:2": "9.0.0.1:6"}, AddressAndPortDependent},
		"two addresses, same":    {map[string]string{"1.0.0.1:1": "9.0.0.1:5", "1.0.0.2:1": "9.0.0.1:5"}, EndpointIndependent},
		"two addresses, differ":  {map[string]string{"1.0.0.1:1": "9.0.0.1:5", "1.0.0.2:1": "9.0.0.1:6"}, DestinationDependent},
		"another public address": {map[string]string{"1.0.0.1:1": "9.0.0.1:5", "1.0.0.2:1": "9.0.0.2:5"}, DestinationDependent},
		"by address":             {map[string]string{"1.0.0.1:1": "9.0.0.1:5", "1.0.0.1:2": "9.0.0.1:5", "1.0.0.2:1": "9.0.0.1:6"}, AddressDependent},
		"by both":                {map[string]string{"1.0.0.1:1": "9.0.0.1:5", "1.0.0.1:2": "9.0.0.1:7", "1.0.0.2:1": "9.0.0.1:6"}, AddressAndPortDependent},
		"all the same":           {map[string]string{"1.0.0.1:1": "9.0.0.1:5", "1.0.0.1:2": "9.0.0.1:5", "1.0.0.2:1": "9.0.0.1:5"}, EndpointIndependent},
	} {
		seen := map[netip.AddrPort]netip.AddrPort{}
		for to, mapped := range test.seen {
			seen[at(to)] = at(mapped)
		}
		if got := compareMappings(seen); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// TestBetween: rounds of lengths close in on one, whatever it is, and never ask for it twice.
func TestBetween(t *testing.T) {
	for _, top := range []int{1500, 9216, 1280} {
		for limit := mtuLeast; limit < top; limit += mtuStep {
			arrives, missing, rounds := mtuLeast, top, 0
			for {
				sizes := between(arrives, missing)
				if len(sizes) == 0 {
					break
				}
				if rounds++; rounds > 5 || !slices.IsSorted(sizes) || sizes[0] <= arrives || sizes[len(sizes)-1] >= missing || len(sizes) > 2*mtuAtOnce {
					t.Fatalf("round %d between %d and %d: %v", rounds, arrives, missing, sizes)
				}
				for _, size := range sizes {
					if size <= limit {
						arrives = max(arrives, size)
					} else {
						missing = min(missing, size)
					}
				}
			}
			if arrives > limit || limit-arrives >= mtuStep {
				t.Fatalf("found %d of %d", arrives, limit)
			}
		}
	}
}

func TestJudgePortal(t *testing.T) {
	for name, test := range map[string]struct {
		status   int
		location string
		kind     string
		portal   bool
		at       string
	}{
		"to https, the same page":  {308, "https://turn.example.org/api/v1/client", "", false, ""},
		"to https, another page":   {302, "https://login.example/", "", true, "https://login.example/"},
		"to http":                  {302, "http://login.example/hotel?room=7&token=x", "text/html", true, "http://login.example/hotel"},
		"in another place of ours": {302, "/welcome", "", true, "http://turn.example.org/welcome"},
		"nowhere":                  {302, "", "", false, ""},
		"authentication required":  {511, "", "text/html", true, ""},
		"a page":                   {200, "", "text/html; charset=utf-8", true, ""},
		"something else":           {200, "", "text/plain", false, ""},
		"not found":                {404, "", "text/html", false, ""},
	} {
		req, _ := http.NewRequest(http.MethodGet, "http://turn.example.org"+clientPath, nil)
		resp := &http.Response{StatusCode: test.status, Header: http.Header{"Content-Type": {test.kind}}, Request: req}
		if test.location != "" {
			resp.Header.Set("Location", test.location)
		}
		if got, known := judgePortal(resp); known != test.portal || is(got.Found) != test.portal || got.At != test.at {
			t.Errorf("%s: %+v, %v", name, got, known)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                      "plain",
		"two\nlines\tand \x1b[2Jesc": "two lines and [2Jesc",
		"\u202eright to left":        "right to left",
		strings.Repeat("ä", 300):     strings.Repeat("ä", 100) + "...",
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// verdictOf judges a report that fill has changed.
func verdictOf(fill func(n *Network)) *Network {
	n := &Network{}
	fill(n)
	n.judge()
	return n
}

func TestVerdict(t *testing.T) {
	mapped := netip.MustParseAddrPort("11.22.33.4:5000")
	relay := func(network string) Relay {
		return Relay{URL: "turn:x", Network: network, OK: true, Allocated: yes(), Address: netip.MustParseAddrPort("11.22.33.1:3478")}
	}
	behind := func(mapping, filtering DependenceKind) func(n *Network) {
		return func(n *Network) {
			n.UDP, n.CaptivePortal.Found = yes(), no()
			n.IPv4 = Family{Mapped: mapped, NAT: yes(), Mapping: Dependence{Kind: mapping}, Filtering: Dependence{Kind: filtering}}
			n.Relays = []Relay{relay("udp")}
		}
	}
	for name, test := range map[string]struct {
		fill func(n *Network)
		want Verdict
		says string
	}{
		"open": {func(n *Network) {
			behind(EndpointIndependent, EndpointIndependent)(n)
			n.IPv4.NAT = no()
		}, VerdictOpen, "Everybody whose network lets UDP through reaches this machine directly."},
		"full cone":   {behind(EndpointIndependent, EndpointIndependent), VerdictDirect, "directly to all networks that let UDP through"},
		"usual":       {behind(EndpointIndependent, AddressAndPortDependent), VerdictDirect, "Calls from here connect directly to most networks."},
		"one address": {behind(PortIndependent, PortIndependent), VerdictDirect, "directly to most networks"},
		"symmetric":   {behind(AddressAndPortDependent, AddressAndPortDependent), VerdictMostly, "open networks only"},
		"not known":   {behind(DependenceUnknown, DependenceUnknown), VerdictUnknown, "is not known"},
		"symmetric, and IPv6": {func(n *Network) {
			behind(AddressAndPortDependent, AddressAndPortDependent)(n)
			n.IPv6 = Family{Mapped: mapped, NAT: no(), Mapping: Dependence{Kind: EndpointIndependent}, Filtering: Dependence{Kind: AddressAndPortDependent}}
		}, VerdictMostly, "open networks only, and most go through a relay: the NAT here takes a new port for each peer. Calls with peers that have IPv6, too, connect directly by that."},
		"IPv6 alone": {func(n *Network) {
			n.UDP, n.CaptivePortal.Found = yes(), no()
			n.IPv6 = Family{Mapped: mapped, NAT: no(), Mapping: Dependence{Kind: EndpointIndependent}, Filtering: Dependence{Kind: AddressAndPortDependent}}
		}, VerdictDirect, "most networks. That holds for peers with IPv6; calls with others go through a relay."},
		"no UDP": {func(n *Network) {
			n.UDP, n.CaptivePortal.Found = no(), no()
			n.Relays = []Relay{relay("tcp"), relay("tls"), relay("tcp")}
		}, VerdictRelayed, "through a relay, over TCP and TLS"},
		"no UDP, no relay": {func(n *Network) {
			n.UDP, n.CaptivePortal.Found = no(), no()
			n.Relays = []Relay{{URL: "turn:x", Network: "tcp", Allocated: no(), Problem: "no answer"}}
		}, VerdictUnknown, "no relay works, so that no call comes about"},
		"no UDP, relays not tried": {func(n *Network) {
			n.UDP, n.CaptivePortal.Found = no(), no()
			n.Relays = []Relay{{URL: "turn:x", Network: "tcp", OK: true, Guessed: true}}
		}, VerdictUnknown, "whether one works was not tried"},
		"UDP, no relay": {func(n *Network) {
			behind(EndpointIndependent, EndpointIndependent)(n)
			n.Relays = []Relay{{URL: "turn:x", Network: "udp", Allocated: no()}}
		}, VerdictDirect, "No relay works from here, so that the other calls fail."},
		"nothing":  {func(n *Network) {}, VerdictUnreachable, "cannot be found"},
		"a portal": {func(n *Network) { n.CaptivePortal = CaptivePortal{Found: yes(), At: "http://login.example/"} }, VerdictPortal, "open http://login.example/ in a browser"},
		"a server next door": {func(n *Network) {
			behind(EndpointIndependent, EndpointIndependent)(n)
			n.IPv4.NAT, n.IPv4.Server = no(), netip.MustParseAddr("192.168.3.9")
		}, VerdictUnknown, "The server is inside this network"},
		"two NATs": {func(n *Network) {
			behind(EndpointIndependent, AddressAndPortDependent)(n)
			n.PortMapping.UPnP.External = netip.MustParseAddr("100.64.0.9")
		}, VerdictDirect, "whose address outside is 100.64.0.9, there is another NAT"},
		"short packets": {func(n *Network) {
			behind(EndpointIndependent, AddressAndPortDependent)(n)
			n.IPv4.Server, n.IPv4.PathMTU.Bytes = netip.MustParseAddr("11.22.33.1"), 1224
		}, VerdictDirect, "longer than 1224 bytes get lost"},
	} {
		if n := verdictOf(test.fill); n.Verdict != test.want || !strings.Contains(n.Summary, test.says) {
			t.Errorf("%s: %s, %q", name, n.Verdict, n.Summary)
		}
	}
}

// TestNetworkJSON: what is not known is null or empty, and no field goes away.
func TestNetworkJSON(t *testing.T) {
	data, err := json.Marshal(&Network{Relays: []Relay{{}}, NotTried: []Skipped{}, Problems: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"schema":0`, `"udp":null`, `"nat":null`, `"mapping":{"kind":""}`, `"filtering":{"kind":""}`, `"hairpin":{"works":null}`, `"pathMTU":{"bytes":0}`,
		`"upnp":{"found":null}`, `"natPMP":{"found":null}`, `"pcp":{"found":null}`, `"captivePortal":{"found":null}`, `"rttMs":null`, `"allocated":null`, `"notTried":[]`, `"problems":[]`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %s in %s", want, data)
		}
	}
}

// TestNetworkCheckEnds: the end of the context ends a run at once, without a report.
func TestNetworkCheckEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := http.NewServeMux()
	server.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	base := serveHTTP(t, server)
	c := &NetworkCheck{Base: base, Timeout: time.Hour}
	if n := c.Run(ctx); n != nil {
		t.Errorf("%+v", n)
	}
	c.Close()
}

// TestCompareServers: where the server offers no discovery, other addresses of STUN tell where packets come from.
func TestCompareServers(t *testing.T) {
	for kind, want := range map[dependence]DependenceKind{endpointIndependent: EndpointIndependent, addressDependent: AddressDependent, addressAndPortDependent: AddressAndPortDependent} {
		s := startNATServer(t, &natServer{kind: natKind{true, kind, kind}, silent: -1, plain: true})
		at := func(i int) netip.AddrPort { return s.addr(i).AddrPort() }
		v := natView{timeout: time.Minute, server: at(0), others: []netip.AddrPort{at(1), at(2)}, noRelay: "none"}
		var f Family
		if v.look(t.Context(), &f); f.Mapping != (Dependence{Kind: want, By: "servers"}) || f.Filtering != (Dependence{Why: "none"}) {
			t.Errorf("%v: %+v, %+v", kind, f.Mapping, f.Filtering)
		}
	}
}

// TestNetSession: a session serves several runs for as long as the server answers on it. Then the ticket that an invite for one person has
// brought lets the next session in.
func TestNetSession(t *testing.T) {
	var tickets, sessions atomic.Int32
	deaf := make(chan struct{}) // once closed, sessions read nothing
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+ticketsPath, func(w http.ResponseWriter, _ *http.Request) {
		tickets.Add(1)
		_, _ = io.WriteString(w, `{"ticket":"eyJ","role":"guest"}`)
	})
	mux.HandleFunc("/signal", func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{Subprotocols: []string{wire.Subprotocol}}
		socket, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer socket.Close()
		sessions.Add(1)
		socket.SetPingHandler(func(data string) error {
			select {
			case <-deaf:
				return nil
			default:
				return socket.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Minute))
			}
		})
		_, _, err = socket.ReadMessage()
		welcome, encodeErr := wire.Encode(&wire.Welcome{Role: "guest", ICEServers: []wire.ICEServer{{URLs: []string{"stun:127.0.0.1:9"}}}})
		if err = errors.Join(err, encodeErr, socket.WriteMessage(websocket.TextMessage, welcome)); err != nil {
			t.Error(err)
		}
		for err == nil {
			var message []byte
			if _, message, err = socket.ReadMessage(); strings.Contains(string(message), "bye") {
				return
			}
		}
	})
	c := &NetworkCheck{Base: serveHTTP(t, mux), Timeout: 20 * time.Second, Invite: "eyJ"}
	defer c.Close()
	for i, want := range []int32{1, 1, 2} {
		if i == 2 {
			close(deaf)
		}
		servers, err := c.signedIn(t.Context())
		if err != nil || len(servers) != 1 || sessions.Load() != want || tickets.Load() != 1 {
			t.Fatalf("run %d: %v, %v; sessions %d, want %d; tickets %d", i, servers, err, sessions.Load(), want, tickets.Load())
		}
	}
}

func serveHTTP(t *testing.T, handler http.Handler) (base string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}
