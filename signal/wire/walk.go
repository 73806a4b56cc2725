package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// walkObject finds the members of a JSON object, of which json.Valid already
// approved, and puts each raw value where slot says; nil means that the member
// is not wanted. encoding/json would do, but for three things: it takes null
// for an empty string, "ROOM" for "room", and the last of two members of one
// name, where a browser or another server might take the first.
func walkObject(data []byte, slot func(name []byte) *[]byte) *FieldError {
	i := skipSpace(data, 0)
	if i >= len(data) || data[i] != '{' {
		return &FieldError{Problem: "must be an object"}
	}
	for i++; i < len(data); i++ {
		i = skipSpace(data, i)
		if i >= len(data) || data[i] == '}' {
			return nil
		}
		end := stringEnd(data, i)
		name := data[i:end]
		if len(name) < 2 {
			break
		}
		i = skipSpace(data, end) + 1 // the colon
		i = skipSpace(data, i)
		end, ok := valueEnd(data, i)
		if !ok {
			return &FieldError{Problem: "is nested deeper than " + strconv.Itoa(MaxDepth)}
		}
		if to := slot(memberName(name)); to != nil {
			if *to != nil {
				return &FieldError{Field: string(memberName(name)), Problem: "is there twice"}
			}
			*to = data[i:end:end]
		}
		i = skipSpace(data, end) // the comma or the end
		if i >= len(data) || data[i] != ',' {
			return nil
		}
	}
	return &FieldError{Problem: "is not JSON"}
}

// within names the object that holds the field.
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

// stringEnd is the index after the string that starts at i.
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

// valueEnd is the index after the value that starts at i, false if it is
// nested too deeply.
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

// scalarEnd is the index after the number or word at i.
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

// memberName unquotes a member's name; an escape in it, which is legal, is the
// only case that allocates.
func memberName(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	return []byte(unquote(quoted))
}

// unquote gives the string that a valid JSON string stands for.
func unquote(raw []byte) string {
	if len(raw) < 2 {
		return ""
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}
