package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"turnpike/auth"
	"turnpike/signal/wire"
)

// start starts a server that the test's end stops.
func start(t *testing.T, args ...string) *testServer {
	t.Helper()
	s := startServer(append([]string{"--state", filepath.Join(t.TempDir(), "state")}, args...)...)
	t.Cleanup(s.stop)
	if s.banner == "" {
		t.Fatalf("the server did not start: %s", s.stderr.String())
	}
	return s
}

func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// relayCredential comes in as a guest and returns a TURN target with a credential.
func relayCredential(t *testing.T, s *testServer) turnTarget {
	t.Helper()
	resp, err := http.Post(s.row("web")+"/api/v1/tickets", "application/json", strings.NewReader(`{"name":"Ada"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var ticket struct{ Ticket string }
	if err := json.NewDecoder(resp.Body).Decode(&ticket); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest("GET", s.row("web")+"/api/v1/ice-servers", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+ticket.Ticket)
	resp, err = http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var ice struct{ ICEServers []wire.ICEServer }
	if err := json.NewDecoder(resp.Body).Decode(&ice); err != nil || len(ice.ICEServers) == 0 {
		t.Fatalf("iceServers: %+v, %v", ice, err)
	}
	relays := ice.ICEServers[len(ice.ICEServers)-1] // before it stands STUN, if there is UDP
	uri, err := stun.ParseURI(relays.URLs[0])
	if err != nil || relays.Username == "" {
		t.Fatalf("iceServers: %+v, %v", ice, err)
	}
	return turnTarget{uri: uri, credential: auth.Credential{Username: relays.Username, Password: relays.Credential}}
}

func TestDrainWaitsForRelays(t *testing.T) {
	s := start(t)
	target := relayCredential(t, s)
	client, err := target.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.close()
	relay, err := client.Allocate()
	if err != nil {
		t.Fatal(err)
	}

	close(s.drain)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for status := 200; status != 503; {
		if status, _ = get(t, http.DefaultClient, s.row("web")+"/readyz"); ctx.Err() != nil {
			t.Fatal("still ready while draining")
		}
	}
	for { // a moment passes between the two
		late, err := target.connect(ctx)
		if err != nil {
			t.Fatal(err)
		}
		second, err := late.Allocate()
		if err == nil {
			_ = second.Close()
		}
		late.close()
		if err != nil {
			break
		}
	}
	select {
	case status := <-s.status:
		t.Fatalf("the server ended with %d while a relay was there", status)
	default:
	}
	if err := relay.Close(); err != nil {
		t.Fatal(err)
	}
	if status := s.wait(); status != 0 {
		t.Errorf("the server ended with %d: %s", status, s.stderr.String())
	}
}

// TestTCPRelaying: TCP is relayed unless the configuration says otherwise.
func TestTCPRelaying(t *testing.T) {
	for _, on := range []bool{true, false} {
		s := start(t, "--turn-listen", "tcp://127.0.0.1:0", fmt.Sprintf("--turn-tcp-relaying=%v", on))
		client, err := relayCredential(t, s).connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer client.close()
		relay, err := client.AllocateTCP()
		if (err == nil) != on {
			t.Errorf("turn.tcp_relaying is %v: %v", on, err)
		}
		if err == nil {
			_ = relay.Close()
		}
	}
}

func TestDrainTimeout(t *testing.T) {
	s := start(t, "--drain-timeout", "50ms")
	client, err := relayCredential(t, s).connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.close()
	if _, err := client.Allocate(); err != nil {
		t.Fatal(err)
	}
	close(s.drain)
	if status := s.wait(); status != 0 || !strings.Contains(s.stderr.String(), "relays were still there") {
		t.Errorf("the server ended with %d: %s", status, s.stderr.String())
	}
}

func TestStopEndsADrain(t *testing.T) {
	s := start(t, "--drain-timeout", "1h")
	client, err := relayCredential(t, s).connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.close()
	if _, err := client.Allocate(); err != nil {
		t.Fatal(err)
	}
	close(s.drain)
	s.cancel()
	if status := s.wait(); status != 0 {
		t.Errorf("the server ended with %d: %s", status, s.stderr.String())
	}
}

func TestPages(t *testing.T) {
	s := start(t)
	for path, want := range map[string]string{"/": "<!doctype html>", "/r/standup": "<!doctype html>", "/healthz": "ok"} {
		if status, body := get(t, http.DefaultClient, s.row("web")+path); status != 200 || !strings.HasPrefix(strings.ToLower(body), want) {
			t.Errorf("%s: %d %.40q, want %q", path, status, body, want)
		}
	}
}

func TestMetrics(t *testing.T) {
	s := start(t)
	status, body := get(t, http.DefaultClient, s.row("metrics"))
	for _, want := range []string{`turnpike_turn_allocations{transport="udp"} 0`, "turnpike_signal_sessions 0", `turnpike_turn_packets_relayed_total{direction="up",transport="tls"} 0`,
		`turnpike_turn_relayed_bytes_total{direction="down",transport="udp"} 0`, `turnpike_turn_authentications_total{outcome="refused"} 0`,
		`turnpike_turn_error_responses_total{code="401"} 0`, `turnpike_turn_packets_dropped_total{reason="malformed"} 0`,
		`turnpike_turn_peer_connections{state="open"} 0`, `turnpike_turn_peer_connections_made_total{direction="up"} 0`,
		`turnpike_turn_peer_connections_failed_total{reason="unclaimed"} 0`, `turnpike_signal_messages_total{type="hello"} 0`, "go_goroutines "} {
		if !strings.Contains(body, want) {
			t.Errorf("the metrics (status %d) lack %s", status, want)
		}
	}
	base := strings.TrimSuffix(s.row("metrics"), "/metrics")
	if status, body := get(t, http.DefaultClient, base+"/allocations"); status != 200 || !strings.Contains(body, `"allocations": []`) {
		t.Errorf("the allocations: %d %s", status, body)
	}
	if status, _ := get(t, http.DefaultClient, base+"/debug/pprof/cmdline"); status != 200 {
		t.Errorf("pprof on loopback: %d", status)
	}
	req, err := http.NewRequest("GET", base+"/debug/pprof/cmdline", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 403 {
		t.Errorf("pprof under a rebound name: %d", resp.StatusCode)
	}
	if status, _ := get(t, http.DefaultClient, s.row("web")+"/metrics"); status == 200 {
		t.Error("the public listener has metrics")
	}
}

// TestNothingSecretIsPrinted goes through a check with the log at its most talkative, and looks for what it must not say.
func TestNothingSecretIsPrinted(t *testing.T) {
	config := filepath.Join(t.TempDir(), "turnpike.toml")
	const shared = "correcthorsebatterystaple"
	if err := os.WriteFile(config, []byte(`turn.shared_secrets = ["`+shared+`"]`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--config", config, "--log-level", "debug")
	target := relayCredential(t, s)
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs}
	if status := p.run(t.Context(), []string{"check", s.row("web")}); status != 0 {
		t.Fatalf("check: %d\n%s%s", status, &out, &errs)
	}
	if status := p.run(t.Context(), []string{"check", s.row("web"), "--ticket", "eyJhbGciOiJub25lIn0.e30."}); status != 1 {
		t.Fatalf("check with a bad ticket: %d\n%s%s", status, &out, &errs)
	}
	s.stop()
	key, err := os.ReadFile(filepath.Join(s.row("state"), "secret"))
	if err != nil {
		t.Fatal(err)
	}
	printed := s.banner + s.stderr.String() + out.String() + errs.String()
	for what, secret := range map[string]string{
		"shared secret": shared, "generated secret": strings.TrimSpace(string(key)),
		"TURN password": target.credential.Password, "ticket": "eyJ",
	} {
		if strings.Contains(printed, secret) {
			t.Errorf("the %s was printed:\n%s", what, printed)
		}
	}
}

func TestHTTPS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, pool := certificate(t, dir, "localhost")
	s := start(t, "--tls-mode", "files", "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--public-host", "turn.example.org")
	if want := "warning: the certificate is not for public_host"; !strings.Contains(s.stderr.String(), want) {
		t.Errorf("no %q in: %s", want, s.stderr.String())
	}
	url := s.row("web")[strings.Index(s.row("web"), "https://localhost"):]
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	if status, body := get(t, client, url+"/readyz"); status != 200 {
		t.Errorf("readyz over https: %d %s", status, body)
	}
	old := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), old); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is accepted")
	}
}

// certificate writes a self-signed certificate for host and its key.
func certificate(t *testing.T, dir, host string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	certFile, keyFile, err := makeCertificate(dir, time.Hour, host)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	certPEM, err := os.ReadFile(certFile)
	if err != nil || !pool.AppendCertsFromPEM(certPEM) {
		t.Fatal(err)
	}
	return certFile, keyFile, pool
}

// makeCertificate writes cert.pem and key.pem, which hold for a time from now.
func makeCertificate(dir string, lifetime time.Duration, host string) (certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(lifetime), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			return "", "", err
		}
	}
	return certFile, keyFile, nil
}
