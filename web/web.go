// Package web serves the browser client and its SDK. Both are embedded in the
// binary as they stand in static/: no build step, so the lines served are the
// lines in the repository.
//
//	/  /r/{room}           index.html, with the tree's hash in its URLs
//	/v/{hash}/...          every file, immutable: other contents have another hash
//	/sdk/...               the SDK under stable names, for other apps to import
//	/favicon.svg
//
// Any other address gets 404.html, with status 404.
//
// static/sdk is the SDK, whose folders are layers: server/ (the session with the
// server), peer/ (one peer's WebRTC), room/ (rooms, their peers, calls) and
// recovery/ (what comes back after an interruption). static/elements has the
// custom elements of the pages, and the files beside it tie them together.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed static
var embedded embed.FS

// placeholder stands in the HTML files for the tree's hash.
const placeholder = "TREEHASH"

const (
	cacheForever    = "public, max-age=31536000, immutable"
	cacheRevalidate = "no-cache"
)

// contentSecurityPolicy lets a page load, run and contact only this server
// ('self' covers ws: and wss: too). Trusted types forbid reading any text as HTML.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// Options configure Handler. The zero value serves this origin only.
type Options struct {
	AllowedOrigins []string // other origins whose pages may import the SDK, such as https://app.example.org
}

// Handler serves the pages, their files and the SDK.
func Handler(o Options) http.Handler {
	s := newSite(static(), o)
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", s.page)
	mux.HandleFunc("/r/{room}", s.page)
	mux.HandleFunc("/v/{hash}/{path...}", s.versioned)
	mux.HandleFunc("/sdk/{path...}", s.sdk)
	mux.HandleFunc("/favicon.svg", s.favicon)
	mux.HandleFunc("/", s.notFound)
	return readOnly(mux)
}

// TreeHash names the embedded files: it changes when any of them does.
func TreeHash() string { return treeHash(static()) }

func static() fs.FS {
	files, err := fs.Sub(embedded, "static")
	if err != nil {
		panic(err) // "static" is a valid path.
	}
	return files
}

// site is what Handler serves. It does not change.
type site struct {
	hash           string
	files          map[string]file
	allowedOrigins []string
}

type file struct {
	content     []byte
	contentType string
	etag        string
}

func newSite(tree fs.FS, o Options) *site {
	s := &site{hash: treeHash(tree), files: map[string]file{}, allowedOrigins: o.AllowedOrigins}
	walk(tree, func(name string, content []byte) {
		if path.Ext(name) == ".html" {
			content = bytes.ReplaceAll(content, []byte(placeholder), []byte(s.hash))
		}
		sum := sha256.Sum256(content)
		s.files[name] = file{content, contentType(name), `"` + hex.EncodeToString(sum[:12]) + `"`}
	})
	return s
}

func treeHash(tree fs.FS) string {
	h := sha256.New()
	walk(tree, func(name string, content []byte) {
		fmt.Fprintf(h, "%s\x00%d\x00", name, len(content))
		h.Write(content)
	})
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// walk visits every file of an embedded tree, in the order of their names.
func walk(tree fs.FS, visit func(name string, content []byte)) {
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(tree, name)
		if err == nil {
			visit(name, content)
		}
		return err
	})
	if err != nil {
		panic(err) // Reading from memory cannot fail.
	}
}

// contentType ignores the host's tables. Some call JavaScript text/plain, which
// browsers refuse to run as a module.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}

// readOnly refuses all methods but GET and HEAD.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// page serves the same page for every address that the client knows: the client
// chooses the view by the address bar.
func (s *site) page(w http.ResponseWriter, r *http.Request) {
	setPageHeaders(w.Header())
	s.serve(w, r, "index.html", cacheRevalidate)
}

func (s *site) notFound(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	setPageHeaders(h)
	h.Set("Content-Type", contentType("404.html"))
	h.Set("Cache-Control", cacheRevalidate)
	w.WriteHeader(http.StatusNotFound)
	w.Write(s.files["404.html"].content) // A write error means that the client has gone away.
}

func (s *site) versioned(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("path")
	if _, ok := s.files[name]; !ok || r.PathValue("hash") != s.hash || path.Ext(name) == ".html" {
		s.notFound(w, r) // Under another tree's hash, browsers would cache this version's file for a year.
		return
	}
	s.serve(w, r, name, cacheForever)
}

func (s *site) sdk(w http.ResponseWriter, r *http.Request) {
	name := "sdk/" + r.PathValue("path")
	if _, ok := s.files[name]; !ok {
		s.notFound(w, r)
		return
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); slices.ContainsFunc(s.allowedOrigins, func(o string) bool { return strings.EqualFold(o, origin) }) {
		h.Set("Access-Control-Allow-Origin", origin)
	}
	s.serve(w, r, name, cacheRevalidate)
}

func (s *site) favicon(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, "favicon.svg", cacheRevalidate)
}

func (s *site) serve(w http.ResponseWriter, r *http.Request, name, cache string) {
	f := s.files[name]
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", cache)
	h.Set("ETag", f.etag)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(f.content))
}

func setPageHeaders(h http.Header) {
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self)")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}
