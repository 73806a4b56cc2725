package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// language is one in which the pages speak. Messages are in static/words/LANGUAGE.
type language string

const (
	english language = "en"
	chinese language = "zh"
)

// tags are for the attribute lang. The Chinese is in simplified characters.
var tags = map[language]string{english: "en", chinese: "zh-Hans"}

// preferredLanguage reads Accept-Language (RFC 9110 §12.5.4), as static/language.js reads navigator.languages. The page itself
// knows better, since people may choose there; the server spares it a round trip.
func preferredLanguage(h http.Header) language {
	best, bestWeight := english, 0.0
	for entry := range strings.SplitSeq(strings.Join(h.Values("Accept-Language"), ","), ",") {
		tag, parameter, _ := strings.Cut(entry, ";")
		first, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(parameter)), "q="); ok {
			weight, _ = strconv.ParseFloat(q, 64) // What is no number counts as 0: not wanted.
		}
		if _, known := tags[language(first)]; known && weight > bestWeight {
			best, bestWeight = language(first), weight
		}
	}
	return best
}

// message is a line of a table of static/words, such as "  'page.skip': 'Skip to content',".
var message = regexp.MustCompile(`(?m)^  '([^']+)': '([^'\\]*)',$`)

// wordsOf reads the tables of a language. Those that a table is joined of are read by themselves.
func wordsOf(l language, sources map[string][]byte) map[string]string {
	words := map[string]string{}
	for name, content := range sources {
		if path.Dir(name) == "words/"+string(l) {
			for _, m := range message.FindAllSubmatch(content, -1) {
				words[string(m[1])] = string(m[2])
			}
		}
	}
	return words
}

var (
	saying          = regexp.MustCompile(`(<[^<>]*\sdata-say="([^"]+)"[^<>]*>)(</)`)
	sayingAttribute = regexp.MustCompile(`\sdata-say-([a-z-]+)="([^"]+)"`)
)

// translateManifest says in a language what browsers show of the page where they install it.
func translateManifest(manifest []byte, l language, words map[string]string) ([]byte, error) {
	about, err := json.Marshal(words["shell.about"])
	if err != nil {
		return nil, err
	}
	if words["shell.about"] == "" {
		return nil, fmt.Errorf("words/%s has no shell.about for manifest.webmanifest", l)
	}
	manifest = bytes.ReplaceAll(manifest, []byte(`"LANGUAGE"`), fmt.Appendf(nil, "%q", tags[l]))
	return bytes.ReplaceAll(manifest, []byte(`"shell.about"`), about), nil
}

// translate says in a language what stands in a page itself. The page fills its templates when it uses them.
func translate(page []byte, l language, words map[string]string) ([]byte, error) {
	page = bytes.ReplaceAll(page, []byte(`lang="LANGUAGE"`), fmt.Appendf(nil, "lang=%q", tags[l]))
	end := len(page)
	if i := bytes.Index(page, []byte("<template")); i >= 0 {
		end = i
	}
	var missing string
	say := func(key []byte) string {
		text, ok := words[string(key)]
		if !ok {
			missing = string(key)
		}
		return html.EscapeString(text)
	}
	said := saying.ReplaceAllFunc(page[:end], func(element []byte) []byte {
		m := saying.FindSubmatch(element)
		return fmt.Appendf(nil, "%s%s%s", m[1], say(m[2]), m[3])
	})
	said = sayingAttribute.ReplaceAllFunc(said, func(attribute []byte) []byte {
		m := sayingAttribute.FindSubmatch(attribute)
		return fmt.Appendf(nil, " %s=\"%s\"", m[1], say(m[2]))
	})
	if missing != "" {
		return nil, fmt.Errorf("words/%s has no %s", l, missing)
	}
	return append(said, page[end:]...), nil
}
