//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// TestHTTPProxy holds what docs/configuration.md says of networks from which nothing but an HTTP proxy gets out: both browsers relay by
// CONNECT to port 443.
func TestHTTPProxy(t *testing.T) {
	need(t, "node", "chromium", "firefox-esr", "certutil")
	lab := netlab.New(t)
	host := lab.Public("server")
	s, config, ca := startServerOn(t, lab, host, defaultListen)
	proxy := lab.Public("proxy")
	asked := connectProxy(t, proxy, map[string]netip.AddrPort{publicName + ":443": netip.AddrPortFrom(host.Addr(), 443)})
	for _, browser := range []string{chromium, firefox} {
		t.Run(browser, func(t *testing.T) {
			link := s.link(t, config, "standup-"+browser)
			office, home := lab.Behind(netlab.UDPBlocked, "office-"+browser), lab.Behind(netlab.Symmetric, "home-"+browser)
			lab.Rules(office, fmt.Sprintf("table inet office {\nchain out {\ntype filter hook output priority filter; policy drop\noif lo accept\nip daddr %s accept\n}\n}\n", proxy.Addr()))
			inside := browserAt(t, browser, office, ca)
			inside.Proxy = proxy.Addr().String() + ":3128"
			people := []person{{inside, "ann", link, "TLS"}, {chromiumAt(t, home, ca), "ben", link, "UDP"}}
			before := asked()
			driveOn(t, office, "meet", map[string]any{"people": people, "path": "relayed"}, nil)
			if asked() < before+2 { // the page's, and the relay's
				t.Errorf("the proxy was asked %d times", asked()-before)
			}
		})
	}
}

// connectProxy runs an HTTP proxy that knows nothing but CONNECT to these hosts. It returns how often it was asked.
func connectProxy(t *testing.T, on *netlab.Host, to map[string]netip.AddrPort) (asked func() int) {
	t.Helper()
	l, err := on.ListenTCP(3128)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	n := 0
	var conns sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		conns.Wait()
	})
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				r, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				there, known := to[r.Host]
				if r.Method != http.MethodConnect || !known {
					_, _ = io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
					return
				}
				mu.Lock()
				n++
				mu.Unlock()
				server, err := on.DialTCP(there, 5*time.Second)
				if err != nil {
					return
				}
				defer server.Close()
				if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
					return
				}
				both(conn, server)
			})
		}
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// both copies each way until one side ends.
func both(a, b net.Conn) {
	var copying sync.WaitGroup
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		copying.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_, _ = a.Close(), b.Close()
		})
	}
	copying.Wait()
}
