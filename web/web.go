// Package web serves the browser client and its SDK. Both are embedded in the
// binary as they stand in static/: ES modules that run as they are. What is
// served is made of them in memory at the start (site.go): modules bundled and
// minified, with source maps (bundle.go), and everything compressed (file.go).
//
//	/  /r/{room}               index.html, which names what its view needs
//	/c/  /c/{slot}             code.html: files that are sent by a code
//	/v/{hash}/...              every file of the pages, immutable: other contents have another hash
//	/sdk/v1/turnpike.js        the SDK in one file, for other apps to import
//	/sdk/v{hash}/turnpike.js   the same, immutable
//	/sdk/v1/turnpike.d.ts      its types
//	/sdk/turnpike.js           the same, asked for each time
//	/favicon.svg  /apple-touch-icon.png  /manifest.webmanifest
//
// Any other address gets 404.html, with status 404. Pages and the manifest are in English or Chinese, as the browser wants (language.go).
//
// static/sdk is the SDK, whose folders are layers: server/ (the session with the
// server), peer/ (one peer's WebRTC), room/ (rooms, their peers, calls) and
// recovery/ (what comes back after an interruption). static/elements has the
// custom elements of the pages: lobby/ (before a room), devices/ (cameras,
// microphones and speakers, there and in a call), room/ (the room itself,
// its controls and its host's), stage/ (the people), chat/ and code/ (files that
// are sent by a code).
// static/code and static/files are behind that last page. static/words has what
// pages say, in each language. The modules beside these folders tie the pages
// together.
package web

import (
	"embed"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// all: also files of others whose names begin with an underscore.
//
//go:embed all:static
var embedded embed.FS

// Types are made of the modules' comments by `make types`, which needs Node.js, so they are committed.
//
//go:embed npm/turnpike.d.ts
var types []byte

const (
	cacheForever    = "public, max-age=31536000, immutable"
	cacheRevalidate = "no-cache"
	// An app gets a new SDK some minutes after the server has it, and never waits for that: the protocol grows, and an
	// SDK of before goes on working.
	cacheSDK = "public, max-age=600, stale-while-revalidate=604800"
)

// contentSecurityPolicy lets a page load, run and contact only this server
// ('self' covers ws: and wss: too). Trusted types forbid reading any text as HTML.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// Options configure Handler. The zero value serves this origin only.
type Options struct {
	AllowedOrigins []string // other origins whose pages may import the SDK, such as https://app.example.org
}

// Handler serves the pages, their files and the SDK.
func Handler(o Options) http.Handler {
	h := handler{made(), o.AllowedOrigins}
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) { h.page(w, r, home) })
	mux.HandleFunc("/v/{hash}/{path...}", h.versioned)
	mux.HandleFunc("/sdk/{path...}", h.sdk)
	mux.HandleFunc("/favicon.svg", h.icon("favicon.svg"))
	mux.HandleFunc("/apple-touch-icon.png", h.icon("icons/apple-touch-icon.png"))
	mux.HandleFunc("/manifest.webmanifest", h.appManifest)
	mux.HandleFunc("/", h.others)
	return readOnly(mux)
}

// made is the same for every Handler: what is embedded does not change.
var made = sync.OnceValue(func() *site {
	s, err := newSite(static(), types)
	if err != nil {
		panic(err) // The tests would have found a module that cannot be bundled.
	}
	return s
})

func static() fs.FS {
	files, err := fs.Sub(embedded, "static")
	if err != nil {
		panic(err) // "static" is a valid path.
	}
	return files
}

type handler struct {
	*site
	allowedOrigins []string
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

// page serves the page of a view. The client itself chooses the view by the address bar.
func (h handler) page(w http.ResponseWriter, r *http.Request, v view) {
	l := setPageHeaders(w.Header(), r)
	h.pages[v][l].serve(w, r, cacheRevalidate)
}

// others takes an address for that of a room or of a code if people or chat programs may have made it of one: /R/standup/ or
// /r%2Fstandup. The page finds the room or the slot in it.
func (h handler) others(w http.ResponseWriter, r *http.Request) {
	if id := below(r.URL.Path, "/r/"); id != "" && !strings.Contains(id, "/") {
		h.page(w, r, room)
		return
	}
	if strings.EqualFold(r.URL.Path, "/c") || strings.EqualFold(r.URL.Path, "/c/") {
		h.page(w, r, code)
		return
	}
	if slot := below(r.URL.Path, "/c/"); slot != "" && slot[0] >= '0' && slot[0] <= '9' && !strings.Contains(slot, "/") {
		h.page(w, r, code)
		return
	}
	h.notFound(w, r)
}

// below returns what follows a prefix in a path, whatever its letters' case, without a slash at the end.
func below(path, prefix string) string {
	if len(path) <= len(prefix) || !strings.EqualFold(path[:len(prefix)], prefix) {
		return ""
	}
	return strings.TrimSuffix(path[len(prefix):], "/")
}

func (h handler) notFound(w http.ResponseWriter, r *http.Request) {
	l := setPageHeaders(w.Header(), r)
	h.nowhere[l].serveAs(w, r, http.StatusNotFound)
}

func (h handler) versioned(w http.ResponseWriter, r *http.Request) {
	f, ok := h.files[r.PathValue("path")]
	if !ok || r.PathValue("hash") != h.hash {
		h.notFound(w, r) // Under another tree's hash, browsers would cache this version's file for a year.
		return
	}
	f.serve(w, r, cacheForever)
}

// sdk serves the SDK to pages of this server and of the allowed origins. Its modules have no addresses: they would be a second
// copy beside turnpike.js, with classes of its own.
func (h handler) sdk(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); slices.ContainsFunc(h.allowedOrigins, func(o string) bool { return strings.EqualFold(o, origin) }) {
		header.Set("Access-Control-Allow-Origin", origin)
	}
	name := r.PathValue("path")
	version, rest := cutVersion(name)
	f, ok := h.sdkFiles[rest]
	if !ok {
		h.notFound(w, r)
		return
	}
	header.Set("Content-Location", "/sdk/"+h.sdkVersion+"/"+rest) // where the very same is for ever, as far as this server goes
	switch version {
	case "":
		f.serve(w, r, cacheRevalidate)
	case "v1":
		f.serve(w, r, cacheSDK)
	case h.sdkVersion:
		f.serve(w, r, cacheForever)
	default: // That of another build. Apps that name it go on working with this one.
		header.Del("Content-Location")
		header.Set("Cache-Control", cacheRevalidate)
		http.Redirect(w, r, "/sdk/v1/"+rest, http.StatusFound)
	}
}

// cutVersion splits v1/turnpike.js. The version is empty if the path has none.
func cutVersion(name string) (version, rest string) {
	version, rest, ok := strings.Cut(name, "/")
	if !ok || len(version) < 2 || version[0] != 'v' || strings.Trim(version[1:], "0123456789abcdef") != "" {
		return "", name
	}
	return version, rest
}

// icon serves a picture under an address that never changes, since systems remember it.
func (h handler) icon(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { h.files[name].serve(w, r, cacheRevalidate) }
}

func (h handler) appManifest(w http.ResponseWriter, r *http.Request) {
	h.manifest[setLanguage(w.Header(), r)].serve(w, r, cacheRevalidate)
}

// setLanguage returns the language for the answer.
func setLanguage(h http.Header, r *http.Request) language {
	l := preferredLanguage(r.Header)
	h.Add("Vary", "Accept-Language")
	h.Set("Content-Language", tags[l])
	return l
}

// setPageHeaders returns the language for the page.
func setPageHeaders(h http.Header, r *http.Request) language {
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self)")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	return setLanguage(h, r)
}
