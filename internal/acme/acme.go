// Package acme gets a certificate for one name or IP address from an ACME directory (RFC 8555, RFC 8738), and renews it.
//
// Run asks certmagic whether the stored certificate is due, again and again, and hands each new one to Config.Use. The
// directory proves that we are the host by a challenge on a listener that the caller serves anyway:
//
//	Run ── certmagic ──▶ directory
//	          │              │
//	       challenge ◀───────┘  TLS-ALPN-01 (RFC 8737): Challenge, for tls.Config.GetCertificate
//	                            HTTP-01: ServeChallenge, on port 80
//
// A failure is told to Config.Failed and tried again. What is stored stays in use meanwhile. Keys are files of mode 0600.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
)

// shortlived is the profile of the certificates that Let's Encrypt gives to IP addresses: 160 hours.
const shortlived = "shortlived"

// defaultInterval is the time between two looks at the certificate. The shortest-lived one is due for two days.
const defaultInterval = 10 * time.Minute

// early is how long before the time that the directory suggests (RFC 9773) certmagic renews. It also renews what has less than five
// times as long to live. So it must be far below every life, or each look would renew.
const early = time.Hour

// Config is what a Manager needs.
type Config struct {
	Host      string // a name, or an IP address without brackets
	Directory string // the URL
	Email     string // empty: the account has none
	Roots     *x509.CertPool
	Dir       string // of the account, the certificate and its key
	Log       *slog.Logger

	// Use gets the stored certificate, and each new one. Run calls it, and Stored.
	Use func(*tls.Certificate)
	// Failed gets what is wrong, and when Run tries again: not before, even if Try says so, where held is true.
	Failed func(err error, again time.Duration, held bool)

	Interval time.Duration                    // between two looks at the certificate; 0: ten minutes
	Backoff  func(failures int) time.Duration // after so many failures in a row, from 1 on; nil: a minute, and more

	// For tests.
	Due    float64 // the part of a certificate's life, at its end, in which it is renewed; 0: a third
	Looked func()  // after each look at the certificate, before Failed; nil: nobody asks
}

// Manager keeps one certificate.
type Manager struct {
	// Static after New.
	cfg     Config
	storage *storage
	now     chan struct{} // asks Run to try at once

	issuer atomic.Pointer[certmagic.ACMEIssuer] // nil until Run has made it
	asking atomic.Bool                          // a challenge may come. Else strangers cost no look-up

	// Owned by Run.
	tlsAddr, httpAddr string // set before Run
	magic             *certmagic.Config
	cache             *certmagic.Cache
}

// New makes a Manager. It opens nothing and asks nobody.
func New(cfg Config) *Manager {
	if cfg.Interval == 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.Backoff == nil {
		cfg.Backoff = backoff
	}
	return &Manager{cfg: cfg, storage: newStorage(cfg.Dir), now: make(chan struct{}, 1)}
}

// Stored hands the certificate of an earlier run to Use, expired or not, if there is one.
func (m *Manager) Stored(ctx context.Context) error {
	key := (&certmagic.ACMEIssuer{CA: m.cfg.Directory}).IssuerKey()
	err := m.use(ctx, certmagic.StorageKeys.SiteCert(key, m.cfg.Host), certmagic.StorageKeys.SitePrivateKey(key, m.cfg.Host))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// use reads a certificate and its key from the storage.
func (m *Manager) use(ctx context.Context, certKey, keyKey string) error {
	certPEM, err := m.storage.Load(ctx, certKey)
	if err != nil {
		return err
	}
	keyPEM, err := m.storage.Load(ctx, keyKey)
	if err != nil {
		return err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return err
	}
	m.cfg.Use(&cert)
	return nil
}

// Listeners names the addresses that the caller listens on, before Run: one with TLS, which calls Challenge, and one of
// plain HTTP, which calls ServeChallenge. Either may be empty.
func (m *Manager) Listeners(tlsAddr, httpAddr string) { m.tlsAddr, m.httpAddr = tlsAddr, httpAddr }

// Try makes Run try at once, unless the directory has said when it wants to hear of us again.
func (m *Manager) Try() {
	select {
	case m.now <- struct{}{}:
	default:
	}
}

// Run gets and renews the certificate until ctx ends.
func (m *Manager) Run(ctx context.Context) {
	m.build()
	defer m.cache.Stop()
	for failures := 0; ; {
		wait, held := m.cfg.Interval, false
		err := m.attempt(ctx)
		if m.cfg.Looked != nil {
			m.cfg.Looked()
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failures++
			var limit time.Duration
			limit, held = untilAllowed(err, time.Now())
			wait = max(m.cfg.Backoff(failures), limit)
			m.cfg.Failed(explain(err, m.cfg.Host), wait, held)
		default:
			failures = 0
		}
		m.pause(ctx, wait, held)
	}
}

// pause waits, until Try is called at most. That ends no wait that the directory has set: each order in it is one more
// against us.
func (m *Manager) pause(ctx context.Context, wait time.Duration, held bool) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	until := time.Now().Add(wait)
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-m.now:
			if !held {
				return
			}
			m.cfg.Log.Warn("tls: the directory was asked too often, and is not asked before the time that it has set", "again_in", time.Until(until).Round(time.Second))
		}
	}
}

// attempt gets the certificate if there is none, or renews it if it is due.
func (m *Manager) attempt(ctx context.Context) error {
	m.asking.Store(true)
	defer m.asking.Store(false)
	// The cache makes certmagic think that it renews by itself. Without an entry it looks at the storage, and acts at once,
	// and its own rounds find nothing to do.
	defer m.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: m.cfg.Host}})
	return m.magic.ManageSync(ctx, []string{m.cfg.Host})
}

// build makes certmagic's parts.
func (m *Manager) build() {
	const never = 100 * 365 * 24 * time.Hour
	log := zapLogger(m.cfg.Log)
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return m.magic, nil },
		RenewCheckInterval: early,
		OCSPCheckInterval:  never,
		Logger:             log,
	})
	m.magic = certmagic.New(m.cache, certmagic.Config{
		Storage: m.storage, Logger: log, OnEvent: m.event, OCSP: certmagic.OCSPConfig{DisableStapling: true},
		RenewalWindowRatio: m.cfg.Due, // 0: certmagic's third
	})
	template := certmagic.ACMEIssuer{
		CA: m.cfg.Directory, TestCA: m.cfg.Directory, Agreed: true, TrustedRoots: m.cfg.Roots, Logger: log,
		Email:                   m.cfg.Email + " ", // cut off later; certmagic asks at the terminal if it is empty
		DisableHTTPChallenge:    m.httpAddr == "",
		DisableTLSALPNChallenge: m.tlsAddr == "",
	}
	if _, err := netip.ParseAddr(m.cfg.Host); err == nil {
		template.Profile = shortlived
	}
	// It sees that these are taken, finds that they answer, and leaves the challenge to us.
	template.ListenHost, template.AltTLSALPNPort = splitAddr(m.tlsAddr)
	if host, port := splitAddr(m.httpAddr); m.httpAddr != "" {
		template.AltHTTPPort = port
		if m.tlsAddr == "" {
			template.ListenHost = host
		}
	}
	issuer := certmagic.NewACMEIssuer(m.magic, template)
	m.magic.Issuers = []certmagic.Issuer{issuer}
	m.issuer.Store(issuer)
}

// event takes a certificate as soon as certmagic has stored it.
func (m *Manager) event(ctx context.Context, name string, data map[string]any) error {
	if name != "cert_obtained" {
		return nil
	}
	certKey, _ := data["certificate_path"].(string)
	keyKey, _ := data["private_key_path"].(string)
	if err := m.use(ctx, certKey, keyKey); err != nil {
		m.cfg.Failed(err, m.cfg.Interval, false)
	}
	return nil
}

// Challenge returns the certificate that answers a TLS-ALPN-01 challenge, or nil if hello is none.
func (m *Manager) Challenge(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	issuer := m.issuer.Load()
	challenge := len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acmez.ACMETLS1Protocol && hello.ServerName != ""
	if !challenge || hello.Conn == nil || issuer == nil || !m.asking.Load() {
		return nil, nil
	}
	return m.magic.GetCertificate(hello)
}

// ServeChallenge answers an HTTP-01 challenge, and reports whether the request was one.
func (m *Manager) ServeChallenge(w http.ResponseWriter, r *http.Request) bool {
	issuer := m.issuer.Load()
	return issuer != nil && m.asking.Load() && issuer.HandleHTTPChallenge(w, r)
}
