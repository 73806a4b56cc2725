package node

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"example.org/turnpike/internal/acme"
	"example.org/turnpike/internal/config"
)

const (
	// certificatePoll is the time between two looks at the files.
	certificatePoll = 5 * time.Second
	// expiryNotice is the time before a certificate's end at which warnings begin. By then it should have been renewed.
	expiryNotice = 14 * 24 * time.Hour
)

// certificates has the certificate in force, and takes a new one when the files change, or when an ACME directory has signed
// one. A connection keeps the certificate that it began with.
type certificates struct {
	// Static after construction.
	cfg  *config.Config
	log  *slog.Logger
	acme *acme.Manager // nil: of files

	current  atomic.Pointer[tls.Certificate] // nil until the first one is there, which only ACME can be waiting for
	reloaded atomic.Uint64
	failed   atomic.Uint64

	// Owned by watch, for files.
	loaded     filesState // of current
	seen       filesState // at the last look
	complained filesState // could not be loaded, and the log says so

	warned time.Time // when the log last said what is wrong with current; owned by what watches
}

// filesState tells two versions of the files apart.
type filesState [2]struct {
	modified time.Time
	size     int64
}

// loadCertificates reads the files, or what an ACME directory has signed before, for the first time.
func loadCertificates(cfg *config.Config, times acmeTimes, log *slog.Logger) (*certificates, error) {
	c := &certificates{cfg: cfg, log: log, warned: time.Now()} // Warnings tells at the start
	if cfg.TLS.Mode == config.TLSACME {
		return c, c.loadACME(times)
	}
	c.loaded = stateOf(cfg)
	cert, err := readCertificate(cfg)
	if err != nil {
		return nil, err
	}
	c.current.Store(cert)
	return c, nil
}

// get is tls.Config.GetCertificate.
func (c *certificates) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.acme != nil {
		if cert, err := c.acme.Challenge(hello); cert != nil || err != nil {
			return cert, err
		}
	}
	if cert := c.current.Load(); cert != nil {
		return cert, nil
	}
	return nil, errNoCertificate
}

// errNoCertificate ends handshakes until the ACME directory has signed the first certificate.
var errNoCertificate = errors.New("there is no certificate yet")

// leaf returns the certificate in force; nil if there is none yet.
func (c *certificates) leaf() *x509.Certificate {
	if cert := c.current.Load(); cert != nil {
		return cert.Leaf
	}
	return nil
}

// warning says what is wrong with the certificate in force; empty if it knows of nothing.
func (c *certificates) warning(now time.Time) string {
	leaf := c.leaf()
	if leaf == nil {
		return ""
	}
	notice := expiryNotice
	if c.acme != nil { // it is renewed when a third of its life is left, and the log says why not
		notice = leaf.NotAfter.Sub(leaf.NotBefore) / 6
	}
	if w := certificateWarning(leaf, c.cfg.PublicHost, notice, now); w != "" || c.acme != nil {
		return w
	}
	return chainWarning(c.current.Load(), c.cfg.TLS.CertFile)
}

// start watches the certificate until stop is called. A signal from hangup says that the files are new, or that what kept
// the ACME directory from signing is mended.
func (c *certificates) start(hangup <-chan os.Signal) (stop func()) {
	if c.acme != nil {
		return c.startACME(hangup)
	}
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { c.watch(done, hangup) })
	return func() {
		close(done)
		watching.Wait()
	}
}

// watch looks at the files until done is closed, and at once when hangup says that they are new.
func (c *certificates) watch(done <-chan struct{}, hangup <-chan os.Signal) {
	tick := time.NewTicker(certificatePoll)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-hangup:
			c.look(true)
		case <-tick.C:
			c.look(false)
		}
		c.warn(time.Now())
	}
}

// look loads the files if they have changed and then stood still from one look to the next, since another program may
// still be writing them. With now it loads them at once, changed or not.
func (c *certificates) look(now bool) {
	state := stateOf(c.cfg)
	still := state == c.seen
	c.seen = state
	if !now && (state == c.loaded || !still) {
		return
	}
	cert, err := readCertificate(c.cfg)
	switch {
	case err != nil:
	case stateOf(c.cfg) != state:
		return // written meanwhile: the next look finds them changed
	case time.Now().After(cert.Leaf.NotAfter):
		err = c.cfg.Errorf("tls.cert_file", "%s expired on %s", c.cfg.TLS.CertFile, cert.Leaf.NotAfter.Format(time.DateOnly))
	}
	if err != nil {
		if now || state != c.complained {
			c.complained = state
			c.failed.Add(1)
			c.log.Error("tls: the new certificate cannot be used, so the one before stays", "err", err, "expires", c.leaf().NotAfter)
		}
		return
	}
	c.current.Store(cert)
	c.loaded = state
	c.reloaded.Add(1)
	c.log.Info("tls: new certificate", "cert_file", c.cfg.TLS.CertFile, "names", cert.Leaf.DNSNames, "expires", cert.Leaf.NotAfter)
	c.warned = time.Time{}
}

// warn tells once a day what is wrong with the certificate in force.
func (c *certificates) warn(now time.Time) {
	if now.Sub(c.warned) < 24*time.Hour {
		return
	}
	if w := c.warning(now); w != "" {
		c.warned = now
		c.log.Warn("tls: " + w)
	}
}

// stateOf returns the state of both files. It is zero where a file is missing.
func stateOf(cfg *config.Config) (s filesState) {
	for i, name := range []string{cfg.TLS.CertFile, cfg.TLS.KeyFile} {
		if info, err := os.Stat(name); err == nil {
			s[i].modified, s[i].size = info.ModTime(), info.Size()
		}
	}
	return s
}

// readCertificate reads the certificate and its key.
func readCertificate(cfg *config.Config) (*tls.Certificate, error) {
	read := func(key, name string) ([]byte, error) {
		data, err := os.ReadFile(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, cfg.Errorf(key, "there is no file %s; write where the PEM file is", name)
		case errors.Is(err, fs.ErrPermission):
			return nil, cfg.Errorf(key, "%s may not be read by this user; give the server's user read access", name)
		case err != nil:
			return nil, cfg.Errorf(key, "%w", err)
		}
		return data, nil
	}
	certPEM, err := read("tls.cert_file", cfg.TLS.CertFile)
	if err != nil {
		return nil, err
	}
	keyPEM, err := read("tls.key_file", cfg.TLS.KeyFile)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, cfg.Errorf("tls.cert_file", "%s and %s are not a certificate and its key: %w", cfg.TLS.CertFile, cfg.TLS.KeyFile, err)
	}
	return &cert, nil
}

// chainWarning says that a certificate comes without that of its issuer, unless this machine knows the issuer; empty if not.
func chainWarning(cert *tls.Certificate, file string) string {
	leaf := cert.Leaf
	if leaf == nil || len(cert.Certificate) > 1 || leaf.CheckSignatureFrom(leaf) == nil {
		return ""
	}
	if _, err := leaf.Verify(x509.VerifyOptions{}); err == nil {
		return ""
	}
	return fmt.Sprintf("%s has one certificate, and that of its issuer %q is not in it: clients that do not know this issuer refuse it; use the file with the chain (fullchain.pem)",
		file, leaf.Issuer.CommonName)
}

// certificateWarning says why clients refuse a certificate, or will within notice; empty if it knows of no reason.
func certificateWarning(leaf *x509.Certificate, host string, notice time.Duration, now time.Time) string {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Sprintf("the certificate expired on %s; renew it", leaf.NotAfter.Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return fmt.Sprintf("the certificate is not valid before %s; is this machine's clock right?", leaf.NotBefore.Format(time.DateOnly))
	case host != "" && leaf.VerifyHostname(host) != nil:
		return fmt.Sprintf("the certificate is not for public_host %q; browsers will refuse it", host)
	case now.Add(notice).After(leaf.NotAfter):
		return fmt.Sprintf("the certificate expires on %s; renew it", leaf.NotAfter.Format(time.DateOnly))
	}
	return ""
}
