// Package pebble runs Pebble, Let's Encrypt's ACME directory for tests.
//
// It is built from the module proxy into the user's cache, at the version below, so that no program of ours depends on it.
// A Directory is its front: its URL is known, and refuses, before Pebble runs and after it was stopped.
package pebble

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"example.org/turnpike/internal/testcert"
)

const (
	module  = "github.com/letsencrypt/pebble/v2/cmd/pebble"
	version = "v2.10.3"
)

// build makes the program, unless a run before has made it.
var build = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "turnpike-test")
	program := filepath.Join(dir, "pebble-"+version)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	made, err := os.MkdirTemp(dir, "pebble")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(made)
	// With the flags of our own program, for which the compiler has made the standard library.
	cmd := exec.Command("go", "install", "-trimpath", module+"@"+version)
	cmd.Env = append(os.Environ(), "GOBIN="+made, "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install %s@%s: %w\n%s", module, version, err, out)
	}
	return program, os.Rename(filepath.Join(made, "pebble"), program) // at once, as another test may do the same
})

// Binary returns the path of the program, built once.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Directory is an ACME directory at a URL that stays the same.
type Directory struct {
	t     testing.TB
	front *httptest.Server

	mu        sync.Mutex
	proxy     *httputil.ReverseProxy // nil: Pebble does not run
	path      string
	intercept http.HandlerFunc // nil: nothing is
	cmd       *exec.Cmd
	root      string // the URL of the root certificate
	out       bytes.Buffer
}

// New opens the front of a directory.
func New(t testing.TB) *Directory {
	d := &Directory{t: t}
	d.front = httptest.NewTLSServer(http.HandlerFunc(d.serve))
	t.Cleanup(func() {
		d.front.Close()
		d.Stop()
	})
	return d
}

// URL is the directory's.
func (d *Directory) URL() string { return d.front.URL + "/dir" }

// CAFile writes the certificate that the directory is trusted by.
func (d *Directory) CAFile() string {
	d.t.Helper()
	name := filepath.Join(d.t.TempDir(), "directory.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: d.front.Certificate().Raw}
	if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return name
}

// Intercept gives every request for a path to h until it is called with nil.
func (d *Directory) Intercept(path string, h http.HandlerFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.path, d.intercept = path, h
}

func (d *Directory) serve(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	proxy, intercept, path := d.proxy, d.intercept, d.path
	d.mu.Unlock()
	switch {
	case intercept != nil && r.URL.Path == path:
		intercept(w, r)
	case proxy != nil:
		proxy.ServeHTTP(w, r)
	default:
		http.Error(w, "the directory is down", http.StatusServiceUnavailable)
	}
}

// Options are how Pebble validates and signs.
type Options struct {
	HTTPPort, TLSPort int    // where it sends challenges
	DNS               string // the address of a DNS server; empty: the system's
	Blocked           []string
	Validity          time.Duration // of certificates; 0: 90 days. An order that names no profile gets one by chance
	ShortValidity     time.Duration // likewise, of the profile "shortlived"; 0: 6 days
}

// Settings writes Pebble's configuration into dir, for these addresses and this certificate of its own.
func Settings(t testing.TB, dir, api, management, certFile, keyFile string, o Options) (file string) {
	t.Helper()
	profile := func(validity, otherwise time.Duration) map[string]any {
		if validity == 0 {
			validity = otherwise
		}
		return map[string]any{"description": "of a test", "validityPeriod": int(validity.Seconds())}
	}
	settings, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": api, "managementListenAddress": management, "certificate": certFile, "privateKey": keyFile,
		"httpPort": o.HTTPPort, "tlsPort": o.TLSPort, "domainBlocklist": o.Blocked, "keyAlgorithm": "ecdsa",
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles": map[string]any{
			"default": profile(o.Validity, 90*24*time.Hour), "shortlived": profile(o.ShortValidity, 6*24*time.Hour),
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(file, settings, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Env is Pebble's environment: it loses no time, and refuses nothing by chance.
func Env() []string {
	return append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0")
}

// Start runs Pebble behind the front.
func (d *Directory) Start(o Options) {
	d.t.Helper()
	dir := d.t.TempDir()
	certFile, keyFile, pool := testcert.For(d.t, dir, "localhost")
	api, management := freeAddr(d.t), freeAddr(d.t)
	file := Settings(d.t, dir, api, management, certFile, keyFile, o)
	args := []string{"-config", file}
	if o.DNS != "" {
		args = append(args, "-dnsserver", o.DNS)
	}
	cmd := exec.Command(Binary(d.t), args...)
	cmd.Env = Env()
	cmd.Stdout, cmd.Stderr = &d.out, &d.out
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "localhost"}}
	if err := waitFor(transport, "https://"+api+"/dir"); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		d.t.Fatalf("Pebble does not answer: %v\n%s", err, d.out.String())
	}
	target := &url.URL{Scheme: "https", Host: api}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cmd, d.root = cmd, "https://"+management+"/roots/0"
	d.proxy = &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // the URLs that it gives out, and expects in signatures, are the front's
	}}
}

// Roots returns the pool that trusts Pebble's certificates.
func (d *Directory) Roots() *x509.CertPool {
	d.t.Helper()
	d.mu.Lock()
	transport, root := d.proxy.Transport, d.root
	d.mu.Unlock()
	resp, err := (&http.Client{Transport: transport}).Get(root)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(text) {
		d.t.Fatalf("%v: %s", err, text)
	}
	return pool
}

// Stop ends Pebble. The front then refuses.
func (d *Directory) Stop() {
	d.mu.Lock()
	cmd := d.cmd
	d.cmd, d.proxy = nil, nil
	d.mu.Unlock()
	if cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if d.t.Failed() {
			d.t.Logf("Pebble:\n%s", d.out.Bytes()[max(0, d.out.Len()-4000):])
		}
	}
}

// freeAddr returns an address of loopback that nobody listens on now.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// waitFor polls until the URL answers.
func waitFor(transport *http.Transport, address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: transport}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(r)
		if err == nil {
			return resp.Body.Close()
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}
