package web

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// file is what one address answers, as it is and compressed. Other encodings than gzip are not worth their time at the
// start: brotli takes a second for a twentieth less.
type file struct {
	contentType string
	plain       representation
	gzip        representation // empty if compressing saves nothing
}

type representation struct {
	content []byte
	etag    string
}

func newFile(name string, content []byte) file {
	sum := sha256.Sum256(content)
	tag := hex.EncodeToString(sum[:12])
	f := file{contentType: contentType(name), plain: representation{content, `"` + tag + `"`}}
	if small := compress(content); len(small) < len(content)*9/10 {
		f.gzip = representation{small, `"` + tag + `-gzip"`}
	}
	return f
}

func compress(content []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // The level is one of the package's own.
	}
	w.Write(content) // Memory takes everything.
	w.Close()
	return b.Bytes()
}

// contentType ignores the host's tables. Some call JavaScript text/plain, which
// browsers refuse to run as a module.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".ts":
		return "text/plain; charset=utf-8" // Type declarations, which are a film elsewhere.
	case ".map":
		return "application/json"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".webmanifest":
		return "application/manifest+json"
	}
	return mime.TypeByExtension(path.Ext(name))
}

// serve answers a request for the file, or for a part of it, or whether it has changed.
func (f file) serve(w http.ResponseWriter, r *http.Request, cache string) {
	best := f.negotiate(w, r, cache)
	h := w.Header()
	h.Set("ETag", best.etag)
	if h.Get("Content-Encoding") != "" && r.Header.Get("If-Match") == "" { // ServeContent says the length of what is as it stands only. A 412 has no body.
		h.Set("Content-Length", strconv.Itoa(len(best.content)))
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(best.content))
}

// serveAs answers with the whole file and a status.
func (f file) serveAs(w http.ResponseWriter, r *http.Request, status int) {
	best := f.negotiate(w, r, cacheRevalidate)
	w.Header().Set("Content-Length", strconv.Itoa(len(best.content)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(best.content) // A write error means that the client has gone away.
	}
}

// negotiate sets the headers of the representation that it chooses for the client.
func (f file) negotiate(w http.ResponseWriter, r *http.Request, cache string) representation {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", cache)
	best := f.plain
	if f.gzip.content != nil {
		h.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header) {
			h.Set("Content-Encoding", "gzip")
			best = f.gzip
		}
	}
	return best
}

// acceptsGzip reads Accept-Encoding (RFC 9110 §12.5.3). What it says of gzip itself counts more than what it says of all.
func acceptsGzip(h http.Header) bool {
	gzip, all := "", ""
	for coding := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, parameter, _ := strings.Cut(coding, ";")
		weight, isWeight := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(parameter, " ", "")), "q=")
		if !isWeight {
			weight = "1"
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip", "x-gzip":
			gzip = weight
		case "*":
			all = weight
		}
	}
	q, err := strconv.ParseFloat(cmp.Or(gzip, all), 64)
	return err == nil && q > 0
}
