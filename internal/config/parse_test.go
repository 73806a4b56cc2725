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

// TestOrigins: apps that bring their pages along have origins with schemes of their own. What every page can send is none.
func TestOrigins(t *testing.T) {
	for origin, want := range map[string]string{
		"https://app.example.org": "https://app.example.org", "http://localhost:5173": "http://localhost:5173", "HTTPS://App.example.org": "https://app.example.org",
		"capacitor://localhost": "capacitor://localhost", "tauri://localhost": "tauri://localhost", "ionic://localhost": "ionic://localhost", "app://": "app://", "app://.": "app://.",
		"chrome-extension://abcdefghijklmnop": "chrome-extension://abcdefghijklmnop",
		"null":                                "", "file://": "", "file:///srv/page.html": "", "data://x": "", "blob:https://app.example.org": "",
		"": "", "*": "", "app.example.org": "", "localhost:8080": "", "https://": "", "https://*": "", "https://app.example.org/": "", "https://a@app.example.org": "",
		"wss://app.example.org": "", "capacitor://localhost/": "", "capacitor://localhost?x": "", "app://#": "", "app:": "", "javascript://x": "",
	} {
		if got, err := parseOrigin(origin); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", origin, got, err)
		}
	}
}
