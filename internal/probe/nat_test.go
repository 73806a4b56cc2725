package probe

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"example.org/turnpike/signal/wire"
)

// natServer is a server with two addresses and two ports, as a client sees it from behind a NAT of some kind. It answers
// with the addresses that the NAT would show, and sends nothing that the NAT would filter.
type natServer struct {
	socks  [4]*net.UDPConn // as turnserver.DiscoveryPair has them: bit 0 is the port, bit 1 the address
	kind   natKind
	silent int  // a socket that does not answer; negative: none
	plain  bool // it tells no other address
}

func startNATServer(t *testing.T, s *natServer) *natServer {
	t.Helper()
	for try := 0; ; try++ {
		var err error
		for i := range s.socks {
			ip, port := []string{"127.0.0.1", "127.0.0.2"}[i>>1], 0
			if i > 1 {
				port = s.addr(i & 1).Port
			}
			if s.socks[i], err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(ip), Port: port}); err != nil {
				break
			}
			t.Cleanup(func() { _ = s.socks[i].Close() })
		}
		if err == nil {
			break
		}
		if isErrno(err, syscall.EADDRNOTAVAIL, 10049) {
			t.Skip("this machine has one loopback address: ", err)
		}
		if try == 50 {
			t.Fatal(err)
		}
	}
	for i := range s.socks {
		go s.serve(i)
	}
	return s
}

func (s *natServer) addr(i int) *net.UDPAddr { return s.socks[i].LocalAddr().(*net.UDPAddr) }

func (s *natServer) serve(i int) {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.socks[i].ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		m := &stun.Message{Raw: append([]byte(nil), buf[:n]...)}
		if m.Decode() != nil || i == s.silent {
			continue
		}
		flags := 0
		if v, err := m.Get(stun.AttrChangeRequest); err == nil {
			flags = int(v[3]) >> 1
		}
		passes := flags == 0 || s.kind.filtering == endpointIndependent || s.kind.filtering == addressDependent && flags == 1
		if !passes {
			continue
		}
		mapped := stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())}
		if s.kind.translates {
			mapped.IP = net.IPv4(192, 0, 2, 1)
			mapped.Port = 1000 + []int{0, i >> 1, i}[s.kind.mapping]
		}
		other := s.addr(i ^ 3)
		content := []stun.Setter{m, stun.BindingSuccess, &mapped, &stun.OtherAddress{IP: other.IP, Port: other.Port}}
		if s.plain {
			content = content[:3]
		}
		res, err := stun.Build(content...)
		if err == nil {
			_, _ = s.socks[i^flags].WriteToUDPAddrPort(res.Raw, from)
		}
	}
}

// tryNAT runs the step against a server and returns the finding, or none.
func tryNAT(t *testing.T, url string, timeout time.Duration) (found []Finding) {
	t.Helper()
	r := &run{Server: &Server{Timeout: timeout}, report: func(f Finding) { found = append(found, f) }}
	r.nat(t.Context(), []wire.ICEServer{{URLs: []string{"turn:127.0.0.1:1", url}}})
	return found
}

func TestNAT(t *testing.T) {
	for want, kind := range map[string]natKind{
		"no NAT, endpoint-independent filtering: anybody reaches this machine directly":                                                                                                                      {},
		"no NAT, address-dependent filtering: a firewall lets in only answers, and calls send first, so direct paths work":                                                                                   {filtering: addressDependent},
		"endpoint-independent mapping, endpoint-independent filtering: direct paths work, whatever NAT the other side has":                                                                                   {translates: true},
		"endpoint-independent mapping, address-dependent filtering: direct paths work, whatever NAT the other side has":                                                                                      {true, endpointIndependent, addressDependent},
		"endpoint-independent mapping, address and port-dependent filtering: direct paths work, except to peers behind a NAT whose mapping depends on the destination; those calls are relayed":              {true, endpointIndependent, addressAndPortDependent},
		"address-dependent mapping, address-dependent filtering: direct paths work only to peers without a NAT, or with a NAT that ignores ports when it filters; other calls are relayed":                   {true, addressDependent, addressDependent},
		"address and port-dependent mapping, address and port-dependent filtering: direct paths work only to peers without a NAT, or with a NAT that ignores ports when it filters; other calls are relayed": {true, addressAndPortDependent, addressAndPortDependent},
	} {
		t.Run(fmt.Sprint(kind.translates, kind.mapping, kind.filtering), func(t *testing.T) {
			t.Parallel() // each filtered answer costs a wait
			s := startNATServer(t, &natServer{kind: kind, silent: -1})
			got := tryNAT(t, "stun:"+s.addr(0).String(), time.Minute)
			if len(got) != 1 || !got[0].OK || got[0].Detail != want {
				t.Errorf("got %v, want %s", got, want)
			}
		})
	}
}

// TestNATFails: a server that promises discovery and fails gets a finding that says what to mend. One that promises none
// gets no finding.
func TestNATFails(t *testing.T) {
	for name, row := range map[string]struct {
		silent  int
		kind    natKind
		timeout time.Duration
		want    string // part of the problem; empty: no finding at all
	}{
		"the server itself":    {silent: 0, timeout: time.Minute},
		"its other address":    {2, natKind{}, time.Minute, "no answer from 127.0.0.2:"},
		"its other port there": {3, natKind{}, time.Minute, "which the server says is its other address; open it in the firewall"},
		"time":                 {-1, natKind{true, endpointIndependent, addressAndPortDependent}, 200 * time.Millisecond, "give --timeout more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startNATServer(t, &natServer{kind: row.kind, silent: row.silent})
			got := tryNAT(t, "stun:"+s.addr(0).String(), row.timeout)
			if row.want == "" {
				if len(got) != 0 {
					t.Errorf("got %v", got)
				}
				return
			}
			if len(got) != 1 || got[0].OK || !strings.Contains(got[0].Problem, row.want) {
				t.Errorf("got %v, want %s", got, row.want)
			}
		})
	}
}
