package deploy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"example.org/turnpike/internal/testcert"
	"example.org/turnpike/signal/wire"
)

const proxiedName = "turn.example.org"

// TestReverseProxies: through the samples for nginx and Caddy come pages, WebSockets and the address of the client, which no client
// can forge, and nobody gets in without an invite.
func TestReverseProxies(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, roots := testcert.For(t, dir, proxiedName)
	backend := startBehindProxy(t)
	for name, test := range map[string]struct {
		sample  string
		prepare func(sample, addr string) (config string)
		command func(config string) []string
	}{
		"nginx": {"nginx.conf", func(sample, addr string) string {
			sample = strings.NewReplacer("listen 443 ssl", "listen "+addr+" ssl", "listen [::]:443 ssl;", onIPv6(addr), "http://127.0.0.1:8080", "http://"+backend,
				"/etc/letsencrypt/live/turn.example.org/fullchain.pem", certFile, "/etc/letsencrypt/live/turn.example.org/privkey.pem", keyFile).Replace(sample)
			return "daemon off;\npid " + dir + "/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\nclient_body_temp_path " + dir + "/body;\nproxy_temp_path " + dir +
				"/proxy;\nfastcgi_temp_path " + dir + "/fastcgi;\nuwsgi_temp_path " + dir + "/uwsgi;\nscgi_temp_path " + dir + "/scgi;\n" + sample + "\n}\n"
		}, func(config string) []string { return []string{"nginx", "-p", dir, "-c", config} }},
		"caddy": {"Caddyfile", func(sample, addr string) string {
			_, port, _ := net.SplitHostPort(addr)
			sample = strings.NewReplacer("\nturn.example.org {\n", "\nhttps://turn.example.org:"+port+" {\n\ttls "+certFile+" "+keyFile+"\n\tbind 127.0.0.1\n", "127.0.0.1:8080", backend).Replace(sample)
			return "{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system " + dir + "/caddy\n}\n" + sample
		}, func(config string) []string {
			return []string{"caddy", "run", "--adapter", "caddyfile", "--config", config}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(name); err != nil {
				cannot(t, err)
			}
			sample, err := os.ReadFile(test.sample)
			if err != nil {
				t.Fatal(err)
			}
			addr := freeAddr(t)
			config := filepath.Join(dir, test.sample)
			if err := os.WriteFile(config, []byte(test.prepare(string(sample), addr)), 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, addr, test.command(config)...)
			tryProxy(t, addr, roots)
			if listen := onIPv6(addr); listen != "" && name == "nginx" { // Caddy listens everywhere by itself
				conn, err := tls.Dial("tcp6", strings.Fields(listen)[1], &tls.Config{RootCAs: roots, ServerName: proxiedName})
				if err != nil {
					t.Fatal(err)
				}
				_ = conn.Close()
			}
		})
	}
}

// onIPv6 is nginx's line for the same port on IPv6, or nothing where there is none. CI has it.
func onIPv6(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	l, err := net.Listen("tcp6", "[::1]:0")
	switch {
	case err == nil:
		_ = l.Close()
	case os.Getenv("CI") == "":
		return ""
	}
	return "listen [::1]:" + port + " ssl;"
}

// startBehindProxy starts a server as the samples have it, and returns where it listens.
func startBehindProxy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	turnpike := program(t)
	addr := freeAddr(t)
	run(t, addr, turnpike, "serve", "--state", filepath.Join(dir, "state"), "--public-host", proxiedName, "--http-trusted-proxies", "127.0.0.1/32", "--http-listen", addr,
		"--turn-listen", "udp://127.0.0.1:0", "--turn-relay-addresses", "127.0.0.1", "--turn-offload", "off", "--metrics-listen", "127.0.0.1:0")
	return addr
}

// run starts a program, waits until it listens, and ends it with the test.
func run(t *testing.T, addr string, command ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = t.TempDir() // it has no turnpike.toml
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		cancel()
		if t.Failed() {
			t.Logf("%s:\n%s", command[0], out.Bytes())
		}
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not listen: %v", command[0], err)
		case <-tick.C:
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// tryProxy comes from an address of its own, and claims another.
func tryProxy(t *testing.T, addr string, roots *x509.CertPool) {
	t.Helper()
	const from = "127.0.0.9"
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, addr)
	}
	secure := &tls.Config{RootCAs: roots, ServerName: proxiedName}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: secure}, Timeout: 30 * time.Second}
	ask := func(method, path, body string) (status int, answer string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "https://"+proxiedName+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Forwarded-For", "127.0.0.1")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	if status, page := ask(http.MethodGet, "/", ""); status != http.StatusOK || !strings.Contains(page, "<html") {
		t.Errorf("the page: %d %.200s", status, page)
	}
	if status, answer := ask(http.MethodPost, "/api/v1/tickets", `{"name":"Ada"}`); status == http.StatusOK || !strings.Contains(answer, "invite-required") {
		t.Errorf("a stranger gets %d %s", status, answer)
	}
	var known struct{ Address, Ignored string }
	if status, answer := ask(http.MethodGet, "/api/v1/client", ""); status != http.StatusOK || json.Unmarshal([]byte(answer), &known) != nil || known.Address != from || known.Ignored != "" {
		t.Errorf("the server takes us for %d %s", status, answer)
	}
	ws := &websocket.Dialer{NetDialContext: dial, TLSClientConfig: secure, HandshakeTimeout: 30 * time.Second, Subprotocols: []string{wire.Subprotocol}}
	conn, resp, err := ws.Dial("wss://"+proxiedName+"/signal", http.Header{"Origin": {"https://" + proxiedName}})
	if err != nil {
		t.Fatalf("no WebSocket: %v %v", err, resp)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}
