package auth

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
)

// FitName makes a name for others to see of a text that its user has not chosen,
// so that the user could not mend it: an app's name claim. It leaves out what
// CleanName would refuse, cuts what is too long between two letters as people see
// them, and keeps a mixture of alphabets, for which the issuer vouches. It returns
// "" if nothing visible remains. Fitting a name again changes nothing.
func FitName(s string) string {
	s = cutBytes(strings.ToValidUTF8(s, ""), maxRawNameBytes)
	shown, err := stable(precis.Nickname.String, s)
	if err != nil {
		shown, err = stable(precis.Nickname.String, strings.Map(fitRune, s))
	}
	if err != nil {
		return ""
	}
	for range 3 { // A cut may leave a space at the end, or a text with another composed form.
		cut := cutRunes(shown, MaxNameRunes)
		if cut, err = stable(precis.Nickname.String, cut); err != nil {
			return ""
		}
		if cut == shown {
			return shown
		}
		shown = cut
	}
	return ""
}

// NumberName tells a fitted name apart from the same name of others, by a number
// behind it: "Ann (2)". The result has at most MaxNameRunes, too.
func NumberName(shown string, n int) string {
	number := fmt.Sprintf(" (%d)", n)
	return strings.TrimRight(cutRunes(shown, MaxNameRunes-len(number)), " ") + number
}

// CanonicalName returns the form in which names are compared, as CleanName does,
// of a name that FitName or NumberName made.
func CanonicalName(shown string) string {
	canonical, err := stable(precis.Nickname.CompareKey, shown)
	if err != nil {
		return shown // It is visible, so it is compared as it is.
	}
	return canonical
}

// PlaceholderName is what others see of a user who has no name. It is always the
// same for a user.
func (u User) PlaceholderName() string {
	const letters = "abcdefghjkmnpqrstuvwxyz23456789"
	sum := sha256.Sum256([]byte("turnpike placeholder name " + u.String()))
	name := []byte("User ")
	for _, b := range sum[:4] {
		name = append(name, letters[int(b)%len(letters)])
	}
	return string(name)
}

// fitRune turns all spaces into plain ones, and drops what no name may have. A
// character that is right only beside certain others is dropped, too: the whole
// name was refused.
func fitRune(r rune) rune {
	if unicode.IsSpace(r) || unicode.Is(unicode.Z, r) {
		return ' '
	}
	if _, err := precis.Nickname.String("a" + string(r) + "a"); err != nil {
		return -1
	}
	return r
}

func cutBytes(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// cutRunes cuts s to at most that many code points, but not inside of a letter
// with its marks, an emoji with its skin tone, or a flag. A letter that is longer
// than that is cut all the same.
func cutRunes(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	end := most
	for end > 0 && (belongsToFormer(runes[end]) || halvesFlag(runes, end)) {
		end--
	}
	if end == 0 {
		end = most
	}
	return string(runes[:end])
}

func belongsToFormer(r rune) bool {
	const lightSkin, darkSkin = 0x1f3fb, 0x1f3ff
	return unicode.Is(unicode.M, r) || r >= lightSkin && r <= darkSkin
}

// halvesFlag reports whether a cut before runes[at] separates the two letters of
// a flag: an odd number of regional indicators stands before it, and one follows.
func halvesFlag(runes []rune, at int) bool {
	before := 0
	for before < at && unicode.Is(unicode.Regional_Indicator, runes[at-1-before]) {
		before++
	}
	return before%2 == 1 && unicode.Is(unicode.Regional_Indicator, runes[at])
}
