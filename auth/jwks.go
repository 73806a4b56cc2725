package auth

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

const (
	// jwksInterval is the longest time that a withdrawn key stays valid.
	jwksInterval = 15 * time.Minute

	// jwksMinInterval is the shortest time between two readings that tokens cause:
	// a stranger can send tokens that name unknown keys.
	jwksMinInterval = 10 * time.Second

	jwksTimeout  = 5 * time.Second
	maxJWKSBytes = 1 << 20
)

// jwks holds the keys of a JWKS page (RFC 7517). It reads the page every
// jwksInterval, and when a token names an unknown key. If a reading fails, the
// keys of the one before stay.
type jwks struct {
	known  jwkset.Storage  // The keys that were read last, in memory.
	lookup keyfunc.Keyfunc // Finds the key that a token names among those known.
	remote jwkset.Storage  // Reads the page when asked for an unknown key.
	ctx    context.Context // Ends the library's goroutine, which reads at intervals.
	close  context.CancelFunc
	now    func() time.Time

	mu      sync.Mutex
	reading chan struct{} // Guarded by mu: closed at the end of the current reading; nil: there is none.
	read    time.Time     // Guarded by mu: start of the last reading that a token caused.
}

func newJWKS(name, url string, now func() time.Time, log *slog.Logger) (*jwks, error) {
	ctx, cancel := context.WithCancel(context.Background())
	j := &jwks{known: jwkset.NewMemoryStorage(), ctx: ctx, close: cancel, now: now}
	page, err := jwkset.NewStorageFromHTTP(url, jwkset.HTTPClientStorageOptions{
		Client:                    &http.Client{Transport: boundedTransport{http.DefaultTransport}, CheckRedirect: keepSecure},
		Ctx:                       ctx,
		HTTPTimeout:               jwksTimeout,
		NoErrorReturnFirstHTTPReq: true,
		RefreshErrorHandler: func(_ context.Context, err error) {
			log.Warn("the keys of an issuer could not be read; those known before stay", "issuer", name, "url", url, "err", err)
		},
		RefreshInterval: jwksInterval,
		Storage:         j.known,
	})
	if err != nil {
		cancel()
		return nil, err
	}
	// refresh limits how often the page is read: the library's limiter would keep callers waiting.
	j.remote, err = jwkset.NewHTTPClient(jwkset.HTTPClientOptions{
		HTTPURLs: map[string]jwkset.Storage{url: page}, RefreshUnknownKID: rate.NewLimiter(rate.Inf, 1),
	})
	if err != nil {
		cancel()
		return nil, err
	}
	j.lookup, err = keyfunc.New(keyfunc.Options{
		Ctx: ctx, Storage: j.known, UseWhitelist: []jwkset.USE{jwkset.UseSig, ""},
	})
	if err != nil {
		cancel()
		return nil, err
	}
	return j, nil
}

// find returns the keys that may have signed t: the one that it names, or all
// if it names none. The caller must check that they fit the algorithm.
func (j *jwks) find(t *jwt.Token) ([]any, error) {
	found, err := j.findKnown(t)
	if err == nil && len(found) > 0 || err != nil && !errors.Is(err, jwkset.ErrKeyNotFound) {
		return found, err
	}
	kid, _ := t.Header["kid"].(string)
	j.refresh(kid)
	return j.findKnown(t)
}

func (j *jwks) findKnown(t *jwt.Token) ([]any, error) {
	if _, named := t.Header["kid"]; named {
		key, err := j.lookup.Keyfunc(t)
		if err != nil {
			return nil, err
		}
		return []any{key}, nil
	}
	// The library would also return keys for another use.
	all, err := j.known.KeyReadAll(j.ctx)
	if err != nil {
		return nil, err
	}
	var found []any
	for _, key := range all {
		m := key.Marshal()
		if (m.USE == "" || m.USE == jwkset.UseSig) && (m.ALG == "" || m.ALG.String() == t.Method.Alg()) {
			found = append(found, publicPart(key.Key()))
		}
	}
	return found, nil
}

// publicPart drops the private part of a key, which some pages publish by mistake.
func publicPart(key any) any {
	if private, ok := key.(interface{ Public() crypto.PublicKey }); ok {
		return private.Public()
	}
	return key
}

// refresh reads the page, unless a token caused that a moment ago. A caller that
// comes during a reading waits for its end.
func (j *jwks) refresh(kid string) {
	j.mu.Lock()
	reading, now := j.reading, j.now()
	if reading == nil && !j.read.IsZero() && now.Sub(j.read) < jwksMinInterval {
		j.mu.Unlock()
		return
	}
	leads := reading == nil
	if leads {
		reading = make(chan struct{})
		j.reading, j.read = reading, now
	}
	j.mu.Unlock()
	if !leads {
		<-reading
		return
	}
	ctx, cancel := context.WithTimeout(j.ctx, jwksTimeout)
	defer cancel()
	_, _ = j.remote.KeyRead(ctx, kid) // It stores the keys in known, and logs an error.
	j.mu.Lock()
	j.reading = nil
	j.mu.Unlock()
	close(reading)
}

// boundedTransport cuts off answers that are too long to be key sets.
type boundedTransport struct{ http.RoundTripper }

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxJWKSBytes), resp.Body}
	}
	return resp, err
}

// keepSecure refuses a redirect to a page that somebody on the way could change.
func keepSecure(r *http.Request, via []*http.Request) error {
	if len(via) > 3 || !goodJWKSURL(r.URL.String()) {
		return fmt.Errorf("redirected to %s", r.URL.Redacted())
	}
	return nil
}
