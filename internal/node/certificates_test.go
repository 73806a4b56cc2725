package node

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/testcert"
)

// certificateDir is a directory with a certificate, and the certificates that watch it. Tests call look themselves.
type certificateDir struct {
	t     *testing.T
	dir   string
	certs *certificates
	log   syncBuffer
	age   time.Duration
}

func newCertificateDir(t *testing.T) *certificateDir {
	t.Helper()
	d := &certificateDir{t: t, dir: t.TempDir()}
	d.write(30 * 24 * time.Hour)
	cfg := config.Default("state")
	cfg.TLS.Mode, cfg.TLS.CertFile, cfg.TLS.KeyFile = config.TLSFiles, filepath.Join(d.dir, "cert.pem"), filepath.Join(d.dir, "key.pem")
	certs, err := loadCertificates(cfg, acmeTimes{}, slog.New(slog.NewTextHandler(&d.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	d.certs = certs
	return d
}

// write makes a new pair.
func (d *certificateDir) write(lifetime time.Duration) {
	d.t.Helper()
	if _, _, err := testcert.Write(d.dir, lifetime, "localhost"); err != nil {
		d.t.Fatal(err)
	}
	d.touch()
}

// touch gives the files a new time, however fast the test is.
func (d *certificateDir) touch() {
	d.t.Helper()
	d.age += time.Second
	for _, name := range []string{"cert.pem", "key.pem"} {
		at := time.Now().Add(-time.Hour).Add(d.age)
		if err := os.Chtimes(filepath.Join(d.dir, name), at, at); err != nil {
			d.t.Fatal(err)
		}
	}
}

// wantReloads looks several times, and compares the numbers of new certificates and complaints since the start.
func (d *certificateDir) wantReloads(what string, looks int, reloaded, failed uint64) {
	d.t.Helper()
	for range looks {
		d.certs.look(false)
	}
	if r, f := d.certs.reloaded.Load(), d.certs.failed.Load(); r != reloaded || f != failed {
		d.t.Errorf("%s: %d new certificates, %d complaints; want %d and %d\n%s", what, r, f, reloaded, failed, d.log.String())
	}
}

// TestCertificateFiles: a new pair is taken once its files stand still, and a bad one never.
func TestCertificateFiles(t *testing.T) {
	d := newCertificateDir(t)
	first := d.certs.leaf()
	d.wantReloads("unchanged", 3, 0, 0)

	d.write(30 * 24 * time.Hour)
	d.wantReloads("just written", 1, 0, 0)
	d.touch()
	d.wantReloads("written again", 1, 0, 0)
	d.wantReloads("still", 1, 1, 0)
	d.wantReloads("still", 3, 1, 0)
	second := d.certs.leaf()
	if second.Equal(first) {
		t.Fatal("the certificate is the same")
	}

	// Half of a pair, then a key that does not fit, then nothing at all.
	cert, key := filepath.Join(d.dir, "cert.pem"), filepath.Join(d.dir, "key.pem")
	good, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		d.touch()
	}
	spoil(key, good[:len(good)/2])
	d.wantReloads("half a key", 5, 1, 1)
	other := newCertificateDir(t)
	stranger, err := os.ReadFile(filepath.Join(other.dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	spoil(key, stranger)
	d.wantReloads("another's key", 5, 1, 2)
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	d.wantReloads("no certificate", 5, 1, 3)
	d.write(-time.Hour)
	d.wantReloads("an expired one", 5, 1, 4)
	if !d.certs.leaf().Equal(second) {
		t.Error("a bad certificate is in force")
	}
	for _, part := range []string{"the one before stays", "key.pem are not a certificate and its key", "there is no file " + cert, "expired on"} {
		if !strings.Contains(d.log.String(), part) {
			t.Errorf("the log lacks %q:\n%s", part, d.log.String())
		}
	}
	if strings.Contains(d.log.String(), "PRIVATE KEY") {
		t.Error("the log has a key")
	}

	d.write(30 * 24 * time.Hour)
	d.certs.look(true) // as a SIGHUP does
	d.wantReloads("told to", 0, 2, 4)
	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.certs.look(true)
	d.certs.look(true)
	d.wantReloads("told to, twice", 0, 2, 6)
}

// TestExpiryNotice holds that the log complains of the certificate in force once a day.
func TestExpiryNotice(t *testing.T) {
	d := newCertificateDir(t)
	told := func() int { return strings.Count(d.log.String(), "level=WARN") }
	now := time.Now()
	for range 48 { // two days, with four weeks left
		now = now.Add(time.Hour)
		d.certs.warn(now)
	}
	if told() != 0 {
		t.Errorf("warned too early: %s", d.log.String())
	}
	now = now.Add(20 * 24 * time.Hour)
	for range 72 {
		now = now.Add(time.Hour)
		d.certs.warn(now)
	}
	if got := told(); got != 3 || !strings.Contains(d.log.String(), "the certificate expires on ") {
		t.Errorf("warned %d times in three days: %s", got, d.log.String())
	}
}

// TestReloadUnderLoad changes the certificate of a running server, by SIGHUP and by waiting, while clients come and go.
// None fails, connected clients stay, and new ones see the new certificate.
func TestReloadUnderLoad(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, pool := testcert.For(t, dir, "localhost")
	hangup := make(chan os.Signal, 1)
	s := startWith(t, Options{Hangup: hangup}, "--tls-mode", "files", "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--public-host", "localhost")
	url := s.row("web")
	addr := strings.Replace(strings.TrimPrefix(url, "https://"), "localhost", "127.0.0.1", 1)
	roots := &roots{pool: pool}

	stays, err := tls.Dial("tcp", addr, roots.config())
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	ask := func() {
		t.Helper()
		_, err := stays.Write([]byte("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(stays), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status, err)
		}
	}
	ask()
	before := stays.ConnectionState().PeerCertificates[0]

	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				conn, err := tls.Dial("tcp", addr, roots.config())
				if err != nil {
					t.Error("a client while the certificate changes:", err)
					return
				}
				_ = conn.Close()
			}
		})
	}
	serving := func() *x509.Certificate {
		conn, err := tls.Dial("tcp", addr, roots.config())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0]
	}
	renew := func(told bool) {
		t.Helper()
		last := serving()
		next := t.TempDir()
		testcert.For(t, next, "localhost")
		roots.add(t, next)
		for _, name := range []string{"cert.pem", "key.pem"} { // in place, one after the other
			if err := os.Rename(filepath.Join(next, name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if told {
			hangup <- syscall.SIGHUP
		}
		deadline := time.After(4 * certificatePoll)
		for serving().Equal(last) {
			select {
			case <-deadline:
				t.Fatalf("the certificate in force is the old one: %s", s.log.String())
			default:
			}
		}
	}
	renew(true)
	renew(false)
	close(stop)
	load.Wait()

	if !stays.ConnectionState().PeerCertificates[0].Equal(before) {
		t.Error("the connection has another certificate")
	}
	ask()
	_, metrics := get(t, http.DefaultClient, s.row("metrics"))
	for _, want := range []string{`turnpike_tls_certificate_reloads_total{result="ok"} 2`, `turnpike_tls_certificate_reloads_total{result="failed"} 0`, "turnpike_tls_certificate_expiry_timestamp_seconds 1."} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// roots are the certificates that clients trust. Their number grows.
type roots struct {
	mu   sync.Mutex
	pool *x509.CertPool
}

// config trusts the roots as they are at the end of a handshake, since the server may change its certificate meanwhile.
func (r *roots) config() *tls.Config {
	verify := func(state tls.ConnectionState) error {
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: r.now(), DNSName: "localhost"})
		return err
	}
	return &tls.Config{InsecureSkipVerify: true, VerifyConnection: verify}
}

func (r *roots) now() *x509.CertPool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pool
}

// add makes clients trust the certificate in dir, too.
func (r *roots) add(t *testing.T, dir string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pool = r.pool.Clone()
	r.pool.AppendCertsFromPEM(data)
}

func TestCertificateWarning(t *testing.T) {
	leaf := newCertificateDir(t).certs.leaf() // for localhost, from two days ago until in thirty
	for _, row := range []struct {
		host string
		in   time.Duration
		want string
	}{
		{"", 0, ""}, {"localhost", 0, ""}, {"turn.example.org", 0, "is not for public_host"},
		{"localhost", -72 * time.Hour, "is not valid before"}, {"localhost", 17 * 24 * time.Hour, "expires on"}, {"localhost", 31 * 24 * time.Hour, "expired on"},
	} {
		got := certificateWarning(leaf, row.host, expiryNotice, time.Now().Add(row.in))
		if (got == "") != (row.want == "") || !strings.Contains(got, row.want) {
			t.Errorf("%q in %v: %q, want %q", row.host, row.in, got, row.want)
		}
	}
}
