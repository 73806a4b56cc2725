package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

var (
	preloaded = regexp.MustCompile(`<link rel="modulepreload" href="/v/[0-9a-f]+/([^"]+)">`)
	linked    = regexp.MustCompile(`(?:href|src)="/v/[0-9a-f]+/([^"#]+)`)
)

// TestBudgets bounds what a visitor waits for, compressed as browsers get it.
func TestBudgets(t *testing.T) {
	s := made()
	if got := len(s.sdkFiles["turnpike.js"].gzip.content); got > 25<<10 {
		t.Errorf("the SDK has %d bytes", got)
	}
	for v, budget := range map[view]int{home: 45 << 10, room: 80 << 10, code: 60 << 10} {
		page := s.pages[v][english]
		sum := len(page.gzip.content)
		var files []string
		for _, m := range linked.FindAllSubmatch(page.plain.content, -1) {
			name := string(m[1])
			if slices.Contains(files, name) {
				continue
			}
			files = append(files, name)
			f, ok := s.files[name]
			if !ok {
				t.Fatalf("%s names %s, which is not there", v, name)
			}
			sum += sent(f)
		}
		t.Logf("%s: %d bytes in %v", v, sum, files)
		if sum > budget {
			t.Errorf("%s has %d bytes, more than %d", v, sum, budget)
		}
	}
}

// sent is how many bytes of a file go to a browser.
func sent(f file) int {
	if f.gzip.content != nil {
		return len(f.gzip.content)
	}
	return len(f.plain.content)
}

// TestPreloads follows the imports of what a page names: everything that runs at first is named by the page itself.
func TestPreloads(t *testing.T) {
	s := made()
	static := regexp.MustCompile(`(?:\bfrom|\bimport)"(\.[^"]+)"`)
	for v, other := range map[view]view{home: room, room: home} {
		html := string(s.pages[v][english].plain.content)
		var named []string
		for _, m := range preloaded.FindAllStringSubmatch(html, -1) {
			named = append(named, m[1])
		}
		if len(named) < 2 {
			t.Fatalf("%s preloads %v", v, named)
		}
		for _, module := range append(named, "app.js") {
			for _, m := range static.FindAllSubmatch(s.files[module].plain.content, -1) {
				if target := path.Join(path.Dir(module), string(m[1])); target != "app.js" && !slices.Contains(named, target) {
					t.Errorf("%s: %s needs %s, which the page does not name", v, module, target)
				}
			}
		}
		if strings.Contains(html, "chunks/"+string(other)+"-") {
			t.Errorf("%s loads what only %s needs", v, other)
		}
	}
}

func TestCompression(t *testing.T) {
	h := Handler(Options{})
	target := "/v/" + made().hash + "/app.js"
	plain := get(t, h, target)
	whole := body(t, plain)
	if plain.Header.Get("Content-Encoding") != "" || plain.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("for a client that asks for nothing: %v", plain.Header)
	}
	small := get(t, h, target, "Accept-Encoding", "gzip, deflate, br")
	if small.Header.Get("Content-Encoding") != "gzip" || small.Header.Get("Vary") != "Accept-Encoding" || small.ContentLength >= plain.ContentLength {
		t.Fatalf("for a browser: %v", small.Header)
	}
	r, err := gzip.NewReader(small.Body)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(r)
	if err != nil || string(unpacked) != whole {
		t.Errorf("what is compressed is another file, or %v", err)
	}
	if small.Header.Get("ETag") == plain.Header.Get("ETag") {
		t.Error("two representations have one ETag")
	}
	for encoding, etag := range map[string]string{"gzip": small.Header.Get("ETag"), "": plain.Header.Get("ETag")} {
		again := get(t, h, target, "Accept-Encoding", encoding, "If-None-Match", etag)
		if again.StatusCode != http.StatusNotModified || again.Header.Get("Vary") != "Accept-Encoding" || again.Header.Get("ETag") != etag || again.Header.Get("Content-Encoding") != "" {
			t.Errorf("%q: %s is answered with %d %v", encoding, etag, again.StatusCode, again.Header)
		}
	}
	if other := get(t, h, target, "Accept-Encoding", "gzip", "If-None-Match", plain.Header.Get("ETag")); other.StatusCode != http.StatusOK {
		t.Errorf("the ETag of what is not compressed stands for what is: %d", other.StatusCode)
	}
	part := get(t, h, target, "Range", "bytes=0-9")
	if got := body(t, part); part.StatusCode != http.StatusPartialContent || got != whole[:10] {
		t.Errorf("the first ten bytes: %d %q", part.StatusCode, got)
	}
	missing := get(t, h, "/nothing", "Accept-Encoding", "gzip")
	if missing.StatusCode != http.StatusNotFound || missing.Header.Get("Content-Encoding") != "gzip" || missing.Header.Get("ETag") != "" {
		t.Errorf("404: %d %v", missing.StatusCode, missing.Header)
	}
}

// TestCompressionIsAnswered goes through a real server and client, which check the lengths.
func TestCompressionIsAnswered(t *testing.T) {
	s := httptest.NewServer(Handler(Options{}))
	defer s.Close()
	for _, method := range []string{"GET", "HEAD"} {
		for _, target := range []string{"/", "/r/standup", "/sdk/v1/turnpike.js", "/nothing", "/favicon.svg"} {
			r, err := http.NewRequest(method, s.URL+target, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept-Encoding", "gzip") // The client then leaves the body as it is.
			resp, err := s.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.ContentLength <= 0 || method == "GET" && int64(len(data)) != resp.ContentLength || method == "HEAD" && len(data) > 0 {
				t.Errorf("%s %s: %d bytes of %d, %v", method, target, len(data), resp.ContentLength, err)
			}
		}
	}
}

// TestConditionsAreAnswered: no answer promises a body that does not come, which would break the connection.
func TestConditionsAreAnswered(t *testing.T) {
	s := httptest.NewServer(Handler(Options{}))
	defer s.Close()
	for header, want := range map[[2]string]int{
		{"If-Match", `"x"`}: 412, {"If-None-Match", "*"}: 304, {"Range", "bytes=0-9"}: 206, {"Range", "bytes=99999999-"}: 416,
	} {
		for _, encoding := range []string{"gzip", "identity"} {
			r, err := http.NewRequest("GET", s.URL+"/sdk/v1/turnpike.js", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(header[0], header[1])
			r.Header.Set("Accept-Encoding", encoding)
			resp, err := s.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != want || want == 206 && len(data) != 10 {
				t.Errorf("%v, %s: %d and %d bytes, %v", header, encoding, resp.StatusCode, len(data), err)
			}
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "x-gzip": true, "br": false, "*": true, "br, gzip;q=0.5": true, "gzip;q=0": false, "gzip; q=0.0": false,
		"*, gzip;q=0": false, "gzip, *;q=0": true, "*;q=0": false, "identity": false, "gzip;q=x": false, "gzipped": false, "deflate,gzip ; q=1": true,
	} {
		if got := acceptsGzip(http.Header{"Accept-Encoding": {header}}); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
	if !acceptsGzip(http.Header{"Accept-Encoding": {"br", "gzip"}}) {
		t.Error("the second line of a header is not read")
	}
}

func TestSDKVersions(t *testing.T) {
	const friend = "https://app.example.org"
	h := Handler(Options{AllowedOrigins: []string{friend}})
	want := body(t, get(t, h, "/sdk/turnpike.js"))
	if strings.Contains(want, "import{") || !strings.Contains(want, "connect") {
		t.Error("the SDK is not in one file")
	}
	for target, cache := range map[string]string{"/sdk/v1/turnpike.js": cacheSDK, "/sdk/" + made().sdkVersion + "/turnpike.js": cacheForever} {
		resp := get(t, h, target, "Origin", friend)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Cache-Control") != cache || resp.Header.Get("Access-Control-Allow-Origin") != friend {
			t.Errorf("%s: %d %v", target, resp.StatusCode, resp.Header)
		}
		if !slices.Contains(resp.Header.Values("Vary"), "Origin") || !slices.Contains(resp.Header.Values("Vary"), "Accept-Encoding") {
			t.Errorf("%s: a cache would give the answer to others: %v", target, resp.Header)
		}
		if body(t, resp) != want {
			t.Errorf("%s is another file", target)
		}
		if got := resp.Header.Get("Content-Location"); got != "/sdk/"+made().sdkVersion+"/turnpike.js" {
			t.Errorf("%s is said to be %q", target, got)
		}
		if sources := get(t, h, target+".map", "Origin", friend); sources.StatusCode != http.StatusOK {
			t.Errorf("%s has no map: %d", target, sources.StatusCode)
		}
	}
	for _, target := range []string{"/sdk/turnpike.d.ts", "/sdk/v1/turnpike.d.ts"} {
		resp := get(t, h, target)
		if resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(body(t, resp), "declare function connect(") {
			t.Errorf("%s is not the types: %d %v", target, resp.StatusCode, resp.Header)
		}
	}
	old := get(t, h, "/sdk/v0123456789abcdef/turnpike.js", "Origin", friend)
	if old.StatusCode != http.StatusFound || old.Header.Get("Location") != "/sdk/v1/turnpike.js" || old.Header.Get("Access-Control-Allow-Origin") != friend || old.Header.Get("Cache-Control") != "no-cache" || old.Header.Get("Content-Location") != "" {
		t.Errorf("the SDK of another build: %d %v", old.StatusCode, old.Header)
	}
}

func TestSiteErrors(t *testing.T) {
	page := `<head>
  <link rel="stylesheet" href="/v/TREEHASH/a.css">
  <script type="module" src="/v/TREEHASH/app.js"></script>
</head>`
	part := "<link rel=\"stylesheet\" href=\"/v/TREEHASH/a.css\">\n<template></template>\n"
	about := "  'shell.about': 'x',\n"
	app := "import('./elements/home.js'); import('./elements/room/room.js');"
	whole := map[string]string{"index.html": page, "code.html": page, "404.html": "", "app.js": app, "elements/home.js": "export {}", "elements/room/room.js": "export {}", "sdk/turnpike.js": "export {}", "words/en/shell.js": about, "words/zh/shell.js": about, "a.css": "a{}",
		"parts/home.html": part, "parts/room.html": part}
	tree := func(name, content string) fstest.MapFS {
		m := fstest.MapFS{}
		for file, text := range whole {
			m[file] = &fstest.MapFile{Data: []byte(text)}
		}
		m[name] = &fstest.MapFile{Data: []byte(content)}
		return m
	}
	if _, err := newSite(tree("x.svg", ""), types); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"no script":                   {"index.html", strings.Replace(page, "script", "x", 1)},
		"no style sheet":              {"index.html", strings.Replace(page, "stylesheet", "x", 1)},
		"no style sheet elsewhere":    {"code.html", strings.Replace(page, "stylesheet", "x", 1)},
		"another style sheet":         {"index.html", strings.Replace(page, "a.css", "b.css", 1)},
		"style sheets apart":          {"index.html", page + "\n  <link rel=\"stylesheet\" href=\"/v/TREEHASH/a.css\">\n"},
		"a part without style":        {"parts/room.html", "<template></template>"},
		"no script in another page":   {"code.html", strings.Replace(page, "script", "x", 1)},
		"a module that is not there":  {"app.js", "import './missing.js'"},
		"a slip in a module":          {"elements/room/room.js", "export {"},
		"a slip in the SDK":           {"sdk/turnpike.js", "export const"},
		"no words for the manifest":   {"words/zh/shell.js", ""},
		"words that are not there":    {"404.html", `<p data-say="no.such"></p>`},
		"an attribute without words":  {"index.html", `<meta data-say-content="no.such">` + page},
		"a view that nothing imports": {"app.js", "import('./elements/home.js')"},
	} {
		if _, err := newSite(tree(change[0], change[1]), types); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			t.Log(err)
		}
	}
}

// TestSiteIsReproducible: two servers of one version give the same bytes under the same addresses.
func TestSiteIsReproducible(t *testing.T) {
	t.Chdir(t.TempDir())
	again, err := newSite(static(), types)
	if err != nil {
		t.Fatal(err)
	}
	if again.hash != made().hash || again.sdkVersion != made().sdkVersion {
		t.Errorf("hashes %s and %s, %s and %s", again.hash, made().hash, again.sdkVersion, made().sdkVersion)
	}
	other, err := newSite(static(), append(slices.Clone(types), "// more\n"...))
	if err != nil {
		t.Fatal(err)
	}
	if other.sdkVersion == again.sdkVersion {
		t.Error("other types have the same immutable address")
	}
}
