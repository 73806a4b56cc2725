package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// value is the place of one key in Config. It takes the text of a TOML file, a variable or a flag, or returns an error
// that is the rest of a sentence after the key's name.
type value interface {
	fromTOML(v any) error
	fromText(s string) error
	String() string // as a TOML literal; secrets are [redacted]
}

// several is a value that is a list or a table: a flag that is given twice adds to it. The text has commas between.
type several interface{ several() }

func (list[T]) several()   {}
func (addrPairs) several() {}

// scalar is a value that a file writes as one string.
type scalar[T any] struct {
	p       *T
	parse   func(string) (T, error)
	show    func(T) string
	example string
}

func (v scalar[T]) fromTOML(raw any) error {
	s, ok := raw.(string)
	if !ok {
		return fmt.Errorf("%v is not a string; write it like %q", raw, v.example)
	}
	return v.fromText(s)
}

func (v scalar[T]) fromText(s string) error {
	parsed, err := v.parse(s)
	if err != nil {
		return err
	}
	*v.p = parsed
	return nil
}

func (v scalar[T]) String() string { return quote(v.show(*v.p)) }

// list is a value that a file writes as an array of strings, a variable or a flag with commas between.
type list[T any] struct {
	p       *[]T
	parse   func(string) (T, error)
	show    func(T) string
	example string
}

func (v list[T]) fromTOML(raw any) error {
	items, ok := raw.([]any)
	if !ok {
		return fmt.Errorf("is not a list; write it like [%q]", v.example) // the value itself may be a secret
	}
	words := make([]string, len(items))
	for i, item := range items {
		if words[i], ok = item.(string); !ok {
			return &partError{fmt.Sprintf("[%d]", i), fmt.Errorf("is not a string; write it like %q", v.example)}
		}
	}
	return v.set(words)
}

func (v list[T]) fromText(s string) error { return v.set(splitList(s)) }

func (v list[T]) set(words []string) error {
	out := make([]T, 0, len(words))
	for i, word := range words {
		parsed, err := v.parse(word)
		if err != nil {
			return &partError{fmt.Sprintf("[%d]", i), err}
		}
		out = append(out, parsed)
	}
	*v.p = out
	return nil
}

func (v list[T]) String() string {
	words := make([]string, len(*v.p))
	for i, item := range *v.p {
		words[i] = quote(v.show(item))
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// addrPairs is a table from an IP address to another one, or to a name that has one; a variable or a flag writes A=B,C=D.
type addrPairs struct {
	p     *map[netip.Addr]netip.Addr
	names *map[netip.Addr]string
}

func (v addrPairs) fromTOML(raw any) error {
	table, ok := raw.(map[string]any)
	if !ok {
		return fmt.Errorf(`%v is not a table; write it like { "10.0.0.5" = "203.0.113.9" }`, raw)
	}
	words := make(map[string]string, len(table))
	for from, to := range table {
		if words[from], ok = to.(string); !ok {
			return &partError{"." + quote(from), fmt.Errorf("%v is not a string; write it like %q", to, "203.0.113.9")}
		}
	}
	return v.set(words)
}

func (v addrPairs) fromText(s string) error {
	words := make(map[string]string)
	for _, pair := range splitList(s) {
		from, to, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("%q has no \"=\"; write it like 10.0.0.5=203.0.113.9", pair)
		}
		words[strings.TrimSpace(from)] = strings.TrimSpace(to)
	}
	return v.set(words)
}

func (v addrPairs) set(words map[string]string) error {
	out, names := make(map[netip.Addr]netip.Addr, len(words)), make(map[netip.Addr]string)
	for _, from := range slices.Sorted(maps.Keys(words)) {
		local, err := parseAddr(from)
		if err != nil {
			return &partError{"." + quote(from), err}
		}
		if name, ok := parseName(words[from]); ok {
			names[local] = name
			continue
		}
		external, err := parseAddr(words[from])
		if err != nil {
			return &partError{"." + quote(from), fmt.Errorf("%w, or a name that has one, like %q", err, "home.example.org")}
		}
		if local.Is4() != external.Is4() {
			return &partError{"." + quote(from), fmt.Errorf("%q is of the other address family; both must be IPv4 or both IPv6", words[from])}
		}
		out[local] = external
	}
	*v.p, *v.names = out, names
	return nil
}

func (v addrPairs) String() string {
	words := maps.Clone(*v.names)
	for from, to := range *v.p {
		words[from] = to.String()
	}
	pairs := make([]string, 0, len(words))
	for _, from := range slices.SortedFunc(maps.Keys(words), netip.Addr.Compare) {
		pairs = append(pairs, quote(from.String())+" = "+quote(words[from]))
	}
	if len(pairs) == 0 {
		return "{}"
	}
	return "{ " + strings.Join(pairs, ", ") + " }"
}

// number is a whole number of at least min.
type number struct {
	p   *int
	min int
}

func (v number) fromTOML(raw any) error {
	n, ok := raw.(int64)
	if !ok {
		return fmt.Errorf("%v is not a whole number; write it like %d, without quotes", quoteIfString(raw), max(v.min, 256))
	}
	return v.set(n)
}

func (v number) fromText(s string) error {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not a whole number; write it like %d", s, max(v.min, 256))
	}
	return v.set(n)
}

func (v number) set(n int64) error {
	if n < int64(v.min) || n > 1<<31-1 {
		return fmt.Errorf("%d is out of range; use %d or more, up to %d", n, v.min, 1<<31-1)
	}
	*v.p = int(n)
	return nil
}

func (v number) String() string { return strconv.Itoa(*v.p) }

// toggle is true or false.
type toggle struct{ p *bool }

func (v toggle) fromTOML(raw any) error {
	b, ok := raw.(bool)
	if !ok {
		return fmt.Errorf("%v is neither true nor false; write one of them, without quotes", quoteIfString(raw))
	}
	*v.p = b
	return nil
}

func (v toggle) fromText(s string) error {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", s)
	}
	*v.p = b
	return nil
}

func (v toggle) String() string { return strconv.FormatBool(*v.p) }

func splitList(s string) []string { return words(s, ",") }

// words returns what stands between separators, without space around it. Empty words do not count.
func words(s, separator string) []string {
	var out []string
	for word := range strings.SplitSeq(s, separator) {
		if word = strings.TrimSpace(word); word != "" {
			out = append(out, word)
		}
	}
	return out
}

// quote writes s as a TOML basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func quoteIfString(v any) any {
	if s, ok := v.(string); ok {
		return quote(s)
	}
	return v
}

func asIs(s string) string { return s }
