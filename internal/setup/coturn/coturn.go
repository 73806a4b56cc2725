// Package coturn carries a turnserver.conf over to the keys of turnpike.
//
//	text ── parse ── lines ── one rule a key (rules.go) ── Result: keys, secrets, and what was not taken and why
//
// The keys are those of coturn 4.17's sample, and those that earlier versions had. Every line with a value ends in one of the
// lists, so that nothing is lost without a word.
package coturn

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Result is what a turnserver.conf means to turnpike.
type Result struct {
	Keys    map[string]string // key of turnpike -> its value, as a flag takes it
	Secrets []string          // of the REST API; they belong into a file that only root can read
	Taken   []Note            // what a line has become
	Default []Note            // what turnpike does anyway
	Left    []Note            // what was not taken
}

// Note is about one line.
type Note struct {
	Line int
	Key  string // coturn's
	Text string
}

// maxLine bounds a line. coturn itself reads 1,024 bytes.
const maxLine = 64 << 10

type line struct {
	number     int
	key, value string
	hasValue   bool
}

// parse reads the lines that are no comments: a key, and perhaps a value behind "=" or space.
func parse(text string) ([]line, error) {
	var out []line
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		s := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if s == "" || strings.HasPrefix(s, "#") {
			continue
		}
		l := line{number: n, key: s}
		if i := strings.IndexAny(s, "= \t"); i >= 0 {
			l.key, l.hasValue = s[:i], true
			l.value = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(s[i:]), "="))
			if len(l.value) >= 2 && strings.ContainsRune(`"'`, rune(l.value[0])) && l.value[len(l.value)-1] == l.value[0] {
				l.value = l.value[1 : len(l.value)-1]
			}
		}
		l.key = strings.TrimLeft(l.key, "-")
		out = append(out, l)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("a line is longer than %d bytes; this is no turnserver.conf", maxLine)
	}
	return out, lines.Err()
}

// on reports whether a line without a value, or with a boolean one, turns its key on.
func (l line) on() bool {
	return !slices.Contains([]string{"0", "off", "no", "false", "f"}, strings.ToLower(l.value))
}

// Convert reads a turnserver.conf. dir is its folder, from which its paths start.
func Convert(text, dir string) (*Result, error) {
	lines, err := parse(text)
	if err != nil {
		return nil, err
	}
	c := &conversion{Result: Result{Keys: map[string]string{}}, dir: dir, port: "3478", tlsPort: "5349"}
	known := rules()
	for _, l := range lines {
		rule, ok := known[l.key]
		c.line = l
		switch {
		case !ok:
			c.left("is no key of coturn 4.17 that turnpike knows of")
		case rule.take == nil && rule.flag && !l.on():
			c.same("is off, as in turnpike")
		case rule.take == nil && rule.left:
			c.left("%s", rule.why)
		case rule.take == nil:
			c.same("%s", rule.why)
		default:
			rule.take(c)
		}
	}
	c.finish()
	return &c.Result, nil
}

// conversion is the work on one file.
type conversion struct {
	Result
	dir  string
	line line // at work

	// Several lines make one key of turnpike.
	listen           []string
	port, tlsPort    string
	noUDP, noTCP     bool
	noTLS, noDTLS    bool
	cert, key        string
	minPort, maxPort string
	externals        []string
	relays           []string
	denied, allowed  []span
	prometheus       bool
	metricsPort      string
	metricsAddr      string
}

func (c *conversion) note(list *[]Note, format string, args ...any) {
	*list = append(*list, Note{c.line.number, c.line.key, fmt.Sprintf(format, args...)})
}

func (c *conversion) took(format string, args ...any) { c.note(&c.Taken, format, args...) }
func (c *conversion) same(format string, args ...any) { c.note(&c.Default, format, args...) }
func (c *conversion) left(format string, args ...any) { c.note(&c.Left, format, args...) }
