//go:build linux

package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

const peerServerName = "turn.lab"

// startPeerServer starts our server on a host of its own. It lets guests in, and relays for them.
func startPeerServer(t *testing.T, l *netlab.Lab) (url, certificate string) {
	t.Helper()
	return startPeerServerOn(t, l, l.Public("server"))
}

func startPeerServerOn(t *testing.T, l *netlab.Lab, host *netlab.Host) (url, certificate string) {
	t.Helper()
	l.AddName(peerServerName, host)
	pair := newKeyPairFor(t, peerServerName)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	var log bytes.Buffer
	cmd := host.Command(ctx, turnpike, "serve", "--state", dir, "--public-host", peerServerName, "--http-listen", ":443", "--metrics-listen", "",
		"--tls-mode", "files", "--tls-cert-file", pair.certificate, "--tls-key-file", pair.key,
		"--turn-listen", "udp://0.0.0.0:3478,tcp://0.0.0.0:3478", "--auth-guests", "always")
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	end := sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(func() {
		end()
		if t.Failed() {
			t.Logf("the server's log:\n%s", log.Bytes())
		}
	})
	hc := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pair.roots},
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return host.DialTCP(netip.AddrPortFrom(host.Addr(), 443), time.Second)
		},
	}}
	defer hc.CloseIdleConnections()
	url = "https://" + peerServerName
	for begin := time.Now(); ; {
		resp, err := hc.Get(url + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return url, pair.certificate
			}
		}
		select {
		case <-ended:
			t.Fatalf("the server ended: %s", log.Bytes())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Since(begin) > startTime {
			end()
			t.Fatalf("the server is not ready: %v", err)
		}
	}
}
