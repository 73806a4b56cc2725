package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"example.org/turnpike/internal/acme"
)

// acmeTimes are how often a certificate is looked at, in which part of its life it is renewed, and how long a failure is waited
// for; zero: acme's own.
type acmeTimes struct {
	look   time.Duration
	due    float64
	again  func(failures int) time.Duration
	looked func()
}

// warnInterval is the time between two looks at whether the certificate of an ACME directory is about to expire.
const warnInterval = time.Minute

// loadACME takes the certificate of an earlier run, expired or not.
func (c *certificates) loadACME(times acmeTimes) error {
	roots, err := c.directoryRoots()
	if err != nil {
		return err
	}
	c.acme = acme.New(acme.Config{
		Host: c.cfg.PublicHost, Directory: c.cfg.TLS.ACMEDirectory, Email: c.cfg.TLS.ACMEEmail, Roots: roots, Dir: c.cfg.ACMEDir(),
		Log: c.log, Use: c.use, Failed: c.couldNotGet, Interval: times.look, Backoff: times.again, Due: times.due, Looked: times.looked,
	})
	if err := c.acme.Stored(context.Background()); err != nil {
		c.log.Error("tls: the stored certificate cannot be used; asking for a new one", "dir", c.cfg.ACMEDir(), "err", err)
	}
	return nil
}

// directoryRoots reads the certificates that a directory of one's own is trusted by.
func (c *certificates) directoryRoots() (*x509.CertPool, error) {
	name := c.cfg.TLS.ACMECAFile
	if name == "" {
		return nil, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, c.cfg.Errorf("tls.acme_ca_file", "%w; name the PEM file with the certificates to trust", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, c.cfg.Errorf("tls.acme_ca_file", "%s has no PEM certificate", name)
	}
	return pool, nil
}

// use takes a certificate that the directory has signed.
func (c *certificates) use(cert *tls.Certificate) {
	former := c.current.Swap(cert)
	if former != nil || time.Now().Before(cert.Leaf.NotAfter) {
		c.noteProblem("")
	}
	c.log.Info("tls: certificate", "for", strings.Join(subjects(cert.Leaf), ", "), "issuer", cert.Leaf.Issuer.CommonName, "expires", cert.Leaf.NotAfter)
	if former != nil {
		c.reloaded.Add(1)
	}
}

// noteProblem leaves what is wrong for `turnpike check` and setup; nothing if that is empty.
func (c *certificates) noteProblem(text string) {
	name := c.cfg.ACMEProblemFile()
	var err error
	if text == "" {
		err = os.Remove(name)
	} else if err = os.MkdirAll(filepath.Dir(name), 0o700); err == nil {
		err = os.WriteFile(name, []byte(text), 0o600)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.log.Debug("tls: the problem cannot be left for turnpike check", "err", err)
	}
}

func subjects(leaf *x509.Certificate) []string {
	out := leaf.DNSNames
	for _, ip := range leaf.IPAddresses {
		out = append(out, ip.String())
	}
	return out
}

// couldNotGet says why there is no new certificate, and what clients get meanwhile.
func (c *certificates) couldNotGet(err error, again time.Duration, held bool) {
	c.failed.Add(1)
	meanwhile := "none: https and TURN over TLS fail until there is one"
	if leaf := c.leaf(); leaf != nil {
		meanwhile = "the certificate that expires " + leaf.NotAfter.UTC().Format(time.RFC3339)
	}
	c.noteProblem(fmt.Sprintf("%v (at %s, and again in %s)\n", err, time.Now().UTC().Format(time.RFC3339), again.Round(time.Second)))
	about := []any{"directory", c.cfg.TLS.ACMEDirectory, "err", err, "serving", meanwhile, "again_in", again.Round(time.Second)}
	if !held {
		about = append(about, "at_once", "SIGHUP")
	}
	c.log.Error("tls: no new certificate", about...)
}

// startACME keeps the certificate new until stop is called.
func (c *certificates) startACME(hangup <-chan os.Signal) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.acme.Run(ctx) })
	running.Go(func() {
		tick := time.NewTicker(warnInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangup:
				c.acme.Try()
			case <-tick.C:
				c.warn(time.Now())
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// openRedirects opens the listeners of plain http. Without them a certificate can still be got by port 443, so those that
// nobody named may fail.
func (n *Node) openRedirects() error {
	named := n.cfg.Source("http.redirect_listen") != ""
	for i, addr := range n.cfg.HTTP.RedirectListen {
		l, err := net.Listen("tcp", addr)
		switch {
		case err == nil:
			n.redirectListeners = append(n.redirectListeners, l)
		case named:
			return n.cfg.Errorf(fmt.Sprintf("http.redirect_listen[%d]", i), "%s", listenProblem(addr, err))
		default:
			n.log.Warn("nobody is sent from http to https, and the certificate can be got by port 443 only; set http.redirect_listen = [] if that is meant",
				"err", listenProblem(addr, err))
		}
	}
	if n.certs != nil && n.certs.acme != nil {
		addrOf := func(listeners []net.Listener) string {
			if len(listeners) == 0 {
				return ""
			}
			return listeners[0].Addr().String()
		}
		n.certs.acme.Listeners(addrOf(n.webListeners), addrOf(n.redirectListeners))
	}
	return nil
}

// withPort puts another port behind the host of a Host header; none if it is empty.
func withPort(hostHeader, port string) string {
	host, _, err := net.SplitHostPort(hostHeader)
	if err != nil {
		host = strings.Trim(hostHeader, "[]")
	}
	joined := net.JoinHostPort(host, port)
	return strings.TrimSuffix(joined, ":")
}

// redirect answers challenges of an ACME directory, and sends everybody else to the same page by https.
func (n *Node) redirect(w http.ResponseWriter, r *http.Request) {
	if n.certs != nil && n.certs.acme != nil && n.certs.acme.ServeChallenge(w, r) {
		return
	}
	w.Header().Set("Connection", "close")
	base, err := url.Parse(n.cfg.PublicURL(n.webAddrs()))
	if err != nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "This server speaks https only.", http.StatusBadRequest)
		return
	}
	if n.cfg.PublicHost == "" {
		base.Host = withPort(r.Host, base.Port())
	}
	http.Redirect(w, r, base.String()+r.URL.RequestURI(), http.StatusPermanentRedirect)
}
