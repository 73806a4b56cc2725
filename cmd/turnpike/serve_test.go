package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.org/turnpike/internal/testcert"
	"example.org/turnpike/signal/wire"
)

// start starts a server, which stops when the test ends.
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

// TestServePrintsInvite holds that serve prints an invite only on a terminal, because others may read a journal.
func TestServePrintsInvite(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		s := startProgram(program{terminal: terminal}, "--state", t.TempDir(), "--auth-guests", "never")
		t.Cleanup(s.stop)
		if s.banner == "" || strings.Contains(s.banner, "#invite=") != terminal {
			t.Errorf("terminal: %v, printed: %s%s", terminal, s.banner, s.stderr.String())
		}
	}
}

// relayPassword comes in as a guest and returns the password of a TURN credential.
func relayPassword(t *testing.T, s *testServer) string {
	t.Helper()
	ticket, code := exchange(t, s.row("web"), "", "Ada")
	if code != "" {
		t.Fatal(code)
	}
	req, err := http.NewRequest("GET", s.row("web")+"/api/v1/ice-servers", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+ticket)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var ice struct{ ICEServers []wire.ICEServer }
	if err := json.NewDecoder(resp.Body).Decode(&ice); err != nil || len(ice.ICEServers) == 0 {
		t.Fatalf("iceServers: %+v, %v", ice, err)
	}
	password := ice.ICEServers[len(ice.ICEServers)-1].Credential // before it stands STUN, if there is UDP
	if password == "" {
		t.Fatalf("iceServers: %+v", ice)
	}
	return password
}

// TestNothingSecretIsPrinted runs a check with the log at its most talkative, and looks for secrets in the output.
func TestNothingSecretIsPrinted(t *testing.T) {
	config := filepath.Join(t.TempDir(), "turnpike.toml")
	const shared = "correcthorsebatterystaple"
	if err := os.WriteFile(config, []byte(`turn.shared_secrets = ["`+shared+`"]`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--config", config, "--log-level", "debug")
	password := relayPassword(t, s)
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
		"TURN password": password, "ticket": "eyJ",
	} {
		if strings.Contains(printed, secret) {
			t.Errorf("the %s was printed:\n%s", what, printed)
		}
	}
}

// TestOwnPortsWarning: serve says that ports which are opened on no address stay closed.
func TestOwnPortsWarning(t *testing.T) {
	s := start(t, "--turn-allow-own-ports", "7882")
	if want := "warning: turn.allow_own_ports opens nothing"; !strings.Contains(s.stderr.String(), want) {
		t.Errorf("no %q in: %s", want, s.stderr.String())
	}
}

func TestHTTPS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, pool := testcert.For(t, dir, "localhost")
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
