package auth

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

const (
	// jwksInterval is the longest time that a withdrawn key stays valid.
	jwksInterval = 15 * time.Minute

	// jwksRetry is the pause after a reading that failed.
	jwksRetry = time.Minute

	// jwksMinInterval is the shortest time between two readings that tokens cause:
	// a stranger can send tokens that name unknown keys.
	jwksMinInterval = 10 * time.Second

	jwksTimeout  = 5 * time.Second
	maxJWKSBytes = 1 << 20
)

// KeysUnavailableError says that nobody can tell whether a token is good: its key
// is not among those that are known, and the issuer's page of keys could not be
// read. The token may be good, so this does not wrap ErrUnauthorized.
type KeysUnavailableError struct {
	Issuer     string
	URL        string
	RetryAfter time.Duration // Earlier than that, the page is not read again.
	Err        error         // Why the last reading failed.
}

func (e *KeysUnavailableError) Error() string {
	return fmt.Sprintf("the keys of issuer %s at %s could not be read: %v", e.Issuer, e.URL, e.Err)
}

func (e *KeysUnavailableError) Unwrap() error { return e.Err }

// jwks holds the keys of a JWKS page (RFC 7517). It reads the page every
// jwksInterval, and when a token names an unknown key or no known key has signed
// it. If a reading fails, the keys of the one before stay.
type jwks struct {
	issuer, url string
	client      *http.Client
	now         func() time.Time
	log         *slog.Logger
	ctx         context.Context // Ends the readings.
	cancel      context.CancelFunc
	repeating   sync.WaitGroup

	mu      sync.Mutex
	reading chan struct{} // Guarded by mu: closed at the end of the current reading; nil: there is none.
	asked   time.Time     // Guarded by mu: start of the last reading that a token caused.
	keys    []webKey      // Guarded by mu: those that were read last; a reading replaces the slice.
	read    time.Time     // Guarded by mu: end of the last reading that succeeded; zero: none did.
	failure error         // Guarded by mu: why the last reading failed; nil: it did not.
	unfit   string        // Guarded by mu: what the log last said of keys that cannot be read.
}

// webKey is a public key of a page, which may verify.
type webKey struct {
	id        string // Several keys may have one.
	algorithm string // Empty: all that fit.
	key       crypto.PublicKey
}

// newJWKS reads the page once before it returns, and again until close.
func newJWKS(name, url string, now func() time.Time, log *slog.Logger) *jwks {
	ctx, cancel := context.WithCancel(context.Background())
	j := &jwks{
		issuer: name, url: url, now: now, log: log, ctx: ctx, cancel: cancel, client: newJWKSClient(),
	}
	j.refresh()
	j.repeating.Go(j.repeat)
	return j
}

func newJWKSClient() *http.Client {
	return &http.Client{Timeout: jwksTimeout, CheckRedirect: keepToHost}
}

// ReadJWKS reads a JWKS page once, as the server does. It returns how many of its
// keys can verify.
func ReadJWKS(ctx context.Context, url string) (verifying int, err error) {
	j := &jwks{url: url, ctx: ctx, client: newJWKSClient()}
	keys, _, err := j.get()
	return len(keys), err
}

// close ends the readings. It is safe to call it twice.
func (j *jwks) close() {
	j.cancel()
	j.repeating.Wait()
}

func (j *jwks) repeat() {
	for {
		pause := jwksInterval
		if _, failure := j.status(); failure != nil {
			pause = jwksRetry
		}
		timer := time.NewTimer(pause)
		select {
		case <-j.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			j.refresh()
		}
	}
}

// status returns when the page was last read, zero for never, and why the last
// reading failed, nil if it did not.
func (j *jwks) status() (read time.Time, failure error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.read, j.failure
}

// find returns the keys that may have signed t: those that it names, or all if
// it names none. The caller must check that they fit the algorithm.
func (j *jwks) find(t *jwt.Token) ([]any, error) {
	id, named := t.Header["kid"]
	kid, isText := id.(string)
	if named && !isText {
		return nil, errors.New("the header's kid is not a string")
	}
	if found, isKnown := j.findKnown(t, kid); isKnown {
		return found, nil
	}
	j.refreshForToken()
	if found, isKnown := j.findKnown(t, kid); isKnown {
		return found, nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failure != nil {
		wait := max(time.Second, jwksMinInterval-j.now().Sub(j.asked))
		return nil, &KeysUnavailableError{j.issuer, j.url, wait, j.failure}
	}
	return nil, fmt.Errorf("the page %s has no key %q for %s", j.url, kid, t.Method.Alg())
}

// findKnown does not read the page. isKnown reports whether there is a key of that
// name at all; if so, there may be none among found that is for t's algorithm.
func (j *jwks) findKnown(t *jwt.Token, kid string) (found []any, isKnown bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, k := range j.keys {
		if kid != "" && kid != k.id {
			continue
		}
		isKnown = true
		if k.algorithm == "" || k.algorithm == t.Method.Alg() {
			found = append(found, k.key)
		}
	}
	return found, isKnown
}

// refreshForToken reads the page, unless a token caused that a moment ago. It
// reports whether it did.
func (j *jwks) refreshForToken() bool {
	j.mu.Lock()
	now := j.now()
	isSoon := j.reading == nil && !j.asked.IsZero() && now.Sub(j.asked) < jwksMinInterval
	if !isSoon && j.reading == nil {
		j.asked = now
	}
	j.mu.Unlock()
	if !isSoon {
		j.refresh()
	}
	return !isSoon
}

// refresh reads the page. A caller that comes during a reading waits for its end.
func (j *jwks) refresh() {
	j.mu.Lock()
	reading := j.reading
	if reading != nil {
		j.mu.Unlock()
		<-reading
		return
	}
	reading = make(chan struct{})
	j.reading = reading
	j.mu.Unlock()

	keys, unfit, err := j.get()
	if j.ctx.Err() == nil && err != nil {
		j.log.Warn("the keys of an issuer could not be read; those known before stay", "issuer", j.issuer, "url", j.url, "err", err)
	}
	j.mu.Lock()
	isNews := err == nil && unfit != j.unfit
	if j.failure = err; err == nil {
		j.keys, j.read, j.unfit = keys, j.now(), unfit
	}
	j.reading = nil
	j.mu.Unlock()
	close(reading)
	if isNews && unfit != "" {
		j.log.Warn("an issuer's page has keys that cannot be read; the others count", "issuer", j.issuer, "url", j.url, "keys", unfit)
	}
}

func (j *jwks) get() (keys []webKey, unfit string, err error) {
	r, err := http.NewRequestWithContext(j.ctx, http.MethodGet, j.url, nil)
	if err != nil {
		return nil, "", err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := j.client.Do(r)
	if err != nil {
		if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
			err = fmt.Errorf("%w; for a certificate authority of your own, set the variable SSL_CERT_FILE", err)
		}
		return nil, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("the page answered %s", resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxJWKSBytes+1))
	if err != nil {
		return nil, "", err
	}
	if len(data) > maxJWKSBytes {
		return nil, "", fmt.Errorf("the page has more than %d bytes", maxJWKSBytes)
	}
	return parseJWKS(data)
}

// parseJWKS returns the keys of a page that can verify. A key that cannot spoils
// no other: pages have keys for encryption too, of kinds that are unknown here,
// and some have a broken one. unfit names those that cannot be read. A page on
// which no key can be read is an error: the keys known before are better.
func parseJWKS(page []byte) (keys []webKey, unfit string, err error) {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(page, &set); err != nil {
		return nil, "", fmt.Errorf("the page is not a JSON Web Key Set: %w", err)
	}
	if set.Keys == nil {
		return nil, "", errors.New(`the page is not a JSON Web Key Set: it has no "keys"`)
	}
	var broken []error
	for i, raw := range *set.Keys {
		k, verifies, err := parseJWK(raw)
		switch {
		case err != nil:
			broken = append(broken, fmt.Errorf("keys[%d]: %w", i, err))
		case verifies:
			keys = append(keys, k)
		}
	}
	if n := len(*set.Keys); n > 0 && len(broken) == n {
		return nil, "", fmt.Errorf("no key on the page can be read: %w", broken[0])
	}
	if len(broken) > 0 {
		unfit = errors.Join(broken...).Error()
	}
	return keys, unfit, nil
}

// parseJWK reads a key of a page. verifies is false for a key that is not meant
// to verify signatures with, or of a kind that never does here.
func parseJWK(raw json.RawMessage) (k webKey, verifies bool, err error) {
	var m jwkset.JWKMarshal
	if err := json.Unmarshal(raw, &m); err != nil {
		return webKey{}, false, err
	}
	if m.USE != "" && m.USE != jwkset.UseSig || len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify) {
		return webKey{}, false, nil
	}
	switch {
	case m.KTY == jwkset.KtyRSA, m.KTY == jwkset.KtyEC && m.CRV == jwkset.CrvP256, m.KTY == jwkset.KtyOKP && m.CRV == jwkset.CrvEd25519:
	default:
		return webKey{}, false, nil
	}
	// Only the numbers count. A certificate beside them vouches for nothing here.
	m = jwkset.JWKMarshal{KTY: m.KTY, CRV: m.CRV, N: m.N, E: m.E, X: m.X, Y: m.Y, KID: m.KID, ALG: m.ALG}
	jwk, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return webKey{}, false, fmt.Errorf("kid %.100q: %w", m.KID, err)
	}
	k = webKey{m.KID, m.ALG.String(), jwk.Key()}
	return k, slices.ContainsFunc(publicAlgorithms(), func(alg string) bool { return fits(alg, k.key) }), nil
}

// keepToHost refuses a redirect to another host, whose owner could bring other
// keys, and one to a page that somebody on the way could change. Only a page of
// this machine itself may be without https.
func keepToHost(r *http.Request, via []*http.Request) error {
	first := via[0].URL
	isSecure := r.URL.Scheme == "https" || r.URL.Scheme == "http" && first.Scheme == "http"
	if len(via) > 3 || !isSecure || r.URL.Hostname() != first.Hostname() || !goodJWKSURL(r.URL.String()) {
		return fmt.Errorf("redirected to %s; write the address of the page itself as jwks_url", r.URL.Redacted())
	}
	return nil
}
