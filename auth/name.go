package auth

import (
	"errors"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
)

const (
	// MaxNameRunes bounds a name after it is cleaned.
	MaxNameRunes = 32

	// maxRawNameBytes bounds the work of cleaning. Names that become short
	// enough are far below it, even when they come fully decomposed.
	maxRawNameBytes = 512
)

// The text of these is fit to be shown to the one who typed the name.
var (
	errNameEmpty   = errors.New("a name needs at least one visible character")
	errNameLong    = errors.New("a name has at most 32 characters")
	errNameInvalid = errors.New("a name has a character that names cannot have")
	errNameMixed   = errors.New("a name has letters of one alphabet only: Latin, Cyrillic or Greek")
)

// CleanName applies the PRECIS Nickname profile (RFC 8266) to a name that
// somebody chose: shown has its spaces trimmed and single and its letters
// composed, with no control characters, 1 to 32 code points; canonical is what
// uniqueness compares, so that "Ann" and "ａｎｎ" are one name. A name that mixes
// Latin, Cyrillic and Greek is refused: their letters look alike. Cleaning shown
// again changes neither. The error is a sentence for the one who typed it.
func CleanName(s string) (shown, canonical string, err error) {
	if len(s) > maxRawNameBytes {
		return "", "", errNameLong
	}
	if !utf8.ValidString(s) {
		return "", "", errNameInvalid
	}
	if shown, err = stable(precis.Nickname.String, s); err != nil {
		return "", "", err
	}
	if utf8.RuneCountInString(shown) > MaxNameRunes {
		return "", "", errNameLong
	}
	if mixesAlphabets(shown) {
		return "", "", errNameMixed
	}
	if canonical, err = stable(precis.Nickname.CompareKey, shown); err != nil {
		return "", "", err
	}
	return shown, canonical, nil
}

// mixesAlphabets reports whether s has letters of two alphabets that share the
// look of many: the Cyrillic "Апп" passes for "Ann" only among Latin letters.
func mixesAlphabets(s string) bool {
	found := 0
	for _, alphabet := range []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek} {
		for _, r := range s {
			if unicode.Is(alphabet, r) {
				found++
				break
			}
		}
	}
	return found > 1
}

// stable applies rules until they change nothing, which RFC 8266 §2.1 expects
// within three rounds more; what changes even then is refused.
func stable(rules func(string) (string, error), s string) (string, error) {
	for range 4 {
		next, err := rules(s)
		if err != nil || next == "" {
			return "", nameError(s)
		}
		if next == s {
			return s, nil
		}
		s = next
	}
	return "", errNameInvalid
}

// nameError tells a name of nothing but spaces from one with something bad.
func nameError(s string) error {
	for _, r := range s {
		if !unicode.IsSpace(r) {
			return errNameInvalid
		}
	}
	return errNameEmpty
}
