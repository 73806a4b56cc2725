package httpapi

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// restAnswer is what the TURN REST API answers (draft-uberti-behave-turn-rest-00 §2.2), and the same as browsers take it.
type restAnswer struct {
	Username string   `json:"username"`
	Password string   `json:"password"`
	TTL      int64    `json:"ttl"` // seconds
	URIs     []string `json:"uris"`

	ICEServers []wire.ICEServer `json:"iceServers"`
}

// getTURNCredentials gives an app's server a credential for one of its users. Unlike a session's, it reaches whatever
// the general peer policy allows, as if the app had minted it with a shared secret itself.
func (a *API) getTURNCredentials(r *http.Request) (any, *apiError) {
	if len(a.cfg.APIKeys) == 0 {
		return nil, &apiError{Status: http.StatusNotFound, Code: "not-found", Message: "This server hands out no TURN credentials here; its operator can add auth.api_keys."}
	}
	if apiErr := a.checkKey(r); apiErr != nil {
		return nil, apiErr
	}
	query := r.URL.Query()
	if service := query.Get("service"); service != "turn" {
		return nil, badRequest("service", "The only service is turn: ask for ?service=turn.")
	}
	user := query.Get("username")
	if user == "" {
		user = auth.NewID(rand.Reader, anonymousLength)
	}
	cred, ok := a.cfg.Credentials.MintREST(user, a.cfg.CredentialTTL)
	if !ok && !a.cfg.Credentials.Shares() {
		return nil, &apiError{Status: http.StatusNotFound, Code: "not-found", Message: "This server hands out no TURN credentials here; its operator can add turn.shared_secrets, which sign them."}
	}
	if !ok {
		return nil, badRequest("username", "This username is too long, or has characters that are not allowed.")
	}
	if apiErr := a.drained(); apiErr != nil {
		return nil, apiErr
	}
	servers := a.cfg.ICEServers.List(r.Host, cred)
	answer := restAnswer{cred.Username, cred.Password, int64(a.cfg.CredentialTTL.Seconds()), []string{}, servers}
	for _, server := range servers {
		for _, uri := range server.URLs {
			if !strings.HasPrefix(uri, "stun") {
				answer.URIs = append(answer.URIs, uri)
			}
		}
	}
	return answer, nil
}

// anonymousLength is the length of the names that keep apart the quotas of users whom the app does not name.
const anonymousLength = 16

// checkKey refuses a request without one of the API keys.
func (a *API) checkKey(r *http.Request) *apiError {
	if query := r.URL.Query(); query.Has("key") || query.Has("api_key") { // where the draft has it, and every log on the way
		return badRequest("key", "Send the key as \"Authorization: Bearer KEY\", never in the URL, and replace this one, which logs may have by now.")
	}
	key := bearer(r)
	if key == "" {
		return unauthorized("Send an API key as \"Authorization: Bearer KEY\".")
	}
	if wait := a.keys.wait(a.client(r)); wait > 0 {
		return tooMany("Too many wrong API keys from this address; try again later.", wait)
	}
	if !a.knowsKey(key) {
		if a.keys.failed(a.client(r)) {
			a.logWait(r, "too many wrong API keys", "limits.failed_api_keys_per_minute")
		}
		a.log.Info("refused", "what", "API key", "client", a.cfg.TrustedProxies.ClientAddr(r))
		return unauthorized("This API key is not valid.")
	}
	return nil
}

// knowsKey takes the same time for every key.
func (a *API) knowsKey(key string) bool {
	given := sha256.Sum256([]byte(key))
	found := 0
	for _, known := range a.cfg.APIKeys {
		sum := sha256.Sum256(known.Bytes())
		found |= subtle.ConstantTimeCompare(given[:], sum[:])
	}
	return found == 1
}
