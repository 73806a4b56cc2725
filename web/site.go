package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
)

// placeholder stands in the HTML files for the tree's hash.
const placeholder = "TREEHASH"

// views are what index.html shows, each with the module that it needs besides the page's own.
var views = map[view]string{
	home: "elements/home.js",
	room: "elements/room.js",
}

type view string

const (
	home view = "home"
	room view = "room"
)

// site is what is served. It does not change.
type site struct {
	hash       string
	pages      map[view]file   // index.html
	nowhere    file            // 404.html
	files      map[string]file // by the path below /v/HASH
	sdkFiles   map[string]file // by name: turnpike.js, its map and its types
	sdkVersion string          // such as v0123456789abcdef
}

// pageScript is the module of a page.
var pageScript = regexp.MustCompile(`(?m)^( *)<script type="module" src="/v/` + placeholder + `/([^"]+)"></script>$`)

// stylesheet is a link to one. Several that follow each other become one file, as a browser asks for a few at a time.
var stylesheet = regexp.MustCompile(`(?m)^ *<link rel="stylesheet" href="/v/` + placeholder + `/([^"]+)">\n`)

// oneStylesheet is the name of what joinStylesheets makes.
const oneStylesheet = "css/all.css"

// joinStylesheets puts the style sheets of a page into one, in their order, and has the page name that in their place.
func joinStylesheets(html []byte, files map[string][]byte) (page, style []byte, err error) {
	links := stylesheet.FindAllSubmatchIndex(html, -1)
	if links == nil {
		return nil, nil, errors.New("index.html has no style sheet")
	}
	for i, link := range links {
		if i > 0 && link[0] != links[i-1][1] {
			return nil, nil, fmt.Errorf("index.html: something stands before %s", bytes.TrimSpace(html[link[0]:link[1]]))
		}
		content, ok := files[string(html[link[2]:link[3]])]
		if !ok {
			return nil, nil, fmt.Errorf("index.html: there is no %s", html[link[2]:link[3]])
		}
		style = append(style, content...)
	}
	one := fmt.Sprintf("  <link rel=\"stylesheet\" href=\"/v/%s/%s\">\n", placeholder, oneStylesheet)
	return slices.Concat(html[:links[0][0]], []byte(one), html[links[len(links)-1][1]:]), style, nil
}

// newSite makes everything that is served of the files of a tree, and of the SDK's types.
func newSite(tree fs.FS, types []byte) (*site, error) {
	sources := map[string][]byte{}
	walk(tree, func(name string, content []byte) { sources[name] = content })
	script := pageScript.FindSubmatch(sources["index.html"])
	if script == nil {
		return nil, fmt.Errorf("index.html has no script like %s", pageScript)
	}
	page, err := bundlePage(tree, string(script[2]))
	if err != nil {
		return nil, err
	}
	sdk, err := bundleSDK(tree, "sdk/turnpike.js")
	if err != nil {
		return nil, err
	}
	served := page.files
	for name, content := range sources {
		switch path.Ext(name) {
		case ".html", ".js", ".ts": // pages, modules and types have places of their own
		case ".md": // for readers of the source
		case ".css":
			if content, err = minifyStyle(content); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			served[name] = content
		default:
			served[name] = content
		}
	}
	index, style, err := joinStylesheets(sources["index.html"], served)
	if err != nil {
		return nil, err
	}
	served[oneStylesheet] = style
	s := &site{hash: hashOf(served, sources), pages: map[view]file{}, files: map[string]file{}, sdkFiles: map[string]file{}}
	for name, content := range served {
		s.files[name] = newFile(name, content)
	}
	for view, module := range views {
		html, err := s.preload(index, page, string(script[2]), module)
		if err != nil {
			return nil, err
		}
		s.pages[view] = newFile("index.html", html)
	}
	s.nowhere = newFile("404.html", s.addressed(sources["404.html"]))
	sdk.files["sdk/turnpike.d.ts"] = types
	for name, content := range sdk.files {
		s.sdkFiles[path.Base(name)] = newFile(name, content)
	}
	s.sdkVersion = "v" + hashOf(sdk.files)
	return s, nil
}

// addressed puts the hash into the addresses of a page.
func (s *site) addressed(html []byte) []byte {
	return bytes.ReplaceAll(html, []byte(placeholder), []byte(s.hash))
}

// preload has a page ask at once for the files that its module and its view need. Without that it would find one after
// the other, by what each imports.
func (s *site) preload(html []byte, page bundle, module, view string) ([]byte, error) {
	needs, ok := page.needs[view]
	if !ok {
		return nil, fmt.Errorf("%s is not a view: no module loads it by import()", view)
	}
	var links bytes.Buffer
	for _, name := range needs {
		if !slices.Contains(page.needs[module], name) {
			fmt.Fprintf(&links, "${1}<link rel=\"modulepreload\" href=\"/v/%s/%s\">\n", placeholder, name)
		}
	}
	for _, name := range page.needs[module][1:] { // The first is the script itself.
		fmt.Fprintf(&links, "${1}<link rel=\"modulepreload\" href=\"/v/%s/%s\">\n", placeholder, name)
	}
	return s.addressed(pageScript.ReplaceAll(html, append(links.Bytes(), "$0"...))), nil
}

// hashOf names files: it changes when any of them does. Those that are served are of the hash as much as those that
// they are made of, since a new version of esbuild makes others of the same.
func hashOf(trees ...map[string][]byte) string {
	h := sha256.New()
	for _, tree := range trees {
		for _, name := range slices.Sorted(maps.Keys(tree)) {
			fmt.Fprintf(h, "%s\x00%d\x00", name, len(tree[name]))
			h.Write(tree[name])
		}
	}
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
