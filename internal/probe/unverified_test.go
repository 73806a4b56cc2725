package probe

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/stun/v4"

	"example.org/turnpike/internal/testcert"
	"example.org/turnpike/signal/wire"
)

// TestNoSecretToAnybody: over connections whose certificate is none to trust, a check sends neither ticket nor invite, and makes no ticket. It
// names the certificate, and goes on with what takes none.
func TestNoSecretToAnybody(t *testing.T) {
	var mu sync.Mutex
	var heard bytes.Buffer // guarded by mu
	hear := func(b []byte) {
		mu.Lock()
		defer mu.Unlock()
		heard.Write(b)
	}
	answers, err := net.ListenPacket("udp4", "127.0.0.1:0") // to STUN
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := answers.ReadFrom(buf)
			if err != nil {
				return
			}
			hear(buf[:n])
			at := from.(*net.UDPAddr)
			question := &stun.Message{Raw: buf[:n]}
			if question.Decode() != nil {
				continue
			}
			answer, err := stun.Build(stun.NewTransactionIDSetter(question.TransactionID), stun.BindingSuccess, &stun.XORMappedAddress{IP: at.IP, Port: at.Port})
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = answers.WriteTo(answer.Raw, from)
		}
	})
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("/api/v1/client", func(w http.ResponseWriter, _ *http.Request) {
		at := answers.LocalAddr().String()
		_ = json.NewEncoder(w).Encode(map[string]any{"address": "127.0.0.1", "version": "9", "urls": []string{"stun:" + at, "turn:" + at + "?transport=udp"}})
	})
	mux.HandleFunc("/signal", func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{Subprotocols: []string{wire.Subprotocol}}
		socket, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer socket.Close()
		_, message, _ := socket.ReadMessage()
		hear(message)
	})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, _ := httputil.DumpRequest(r, true)
		hear(request)
		mux.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that the client breaks off
	server.StartTLS()

	var findings []Finding
	for _, s := range []*Server{{Ticket: "eyJsecret"}, {Invite: "eyJsecret"}, {Mint: func(string) (string, error) { t.Error("it makes a ticket"); return "eyJsecret", nil }}} {
		s.Base, s.Timeout, s.Dial = server.URL, 20*time.Second, new(net.Dialer).DialContext
		s.Run(t.Context(), func(f Finding) { findings = append(findings, f) })
	}
	server.Close()
	_ = answers.Close()
	serving.Wait()
	if strings.Contains(heard.String(), "eyJ") || strings.Contains(heard.String(), "/api/v1/tickets") {
		t.Errorf("strangers hear a secret: %s", heard.String())
	}
	var shown []string
	for _, f := range findings {
		how := "FAIL "
		if f.OK {
			how = "ok "
		}
		shown = append(shown, how+f.Check)
	}
	each := "FAIL web, ok secrets, ok web, ok signaling, ok stun udp"
	if got, want := strings.Join(shown, ", "), strings.Join([]string{each, each, each}, ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestCertificateProblems: a check from elsewhere says what is wrong with a certificate, and what to do.
func TestCertificateProblems(t *testing.T) {
	for title, test := range map[string]struct {
		lifetime time.Duration
		host     string
		want     string // DATE stands for its end
	}{
		"expired":        {-24 * time.Hour, "localhost", "the certificate expired on DATE, and clients refuse it; renew it"},
		"another's name": {time.Hour, "turn.example.org", "the certificate is for turn.example.org, 127.0.0.1, and not for localhost; clients refuse it"},
	} {
		t.Run(title, func(t *testing.T) {
			certFile, keyFile, err := testcert.Write(t.TempDir(), test.lifetime, test.host)
			if err != nil {
				t.Fatal(err)
			}
			pair, err := tls.LoadX509KeyPair(certFile, keyFile)
			if err != nil {
				t.Fatal(err)
			}
			pool := x509.NewCertPool()
			pool.AddCert(pair.Leaf)
			want := strings.Replace(test.want, "DATE", pair.Leaf.NotAfter.UTC().Format(time.DateOnly), 1)
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.StartTLS()
			defer server.Close()
			there := web{strings.Replace(server.URL, "127.0.0.1", "localhost", 1), &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}}
			if err := there.health(t.Context(), new(Finding)); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}
