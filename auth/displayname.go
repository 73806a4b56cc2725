package auth

import (
	"errors"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
)

const (
	// MaxNameRunes bounds a cleaned name.
	MaxNameRunes = 32

	// maxRawNameBytes bounds the work of cleaning. A name that is short enough
	// once cleaned is far below it, even if it arrives fully decomposed.
	maxRawNameBytes = 512
)

// Pages show these texts to the person who typed the name.
var (
	errNameEmpty   = errors.New("a name needs at least one visible character")
	errNameLong    = errors.New("a name has at most 32 characters")
	errNameInvalid = errors.New("a name must not have control, invisible or unassigned characters")
	errNameMixed   = errors.New("a name must have letters of one alphabet only: Latin, Cyrillic or Greek")
)

// CleanName applies the PRECIS Nickname profile (RFC 8266) to a name that
// somebody chose. shown has 1 to 32 code points: composed letters, single inner
// spaces, no outer spaces, and no control characters. Uniqueness compares
// canonical, so that "Ann" and "ａｎｎ" are one name. CleanName refuses a name that
// mixes Latin, Cyrillic and Greek, whose letters look alike. Cleaning shown again
// returns the same pair. The error is a sentence for the person who typed the name.
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

// mixesAlphabets reports whether s has letters of two alphabets with many
// lookalikes. One Cyrillic "А" among Latin letters passes for an "A".
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

// stable applies rules until they change nothing. RFC 8266 §2.1 allows three more
// rounds for that; stable refuses a name that needs more.
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

// nameError tells a name of only spaces from one with a bad character.
func nameError(s string) error {
	for _, r := range s {
		if !unicode.IsSpace(r) {
			return errNameInvalid
		}
	}
	return errNameEmpty
}
