package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// placeholder stands in the HTML files for the tree's hash.
const placeholder = "TREEHASH"

// views are what the pages show, each with the page that it is of, and with the module and the part that it needs besides the page's own.
var views = map[view]struct{ page, module, part string }{
	home: {"index.html", "elements/home.js", "home"},
	room: {"index.html", "elements/room/room.js", "room"},
	code: {"code.html", "", ""},
}

type view string

const (
	home view = "home"
	room view = "room"
	code view = "code" // files that are sent by a code; a page of its own, so that the others do not load what it needs
)

// site is what is served. It does not change.
type site struct {
	hash       string
	pages      map[view]map[language]file
	nowhere    map[language]file // 404.html
	manifest   map[language]file // manifest.webmanifest
	files      map[string]file   // by the path below /v/HASH
	sdkFiles   map[string]file   // by name: turnpike.js, its map and its types
	sdkVersion string            // such as v0123456789abcdef
}

// pageScript is the module of a page.
var pageScript = regexp.MustCompile(`(?m)^( *)<script type="module" src="/v/` + placeholder + `/([^"]+)"></script>$`)

// stylesheet is a link to one. Several that follow each other become one file, as a browser asks for a few at a time.
var stylesheet = regexp.MustCompile(`(?m)^ *<link rel="stylesheet" href="/v/` + placeholder + `/([^"]+)">\n`)

// joinStylesheets puts the style sheets of a page into one, in their order, and has the page name that in their place.
func joinStylesheets(name string, html []byte, files map[string][]byte) (page []byte, err error) {
	links := stylesheet.FindAllSubmatchIndex(html, -1)
	if links == nil {
		return nil, fmt.Errorf("%s has no style sheet", name)
	}
	var style []byte
	for i, link := range links {
		if i > 0 && link[0] != links[i-1][1] {
			return nil, fmt.Errorf("%s: something stands before %s", name, bytes.TrimSpace(html[link[0]:link[1]]))
		}
		content, ok := files[string(html[link[2]:link[3]])]
		if !ok {
			return nil, fmt.Errorf("%s: there is no %s", name, html[link[2]:link[3]])
		}
		style = append(style, content...)
	}
	all := "css/" + strings.TrimSuffix(path.Base(name), ".html") + "-all.css"
	files[all] = style
	one := fmt.Sprintf("  <link rel=\"stylesheet\" href=\"/v/%s/%s\">\n", placeholder, all)
	return slices.Concat(html[:links[0][0]], []byte(one), html[links[len(links)-1][1]:]), nil
}

// A page is an HTML file, with the bundle of its script.
type page struct {
	html   []byte
	script string // the module
	bundle bundle
}

// newSite makes everything that is served of the files of a tree, and of the SDK's types.
func newSite(tree fs.FS, types []byte) (*site, error) {
	sources := map[string][]byte{}
	walk(tree, func(name string, content []byte) { sources[name] = content })
	served := map[string][]byte{}
	if err := addFiles(served, sources); err != nil {
		return nil, err
	}
	pages := map[string]page{}
	for _, name := range []string{"index.html", "code.html"} {
		p, err := newPage(tree, name, sources[name], served)
		if err != nil {
			return nil, err
		}
		pages[name] = p
	}
	parts, err := makeParts(sources, served)
	if err != nil {
		return nil, err
	}
	sdk, err := bundleSDK(tree, "sdk/turnpike.js")
	if err != nil {
		return nil, err
	}
	s := &site{hash: hashOf(served, sources), pages: map[view]map[language]file{}, nowhere: map[language]file{}, manifest: map[language]file{}, files: map[string]file{}, sdkFiles: map[string]file{}}
	for name, content := range served {
		s.files[name] = newFile(name, content)
	}
	for name, content := range parts {
		s.files[name] = newFile(name, s.addressed(content))
	}
	for l := range tags {
		if err := s.speak(l, wordsOf(l, sources), pages, parts, sources); err != nil {
			return nil, err
		}
	}
	sdk.files["sdk/turnpike.d.ts"] = types
	for name, content := range sdk.files {
		s.sdkFiles[path.Base(name)] = newFile(name, content)
	}
	s.sdkVersion = "v" + hashOf(sdk.files)
	return s, nil
}

// speak makes the pages in a language.
func (s *site) speak(l language, words map[string]string, pages map[string]page, parts, sources map[string][]byte) (err error) {
	for view, shown := range views {
		shownPage := pages[shown.page]
		if shownPage.html, err = translate(shownPage.html, l, words); err != nil {
			return err
		}
		if shown.part != "" {
			if shownPage.html, err = withPart(shownPage.html, shown.part, parts["parts/"+shown.part+".html"]); err != nil {
				return err
			}
		}
		html, err := s.preload(shownPage, shown.module, l)
		if err != nil {
			return err
		}
		if s.pages[view] == nil {
			s.pages[view] = map[language]file{}
		}
		s.pages[view][l] = newFile(shown.page, html)
	}
	nowhere, err := translate(sources["404.html"], l, words)
	if err != nil {
		return err
	}
	s.nowhere[l] = newFile("404.html", s.addressed(nowhere))
	manifest, err := translateManifest(sources["manifest.webmanifest"], l, words)
	if err != nil {
		return err
	}
	s.manifest[l] = newFile("manifest.webmanifest", s.addressed(manifest))
	return nil
}

// addFiles has served all that is no page and no module.
func addFiles(served, sources map[string][]byte) (err error) {
	for name, content := range sources {
		switch path.Ext(name) {
		case ".html", ".js", ".ts", ".webmanifest": // pages, modules and types have places of their own
		case ".md": // for readers of the source
		case ".css":
			if content, err = minifyStyle(content); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			served[name] = content
		default:
			served[name] = content
		}
	}
	return nil
}

// newPage has served what a page needs.
func newPage(tree fs.FS, name string, html []byte, served map[string][]byte) (page, error) {
	script := pageScript.FindSubmatch(html)
	if script == nil {
		return page{}, fmt.Errorf("%s has no script like %s", name, pageScript)
	}
	p := page{script: string(script[2])}
	var err error
	if p.bundle, err = bundlePage(tree, p.script); err != nil {
		return page{}, err
	}
	maps.Copy(served, p.bundle.files)
	p.html, err = joinStylesheets(name, html, served)
	return p, err
}

// makeParts returns the parts of pages: templates that are loaded when they are needed, below their style sheet.
func makeParts(sources, served map[string][]byte) (map[string][]byte, error) {
	parts := map[string][]byte{}
	for name, content := range sources {
		if path.Dir(name) != "parts" {
			continue
		}
		part, err := joinStylesheets(name, content, served)
		if err != nil {
			return nil, err
		}
		parts[name] = part
	}
	return parts, nil
}

// withPart puts a part into a page, as static/parts.js would: the view that was asked for is there at once.
func withPart(html []byte, name string, part []byte) ([]byte, error) {
	end := stylesheet.FindIndex(part)
	if end == nil {
		return nil, fmt.Errorf("there is no part %q with a style sheet", name)
	}
	link := bytes.Replace(part[:end[1]], []byte("<link "), fmt.Appendf(nil, "<link data-part=%q ", name), 1)
	html, templates := bytes.Replace(html, []byte("</head>"), append(link, "</head>"...), 1), part[end[1]:]
	return bytes.Replace(html, []byte("</body>"), slices.Concat(templates, []byte("</body>")), 1), nil
}

// addressed puts the hash into the addresses of a page.
func (s *site) addressed(html []byte) []byte {
	return bytes.ReplaceAll(html, []byte(placeholder), []byte(s.hash))
}

// preload has a page ask at once for the files that its script and its view need, and for the words of its language. Without
// that it would find one after the other, by what each imports.
func (s *site) preload(p page, view string, l language) ([]byte, error) {
	own := p.bundle.needs[p.script]
	needs := p.bundle.wordsOf(l, p.script, view)
	if view != "" {
		shown, ok := p.bundle.needs[view]
		if !ok {
			return nil, fmt.Errorf("%s is not a view: no module loads it by import()", view)
		}
		needs = append(needs, shown...)
	}
	var links bytes.Buffer
	for _, name := range needs {
		if !slices.Contains(own, name) {
			fmt.Fprintf(&links, "${1}<link rel=\"modulepreload\" href=\"/v/%s/%s\">\n", placeholder, name)
		}
	}
	for _, name := range own[1:] { // The first is the script itself.
		fmt.Fprintf(&links, "${1}<link rel=\"modulepreload\" href=\"/v/%s/%s\">\n", placeholder, name)
	}
	return s.addressed(pageScript.ReplaceAll(p.html, append(links.Bytes(), "$0"...))), nil
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
