package web

import (
	"bytes"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, h http.Handler, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPages(t *testing.T) {
	h := Handler(Options{})
	home, room := body(t, get(t, h, "/")), body(t, get(t, h, "/r/standup"))
	for target, want := range map[string]string{"/?x=1": home, "/r/k7m-2pq-x9r": room, "/r/not%20an%20id": room,
		"/r/standup/": room, "/R/standup": room, "/R/standup/": room, "/r%2Fstandup": room, "/r/standup%23invite=x": room, "/r/standup).": room} {
		resp := get(t, h, target)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", target, resp.StatusCode)
		}
		if got := resp.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
			t.Errorf("%s: content type %q", target, got)
		}
		if got := resp.Header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("%s: cache control %q", target, got)
		}
		if body(t, resp) != want {
			t.Errorf("%s is another page", target)
		}
	}
	files := body(t, get(t, h, "/c/"))
	if files == home || files == room || !strings.Contains(files, "code/page.js") {
		t.Error("the page for files is another one")
	}
	for _, target := range []string{"/c", "/C/", "/c/7", "/c/7/", "/C/12", "/c%2F7", "/c/7)", "/c/7%23crossover-clockwork", "/c/7?x=1"} {
		if resp := get(t, h, target); resp.StatusCode != http.StatusOK || body(t, resp) != files || resp.Header.Get("Content-Security-Policy") != contentSecurityPolicy {
			t.Errorf("%s: status %d, or another page", target, resp.StatusCode)
		}
	}
	for part, page := range map[string]string{"home": home, "room": room} {
		for _, other := range []string{"home", "room"} {
			has := strings.Contains(page, `data-part="`+other+`"`) && strings.Contains(page, `<template id="`+other+`">`)
			if has != (other == part) {
				t.Errorf("the page of %s has the part %s: %t", part, other, has)
			}
		}
	}
}

func TestNotFound(t *testing.T) {
	h := Handler(Options{})
	for _, target := range []string{
		"/nothing", "/c/a", "/c/7/8", "/cc/7", "/r/", "/r/a/b", "/r%2F", "/r%2Fa%2Fb", "/rx/a", "/index.html", "/404.html", "/web.go", "/sdk/", "/sdk/room", "/sdk/room/", "/sdk/missing.js", "/sdk/v1/", "/sdk/v1/error.js", "/sdk/v1/room/room.js", "/v/", "/favicon.ico",
		"/v/" + made().hash + "/", "/v/" + made().hash + "/index.html", "/v/" + made().hash + "/sdk", "/v/" + made().hash + "/dom.js", "/v/0123456789abcdef/app.js",
	} {
		resp := get(t, h, target)
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d", target, resp.StatusCode)
		}
		if got := resp.Header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("%s: cache control %q", target, got)
		}
		if html := body(t, resp); !strings.Contains(html, "This road ends here") || strings.Contains(html, placeholder) {
			t.Errorf("%s: not 404.html, or the placeholder is still in it", target)
		}
		if resp.Header.Get("Content-Security-Policy") != contentSecurityPolicy {
			t.Errorf("%s: no content security policy", target)
		}
	}
}

func TestMethods(t *testing.T) {
	h := Handler(Options{})
	for method, want := range map[string]int{"HEAD": 200, "POST": 405, "PUT": 405, "DELETE": 405, "OPTIONS": 405} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/", nil))
		if w.Code != want {
			t.Errorf("%s: status %d, want %d", method, w.Code, want)
		}
		if method == "HEAD" && w.Body.Len() > 0 {
			t.Error("HEAD has a body")
		}
	}
}

func TestPageHeaders(t *testing.T) {
	header := get(t, Handler(Options{}), "/").Header
	for name, want := range map[string]string{
		"X-Content-Type-Options":     "nosniff",
		"Referrer-Policy":            "no-referrer",
		"Permissions-Policy":         "camera=(self), microphone=(self), display-capture=(self)",
		"Cross-Origin-Opener-Policy": "same-origin",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	policy := header.Get("Content-Security-Policy")
	for _, want := range []string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "manifest-src 'self'", "media-src 'self' blob:",
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
	} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %s", want)
		}
	}
	for _, never := range []string{"unsafe", "http:", "https:", "*"} {
		if strings.Contains(policy, never) {
			t.Errorf("the policy has %s", never)
		}
	}
}

func TestVersionedFilesAreImmutable(t *testing.T) {
	h := Handler(Options{})
	types := map[string]string{
		"app.js": "text/javascript; charset=utf-8", "app.js.map": "application/json",
		"css/base.css": "text/css; charset=utf-8", "icons.svg": "image/svg+xml",
	}
	for name, contentType := range types {
		resp := get(t, h, "/v/"+made().hash+"/"+name)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d", name, resp.StatusCode)
		}
		if got := resp.Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
			t.Errorf("%s: cache control %q", name, got)
		}
		if got := resp.Header.Get("Content-Type"); got != contentType {
			t.Errorf("%s: content type %q", name, got)
		}
		if got := resp.Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: sniffing allowed", name)
		}
		if body(t, resp) == "" {
			t.Errorf("%s is empty", name)
		}
	}
}

func TestSDKUnderStableNames(t *testing.T) {
	const friend, stranger = "https://app.example.org", "https://elsewhere.example"
	h := Handler(Options{AllowedOrigins: []string{friend}})
	resp := get(t, h, "/sdk/turnpike.js", "Origin", friend)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("status %d, cache control %q", resp.StatusCode, resp.Header.Get("Cache-Control"))
	}
	if got := resp.Header.Get("Access-Control-Allow-Origin"); got != friend {
		t.Errorf("an allowed origin gets %q", got)
	}
	etag := resp.Header.Get("ETag")
	if again := get(t, h, "/sdk/turnpike.js", "If-None-Match", etag); etag == "" || again.StatusCode != http.StatusNotModified {
		t.Errorf("ETag %q is answered with %d", etag, again.StatusCode)
	}
	app := Handler(Options{AllowedOrigins: []string{"app://main"}})
	if got := get(t, app, "/sdk/turnpike.js", "Origin", "app://Main").Header.Get("Access-Control-Allow-Origin"); got != "app://Main" {
		t.Errorf("a packaged app gets %q", got) // its browser does not change letters, and compares them
	}
	for _, origin := range []string{"", stranger, "null", "https://app.example.org.evil.example"} {
		resp := get(t, h, "/sdk/turnpike.js", "Origin", origin)
		if got, ok := resp.Header["Access-Control-Allow-Origin"]; ok {
			t.Errorf("origin %q gets %q", origin, got)
		}
		if resp.Header.Get("Vary") != "Origin" {
			t.Errorf("origin %q: a cache would give the answer to others", origin)
		}
	}
}

// TestSDKIsOne: a module of the SDK has no address of its own. An app that imports one beside turnpike.js would have two copies
// of the SDK, and a Peer of one is no Peer to the other.
func TestSDKIsOne(t *testing.T) {
	const friend = "https://app.example.org"
	h := Handler(Options{AllowedOrigins: []string{friend}})
	tried := 0
	walk(static(), func(name string, _ []byte) {
		if !strings.HasPrefix(name, "sdk/") || name == "sdk/turnpike.js" {
			return
		}
		tried++
		if resp := get(t, h, "/"+name, "Origin", friend); resp.StatusCode != http.StatusNotFound || resp.Header.Get("Content-Location") != "" {
			t.Errorf("%s: status %d, %v", name, resp.StatusCode, resp.Header)
		}
	})
	if tried < 10 {
		t.Errorf("only %d modules were tried", tried)
	}
}

func TestHash(t *testing.T) {
	tree := func(files ...string) map[string][]byte {
		m := map[string][]byte{}
		for i := 0; i < len(files); i += 2 {
			m[files[i]] = []byte(files[i+1])
		}
		return m
	}
	base := hashOf(tree("a.js", "1", "b/c.js", "2"))
	if again := hashOf(tree("b/c.js", "2", "a.js", "1")); again != base {
		t.Errorf("the same files have hashes %s and %s", base, again)
	}
	for name, other := range map[string]map[string][]byte{
		"content": tree("a.js", "1", "b/c.js", "3"),
		"name":    tree("a.js", "1", "b/d.js", "2"),
		"border":  tree("a.js", "12", "b/c.js", ""),
		"fewer":   tree("a.js", "1"),
	} {
		if hashOf(other) == base {
			t.Errorf("another %s has the same hash", name)
		}
	}
	if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(made().hash) {
		t.Errorf("hash %q", made().hash)
	}
}

// TestReferencesResolve follows the references of pages and modules. There is no
// build step that would find a wrong one before a browser does.
func TestReferencesResolve(t *testing.T) {
	tree := static()
	inPage := regexp.MustCompile(`(?:href|src)="(/[^"]*)"`)
	inModule := regexp.MustCompile(`(?m)^(?:import|export)\s+(?:[^;'"]*?\sfrom\s+)?'([^']+)'|@import \{[^}]*\} from '([^']+)'|\bimport\('([^']+)'\)`)
	inStyle := regexp.MustCompile(`url\(["']?([^"')]+)`)
	h := Handler(Options{})
	walk(tree, func(name string, content []byte) {
		switch path.Ext(name) {
		case ".html":
			for _, m := range inPage.FindAllSubmatch(content, -1) {
				target, fragment, _ := strings.Cut(strings.ReplaceAll(string(m[1]), placeholder, made().hash), "#")
				resp := get(t, h, target)
				if resp.StatusCode != http.StatusOK {
					t.Errorf("%s refers to %s, which has status %d", name, m[1], resp.StatusCode)
				}
				if fragment != "" && !strings.Contains(body(t, resp), `id="`+fragment+`"`) {
					t.Errorf("%s refers to %s, which has no such drawing", name, m[1])
				}
			}
		case ".js":
			for _, m := range inModule.FindAllSubmatch(content, -1) {
				target := string(bytes.Join(m[1:], nil))
				if !strings.HasPrefix(target, "./") && !strings.HasPrefix(target, "../") {
					t.Errorf("%s imports %s, which is not a file of ours", name, target)
					continue
				}
				if _, err := fs.Stat(tree, path.Join(path.Dir(name), target)); err != nil {
					t.Errorf("%s imports %s: %v", name, target, err)
				}
			}
		case ".css":
			if m := inStyle.FindSubmatch(content); m != nil {
				t.Errorf("%s refers to %s, whose URL would lack the hash", name, m[1])
			}
		}
	})
}
