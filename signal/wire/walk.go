package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// walker finds the members of a JSON object that validJSON has approved. encoding/json is too lenient for this: it
// takes null for an empty string, "ROOM" for "room", and the last of two members with one name, where a browser or
// another server might take the first.
//
//	for w := (walker{data: data}); w.next(); {
//		w.keep(place of w.name)
//	}
type walker struct {
	data        []byte
	name, value []byte      // of the member that next has found: the name unquoted, the value raw
	err         *FieldError // what ended the walk, nil at the end of the object

	at      int // before the next member, or where an object must begin
	started bool
}

// next finds a member. It reports false after the last one, and after an error.
func (w *walker) next() bool {
	if w.err != nil {
		return false
	}
	data, i := w.data, skipSpace(w.data, w.at)
	switch {
	case !w.started && (i >= len(data) || data[i] != '{'):
		w.err = &FieldError{Problem: "must be an object"}
		return false
	case w.started && (i >= len(data) || data[i] != ','):
		return false // the end
	}
	w.started = true
	i = skipSpace(data, i+1)
	if i >= len(data) || data[i] == '}' {
		return false
	}
	end := stringEnd(data, i)
	name := data[i:end]
	if len(name) < 2 {
		w.err = &FieldError{Problem: "is not JSON"}
		return false
	}
	i = skipSpace(data, end) + 1 // the colon
	i = skipSpace(data, i)
	end, ok := valueEnd(data, i)
	if !ok {
		w.err = &FieldError{Problem: "is nested deeper than " + strconv.Itoa(MaxDepth)}
		return false
	}
	i = min(i, end)
	w.name, w.value, w.at = memberName(name), data[i:end:end], end
	return true
}

// keep stores the value in to, unless that is nil.
func (w *walker) keep(to *[]byte) {
	switch {
	case to == nil:
	case *to != nil:
		w.err = &FieldError{Field: string(w.name), Problem: "is there twice"}
	default:
		*to = w.value
	}
}

// lister finds the values of a JSON list that validJSON has approved.
type lister struct {
	data  []byte
	value []byte // the value that next has found, raw
	err   bool   // data is no list

	at      int
	started bool
}

// next finds a value. It reports false after the last one, and where there is no list.
func (l *lister) next() bool {
	data, i := l.data, skipSpace(l.data, l.at)
	switch {
	case l.err:
		return false
	case !l.started && (i >= len(data) || data[i] != '['):
		l.err = true
		return false
	case l.started && (i >= len(data) || data[i] != ','):
		return false // the end
	}
	l.started = true
	i = skipSpace(data, i+1)
	if i >= len(data) || data[i] == ']' {
		return false
	}
	end, ok := valueEnd(data, i)
	if l.err = !ok; l.err {
		return false
	}
	l.value, l.at = data[i:end:end], end
	return true
}

// within adds the name of the object that holds the field.
func (e *FieldError) within(object string) *FieldError {
	if e.Field == "" {
		e.Field = object
	} else {
		e.Field = object + "." + e.Field
	}
	return e
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\r' || data[i] == '\n') {
		i++
	}
	return i
}

// stringEnd returns the index after the string that starts at i.
func stringEnd(data []byte, i int) int {
	for i++; i < len(data); i++ {
		quote := bytes.IndexByte(data[i:], '"')
		if quote < 0 {
			break
		}
		i += quote
		escapes := 0
		for data[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
	return len(data)
}

// valueEnd returns the index after the value that starts at i, and false if the value is nested too deeply.
func valueEnd(data []byte, i int) (int, bool) {
	depth := 1 // the object that holds the value
	for i < len(data) {
		switch data[i] {
		case '"':
			i = stringEnd(data, i)
		case '{', '[':
			if depth++; depth > MaxDepth {
				return i, false
			}
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\t', '\r', '\n':
			i++
			continue
		default:
			i = scalarEnd(data, i)
		}
		if depth <= 1 {
			return i, true
		}
	}
	return len(data), true
}

// scalarEnd returns the index after the number or word at i.
func scalarEnd(data []byte, i int) int {
	for i < len(data) {
		switch data[i] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return i
		}
		i++
	}
	return i
}

// memberName unquotes a member's name. It allocates only for escapes in names, which are legal.
func memberName(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	return []byte(unquote(quoted))
}

// unquote returns the string that a valid JSON string stands for.
func unquote(raw []byte) string {
	if len(raw) < 2 {
		return ""
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	if bytes.Contains(raw, []byte(`\u`)) {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return ""
		}
		return s
	}
	var s strings.Builder
	s.Grow(len(raw))
	for rest := raw[1 : len(raw)-1]; ; {
		plain, escape, found := bytes.Cut(rest, []byte{'\\'})
		s.Write(plain)
		if !found || len(escape) == 0 {
			return s.String()
		}
		s.WriteByte(unescaped(escape[0]))
		rest = escape[1:]
	}
}

// unescaped returns the byte that a letter after a backslash stands for.
func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // a quote, a backslash or a slash
}
