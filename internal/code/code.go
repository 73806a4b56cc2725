// Package code has the codes that two people tell each other so that their programs find and trust each other.
//
//	7-crossover-clockwork
//	│ └─────────┬───────┘
//	│           the words: 16 bits, which only the two know. They serve once
//	the number of a slot: the server's, which admits guests to one room for a while
//
// New makes a code for a slot, Parse reads what somebody has typed, and Complete helps with typing. Only the words prove
// anything, and they never reach the server. A code is a secret until it was used, so everything but Text and Words prints it without
// its words.
package code

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Example is a code for help and hints.
const Example = "7-crossover-clockwork"

const (
	maxText   = 200     // bytes of what somebody types
	maxSlot   = 999_999 // far more than a server has
	redaction = "[redacted]"
)

// Code is a slot's number and two words. The zero Code is none.
type Code struct {
	slot int
	// words is a function because fmt prints unexported fields of somebody's struct by reflection, without asking our methods.
	words func() string
}

// New makes a code of random words for a slot that the server has given.
func New(slot int) Code {
	var picks [2]byte
	rand.Read(picks[:]) // never fails
	lists := wordLists()
	return of(slot, lists[0][picks[0]], lists[1][picks[1]])
}

func of(slot int, first, second string) Code {
	words := first + "-" + second
	return Code{slot, func() string { return words }}
}

// Slot is the number for the server.
func (c Code) Slot() int { return c.slot }

// Words are the secret, "crossover-clockwork": lower-case and with a hyphen, so that both sides have the same.
func (c Code) Words() string {
	if c.words == nil {
		return ""
	}
	return c.words()
}

// Text is the whole code, for the people who use it and for nobody else.
func (c Code) Text() string { return strconv.Itoa(c.slot) + "-" + c.Words() }

// String is fit for logs and errors: it leaves the words out.
func (c Code) String() string { return strconv.Itoa(c.slot) + "-" + redaction }

// GoString leaves the words out.
func (c Code) GoString() string { return c.String() }

// Format leaves the words out for the verbs that do not ask String, too.
func (c Code) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalText leaves the words out.
func (c Code) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// LogValue leaves the words out.
func (c Code) LogValue() slog.Value { return slog.StringValue(c.String()) }

// NearMissError is that words of a code are misspelt or in the other order, and that it is plain which code was meant.
// Its text has no words, since errors are logged. A program that has a person to ask shows Meant.Text().
type NearMissError struct{ Meant Code }

func (e *NearMissError) Error() string {
	return "the words of the code are not quite words that codes have (hint: look for a typing error, and for the order of the words)"
}

// Parse reads a code that somebody has typed. Case does not matter, and spaces, underscores and dashes of all kinds separate alike.
// The error is a *NearMissError if it is plain which code was meant. No error quotes the words.
func Parse(text string) (Code, error) {
	if len(text) > maxText {
		return Code{}, fmt.Errorf("this is too long for a code (hint: a code looks like %s)", Example)
	}
	if strings.ContainsAny(text, "/#") {
		return Code{}, fmt.Errorf("this is a link for a browser (hint: type the number and the words in it, like %s)", Example)
	}
	parts := strings.FieldsFunc(strings.ToLower(text), separates)
	if len(parts) == 0 {
		return Code{}, fmt.Errorf("no code was typed (hint: a code looks like %s)", Example)
	}
	slot, err := parseSlot(parts[0])
	if err != nil {
		return Code{}, err
	}
	if len(parts) != 3 {
		return Code{}, fmt.Errorf("a code has a number and two words (hint: it looks like %s)", Example)
	}
	return parseWords(slot, parts[1], parts[2])
}

func separates(r rune) bool { return r == '_' || unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) }

func parseSlot(digits string) (int, error) {
	for _, r := range digits {
		if r < '0' || r > '9' {
			return 0, fmt.Errorf("a code begins with a number (hint: it looks like %s)", Example)
		}
	}
	slot, err := strconv.Atoi(digits)
	if err != nil || slot < 1 || slot > maxSlot {
		return 0, fmt.Errorf("no code has this number (hint: ask for the code again; it looks like %s)", Example)
	}
	return slot, nil
}

func parseWords(slot int, first, second string) (Code, error) {
	lists := wordLists()
	has := func(list int, word string) bool { return slices.Contains(lists[list], word) }
	if has(0, first) && has(1, second) {
		return of(slot, first, second), nil
	}
	if has(1, first) && has(0, second) {
		return Code{}, &NearMissError{of(slot, second, first)}
	}
	meantFirst, meantSecond := nearest(first, lists[0]), nearest(second, lists[1])
	switch {
	case meantFirst == "" && meantSecond == "":
		return Code{}, errors.New("no code has these words (hint: ask for them again)")
	case meantFirst == "":
		return Code{}, errors.New("no code has this first word (hint: ask for it again)")
	case meantSecond == "":
		return Code{}, errors.New("no code has this second word (hint: ask for it again)")
	}
	return Code{}, &NearMissError{of(slot, meantFirst, meantSecond)}
}

// Complete returns what text may become by one more word or separator, in order. Text that cannot become a code has no completion.
func Complete(text string) []string {
	if len(text) > maxText {
		return nil
	}
	parts := strings.FieldsFunc(strings.ToLower(text), separates)
	if len(parts) == 0 {
		return nil
	}
	slot, err := parseSlot(parts[0])
	if err != nil {
		return nil
	}
	if runes := []rune(text); separates(runes[len(runes)-1]) {
		parts = append(parts, "") // the next word has not been begun
	}
	number, lists := strconv.Itoa(slot)+"-", wordLists()
	switch {
	case len(parts) == 1:
		return []string{number}
	case len(parts) == 2:
		return completions(number, parts[1], lists[0], "-")
	case len(parts) == 3 && slices.Contains(lists[0], parts[1]):
		return completions(number+parts[1]+"-", parts[2], lists[1], "")
	}
	return nil
}

func completions(before, prefix string, list []string, after string) []string {
	var found []string
	for _, word := range list {
		if strings.HasPrefix(word, prefix) {
			found = append(found, before+word+after)
		}
	}
	slices.Sort(found)
	return found
}
