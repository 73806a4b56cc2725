package wire

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestNonceForm: a nonce is qdtext of RFC 3261 with fewer than 128 characters (RFC 8489 §14.10), and another for each
// address.
func TestNonceForm(t *testing.T) {
	n, seen := NewNonceMaker([]byte("key")), make(map[string]bool)
	for _, ip := range []string{"192.0.2.1", "192.0.2.2", "2001:db8::1"} {
		for port := range uint16(100) {
			nonce := string(n.Make(time.Now(), FeaturePasswordAlgorithms, EndpointOf(netip.AddrPortFrom(netip.MustParseAddr(ip), port))))
			if len(nonce) != 24 || seen[nonce] || !strings.HasPrefix(nonce, "obMatJos2gAAA") {
				t.Fatalf("the nonce of %s, port %d is %q", ip, port, nonce)
			}
			for _, c := range []byte(nonce) {
				if c <= ' ' || c >= 0x7F || c == '"' || c == '\\' {
					t.Fatalf("%q has a character that a nonce may not have", nonce)
				}
			}
			seen[nonce] = true
		}
	}
}

// FuzzNonce: only a nonce that was made for the client holds.
func FuzzNonce(f *testing.F) {
	now, client := time.Now(), Endpoint{Port: 5}
	n := NewNonceMaker([]byte("key"))
	valid := n.Make(now, FeaturePasswordAlgorithms, client)
	stale := n.Make(now.Add(-NonceLifetime-2*time.Second), FeaturePasswordAlgorithms, client)
	for _, seed := range [][]byte{nil, valid, stale, valid[:23], valid[CookieSize:], append(bytes.Clone(valid), 'A'), []byte(CookiePrefix + "\r\n\r\n"), make([]byte, 24)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, nonce []byte) {
		before := bytes.Clone(nonce)
		want := NonceForeign
		if bytes.Equal(nonce, valid) {
			want = nonceValid
		} else if bytes.Equal(nonce, stale) {
			want = NonceStale
		}
		if got := n.Judge(nonce, now, client); got != want {
			t.Errorf("%q is judged %d, want %d", nonce, got, want)
		}
		features := CookieFeatures(nonce)
		if features>>24 != 0 || features != 0 && string(appendCookie(nil, features)) != string(nonce[:CookieSize]) {
			t.Errorf("%q tells of %#x", nonce, features)
		}
		if !bytes.Equal(nonce, before) {
			t.Error("the nonce was changed")
		}
	})
}

// TestNonceAges: a nonce is good for ten minutes, and for a minute before its time. Then it is stale, and once its time shows
// again it is nobody's.
func TestNonceAges(t *testing.T) {
	n, client := NewNonceMaker([]byte("key")), Endpoint{Port: 5}
	for _, made := range []time.Time{time.Unix(0, 0), time.Unix(1023, 0), time.Unix(1<<30-1, 0), time.Unix(1<<33+17, 0)} {
		nonce := n.Make(made, FeaturePasswordAlgorithms, client)
		for age, want := range map[time.Duration]NonceState{
			0: nonceValid, time.Second: nonceValid, NonceLifetime: nonceValid, -30 * time.Second: nonceValid, -time.Minute: nonceValid,
			NonceLifetime + time.Second: NonceStale, 15 * time.Minute: NonceStale,
			-2 * time.Minute: NonceForeign, 1024 * time.Second: NonceForeign, 1024*time.Second + time.Minute: NonceForeign, 10240 * time.Second: NonceForeign,
			24 * time.Hour: NonceForeign,
		} {
			if got := n.Judge(nonce, made.Add(age), client); got != want {
				t.Errorf("made at %d, %v ago: judged %d, want %d", made.Unix(), age, got, want)
			}
		}
	}
}

// TestNonceIsWholeHMAC: whichever letter of a nonce changes, it is nobody's.
func TestNonceIsWholeHMAC(t *testing.T) {
	n, client, now := NewNonceMaker([]byte("key")), Endpoint{Port: 5}, time.Now()
	good := n.Make(now, FeaturePasswordAlgorithms, client)
	for i := range good {
		for bit := range 6 { // of a letter of base64
			const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
			bad := bytes.Clone(good)
			bad[i] = letters[strings.IndexByte(letters, good[i])^1<<bit]
			if got := n.Judge(bad, now, client); got != NonceForeign {
				t.Errorf("%q for %q is judged %d", bad, good, got)
			}
		}
	}
}

// TestNonceOfFormerKey: a nonce of a former key is good, and new ones are of the new key.
func TestNonceOfFormerKey(t *testing.T) {
	now, client := time.Now(), Endpoint{Port: 5}
	former, fresh, other := NewNonceMaker([]byte("former")), NewNonceMaker([]byte("key"), []byte("older"), []byte("former")), NewNonceMaker([]byte("key"))
	old := former.Make(now, 0, client)
	if got := fresh.Judge(old, now, client); got != nonceValid {
		t.Errorf("the nonce of a former key is judged %d", got)
	}
	if got := other.Judge(old, now, client); got != NonceForeign {
		t.Errorf("the nonce of an unknown key is judged %d", got)
	}
	if got := other.Judge(fresh.Make(now, 0, client), now, client); got != nonceValid {
		t.Errorf("a new nonce is judged %d", got)
	}
}
