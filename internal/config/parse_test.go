package config

import (
	"strings"
	"testing"
)

// TestRealms: newer clients make their keys of the prepared realm (RFC 8265), older ones of the realm that they receive.
func TestRealms(t *testing.T) {
	for realm, good := range map[string]bool{
		"turnpike": true, "turn.example.org": true, "a realm": true, "r\u00e9al": true, strings.Repeat("x", 127): true,
		"": false, "a\"b": false, "a\nb": false, strings.Repeat("x", 128): false,
		"re\u0301al": false, "a\u00a0b": false, "a\u0007b": false, "a\xffb": false,
	} {
		if got, err := parseRealm(realm); (err == nil) != good || good && got != realm {
			t.Errorf("%q: %q, %v", realm, got, err)
		}
	}
}
