package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"

	"example.org/turnpike/internal/pebble"
)

// acmeNode is a node that gets its certificate from Pebble, which is down until the test starts it.
type acmeNode struct {
	*testNode
	t         *testing.T
	directory *pebble.Directory
	state     string
	due       float64      // the part of a certificate's life in which it is renewed; 0: the last third
	looks     atomic.Int64 // at the certificate
}

func startACME(t *testing.T, host string, args ...string) *acmeNode {
	t.Helper()
	return startACMEDue(t, 0, host, args...)
}

func startACMEDue(t *testing.T, due float64, host string, args ...string) *acmeNode {
	t.Helper()
	a := &acmeNode{t: t, directory: pebble.New(t), state: filepath.Join(t.TempDir(), "state"), due: due}
	a.start(host, args...)
	return a
}

func (a *acmeNode) start(host string, args ...string) {
	a.t.Helper()
	o := Options{acme: acmeTimes{look: 50 * time.Millisecond, due: a.due, again: func(int) time.Duration { return 50 * time.Millisecond },
		looked: func() { a.looks.Add(1) }}}
	a.testNode = startWith(a.t, o, append([]string{"--state", a.state, "--public-host", host, "--tls-mode", "acme", "--http-redirect-listen", "127.0.0.1:0",
		"--tls-acme-directory", a.directory.URL(), "--tls-acme-ca-file", a.directory.CAFile(),
		"--turn-listen", "udp://127.0.0.1:0,tls://127.0.0.1:0,dtls://127.0.0.1:0"}, args...)...)
}

// addr is the address of a listener: "web" or "redirect".
func (a *acmeNode) addr(which string) string {
	if which == "redirect" {
		return a.node.redirectListeners[0].Addr().String()
	}
	return a.node.webListeners[0].Addr().String()
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return int(ap.Port())
}

// waitLog waits until the log has the words.
func (a *acmeNode) waitLog(words string) {
	a.t.Helper()
	waitUntil(a.t, func() bool { return strings.Contains(a.log.String(), words) }, func() string { return "no " + words + " in:\n" + a.log.String() })
}

// waitUntil polls a condition.
func waitUntil(t *testing.T, done func() bool, why func() string) {
	t.Helper()
	deadline, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.Done():
			t.Fatal(why())
		case <-tick.C:
		}
	}
}

// dial makes a TLS connection to an address, and returns the certificate that it shows.
func dial(t *testing.T, addr, serverName string, roots *x509.CertPool) (*tls.Conn, *x509.Certificate) {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{ServerName: serverName, RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, conn.ConnectionState().PeerCertificates[0]
}

const testName = "turn.example.com"

// TestACMEName: with the directory down at first, the server starts, says so and tries again. By each kind of challenge it gets a
// certificate, which pages and TURN have. Nobody but its user can read the key. The next start serves it at once.
func TestACMEName(t *testing.T) {
	for _, challenge := range []string{"tls-alpn-01", "http-01"} {
		t.Run(challenge, func(t *testing.T) {
			a := startACME(t, testName)
			a.waitLog("msg=\"tls: no new certificate\"")
			a.waitLog("none: https and TURN over TLS fail until there is one")
			a.waitLog("again_in=")
			closed := portOf(t, a.addr("web"))
			o := pebble.Options{HTTPPort: 1, TLSPort: closed, DNS: pebble.DNS(t, netip.MustParseAddr("127.0.0.1"))}
			if challenge == "http-01" {
				o.HTTPPort, o.TLSPort = portOf(t, a.addr("redirect")), 1
			}
			a.directory.Start(o)
			a.waitLog("msg=\"tls: certificate\" for=" + testName)
			roots := a.directory.Roots()
			_, leaf := dial(t, a.addr("web"), testName, roots)
			for _, l := range a.node.turn.Addrs() {
				if l.Network == "tls" {
					if _, other := dial(t, l.Addr.String(), testName, roots); !other.Equal(leaf) {
						t.Error("TURN over TLS has another certificate")
					}
				}
			}
			if got := dtlsCertificate(t, a.node, roots); !got.Equal(leaf) {
				t.Error("TURN over DTLS has another certificate")
			}
			a.checkModes()
			if _, err := os.Stat(a.node.cfg.ACMEProblemFile()); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("what was wrong is still there for turnpike check: %v", err)
			}
			enough := a.looks.Load() + 5
			waitUntil(t, func() bool { return a.looks.Load() >= enough }, func() string { return "it does not look again" })
			if n := strings.Count(a.log.String(), "msg=\"tls: certificate\""); n != 1 {
				t.Errorf("it got %d certificates", n)
			}

			a.testNode.stop()
			a.directory.Stop()
			a.start(testName)
			if _, again := dial(t, a.addr("web"), testName, roots); !again.Equal(leaf) {
				t.Error("after a restart it has another certificate")
			}
		})
	}
}

// checkModes holds that the state belongs to its user alone.
func (a *acmeNode) checkModes() {
	a.t.Helper()
	keys := 0
	err := filepath.WalkDir(filepath.Join(a.state, "acme"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			a.t.Errorf("%s has mode %v", path, info.Mode())
		}
		if strings.HasSuffix(path, ".key") {
			keys++
		}
		return err
	})
	if err != nil || keys == 0 {
		a.t.Errorf("%d keys, %v", keys, err)
	}
}

// TestACMEAddress: a bare IP address gets a certificate with the profile for those, and clients get it without naming a server.
func TestACMEAddress(t *testing.T) {
	for _, challenge := range []string{"tls-alpn-01", "http-01"} {
		t.Run(challenge, func(t *testing.T) {
			a := startACME(t, "127.0.0.1")
			o := pebble.Options{HTTPPort: 1, TLSPort: portOf(t, a.addr("web"))}
			if challenge == "http-01" {
				o.HTTPPort, o.TLSPort = portOf(t, a.addr("redirect")), 1
			}
			a.directory.Start(o)
			a.waitLog("msg=\"tls: certificate\" for=127.0.0.1")
			_, leaf := dial(t, a.addr("web"), "127.0.0.1", a.directory.Roots()) // Go sends no server name for an address
			if left := time.Until(leaf.NotAfter); left > 7*24*time.Hour {
				t.Errorf("it expires in %v, so its profile is not that of addresses", left)
			}
		})
	}
}

// TestACMERenewal: a certificate is renewed before it expires, and a connection that began with it goes on.
func TestACMERenewal(t *testing.T) {
	const life = 100 * time.Hour // so that nothing here depends on how fast this machine is
	a := startACMEDue(t, 1-(3*time.Second).Seconds()/life.Seconds(), testName)
	a.directory.Start(pebble.Options{TLSPort: portOf(t, a.addr("web")), HTTPPort: 1, Validity: life, ShortValidity: life, DNS: pebble.DNS(t, netip.MustParseAddr("127.0.0.1"))})
	a.waitLog("msg=\"tls: certificate\" for=" + testName)
	roots := a.directory.Roots()
	old, first := dial(t, a.addr("web"), testName, roots)
	get := func() {
		t.Helper()
		if _, err := io.WriteString(old, "GET /healthz HTTP/1.1\r\nHost: "+testName+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := old.Read(make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
	}
	get()
	waitUntil(t, func() bool {
		_, now := dial(t, a.addr("web"), testName, roots)
		return !now.Equal(first) && now.NotAfter.After(first.NotAfter)
	}, func() string { return "not renewed:\n" + a.log.String() })
	get()
}

// TestACMERefusals: what a directory refuses is told with its reason and a remedy, and what is there stays.
func TestACMERefusals(t *testing.T) {
	t.Run("blocked", func(t *testing.T) {
		a := startACME(t, "blocked.example.com")
		a.directory.Start(pebble.Options{TLSPort: 1, HTTPPort: 1, Blocked: []string{"blocked.example.com"}})
		const why = "the directory gives no certificate for blocked.example.com; use another public_host, or another tls.acme_directory"
		a.waitLog(why)
		if told, err := os.ReadFile(a.node.cfg.ACMEProblemFile()); err != nil || !strings.Contains(string(told), why) {
			t.Errorf("turnpike check finds %q, %v", told, err)
		}
	})
	t.Run("unreachable", func(t *testing.T) {
		a := startACME(t, "127.0.0.1")
		a.directory.Start(pebble.Options{TLSPort: 1, HTTPPort: 1})
		a.waitLog("127.0.0.1 must lead to this machine, and its firewall must let in TCP 443 or 80 from everywhere")
	})
	t.Run("rate limit", func(t *testing.T) {
		a := startACME(t, testName)
		until := time.Now().Add(2 * time.Hour).UTC()
		a.directory.Start(pebble.Options{TLSPort: portOf(t, a.addr("web")), HTTPPort: 1, DNS: pebble.DNS(t, netip.MustParseAddr("127.0.0.1"))})
		a.waitLog("msg=\"tls: certificate\" for=" + testName)
		roots, web := a.directory.Roots(), a.addr("web")
		a.testNode.stop()
		forget(t, a.state)
		a.directory.Intercept("/order-plz", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Replay-Nonce", "of-a-limit")
			w.WriteHeader(http.StatusTooManyRequests)
			_ = json.NewEncoder(w).Encode(map[string]any{
				"type": "urn:ietf:params:acme:error:rateLimited", "status": 429,
				"detail": fmt.Sprintf("too many certificates already issued, retry after %s UTC: see https://example.org/", until.Format(time.DateTime)),
			})
		})
		a.start(testName, "--http-listen", web) // where Pebble sends challenges
		a.waitLog("nothing is wrong here but that the directory was asked too often; wait")
		wait := regexpFind(t, a.log.String(), `again_in=(\S+)\n$`)
		if d, err := time.ParseDuration(wait); err != nil || d < 119*time.Minute || d > 121*time.Minute {
			t.Errorf("it tries again in %s, %v", wait, err)
		}
		a.directory.Intercept("", nil)
		looks := a.looks.Load()
		a.hangup <- os.Interrupt // whatever the signal, it asks to try at once
		a.waitLog("is not asked before the time that it has set")
		if now := a.looks.Load(); now != looks || strings.Contains(a.log.String(), "msg=\"tls: certificate\"") {
			t.Errorf("it asked the directory all the same: %d looks, then %d", looks, now)
		}
		a.testNode.stop()
		a.start(testName, "--http-listen", web)
		a.waitLog("msg=\"tls: certificate\" for=" + testName)
		dial(t, a.addr("web"), testName, roots)
	})
}

// regexpFind returns the first group.
func regexpFind(t *testing.T, text, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no %s in:\n%s", pattern, text)
	}
	return found[1]
}

// dtlsCertificate is the certificate of the DTLS listener.
func dtlsCertificate(t *testing.T, n *Node, roots *x509.CertPool) *x509.Certificate {
	t.Helper()
	for _, l := range n.turn.Addrs() {
		if l.Network != "dtls" {
			continue
		}
		conn, err := dtls.DialWithOptions("udp", net.UDPAddrFromAddrPort(l.Addr), dtls.WithServerName(testName), dtls.WithRootCAs(roots))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := conn.HandshakeContext(ctx); err != nil {
			t.Fatal(err)
		}
		state, _ := conn.ConnectionState()
		leaf, err := x509.ParseCertificate(state.PeerCertificates[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf
	}
	t.Fatal("no DTLS listener")
	return nil
}

// forget removes the certificates but not the account.
func forget(t *testing.T, state string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(state, "acme", "certificates")); err != nil {
		t.Fatal(err)
	}
}

// TestWithPort: without public_host a browser is sent to the host that it asked for.
func TestWithPort(t *testing.T) {
	for _, row := range [][3]string{
		{"turn.lan:80", "", "turn.lan"}, {"turn.lan", "8443", "turn.lan:8443"}, {"[::1]:80", "", "[::1]"}, {"[::1]", "8443", "[::1]:8443"}, {"10.0.0.5", "", "10.0.0.5"},
	} {
		if got := withPort(row[0], row[1]); got != row[2] {
			t.Errorf("%s and %s are %s, want %s", row[0], row[1], got, row[2])
		}
	}
}

// TestRedirect: the plain listener sends everybody to https, and serves nothing.
func TestRedirect(t *testing.T) {
	a := startACME(t, testName)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	web := "https://" + net.JoinHostPort(testName, strconv.Itoa(portOf(t, a.addr("web"))))
	for path, want := range map[string]string{
		"/": web + "/", "/r/standup?x=1": web + "/r/standup?x=1", "//evil.example/": web + "//evil.example/",
		"/.well-known/acme-challenge/abc": web + "/.well-known/acme-challenge/abc",
	} {
		r := &http.Request{Method: http.MethodGet, Host: "whatever", URL: &url.URL{Scheme: "http", Host: a.addr("redirect"), Opaque: path}}
		if path != "//evil.example/" {
			r.URL = &url.URL{Scheme: "http", Host: a.addr("redirect")}
			r.URL.Path, r.URL.RawQuery, _ = strings.Cut(path, "?")
		} else {
			r.URL.Opaque = "//" + a.addr("redirect") + path
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusPermanentRedirect || got != want {
			t.Errorf("%s: %d to %q, want %q", path, resp.StatusCode, got, want)
		}
	}
	resp, err := client.Post("http://"+a.addr("redirect")+"/api/v1/tickets", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a POST gets %d", resp.StatusCode)
	}
}
