package auth

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestCleanName(t *testing.T) {
	for _, tt := range []struct{ in, shown, canonical string }{
		{"Ann", "Ann", "ann"},
		{"  Ann   Lee ", "Ann Lee", "ann lee"},
		{"Ann\u00a0Lee", "Ann Lee", "ann lee"},
		{"ＡＮＮ", "ANN", "ann"},
		{"Zoe\u0308", "Zoë", "zoë"},
		{"Βίκτωρ", "Βίκτωρ", "βίκτωρ"},
		{"李雷", "李雷", "李雷"},
		{"李雷 Lee", "李雷 Lee", "李雷 lee"},
		{"Иван 2", "Иван 2", "иван 2"},
		{"Ann ☂", "Ann ☂", "ann ☂"},
		{"<b>&\"'", "<b>&\"'", "<b>&\"'"},
		{"x", "x", "x"},
		{strings.Repeat("é", 32), strings.Repeat("é", 32), strings.Repeat("é", 32)},
		{strings.Repeat("e\u0301", 32), strings.Repeat("é", 32), strings.Repeat("é", 32)},
	} {
		shown, canonical, err := CleanName(tt.in)
		if err != nil || shown != tt.shown || canonical != tt.canonical {
			t.Errorf("%q: %q, %q, error %v; want %q, %q", tt.in, shown, canonical, err, tt.shown, tt.canonical)
		}
	}
}

func TestCleanNameRefuses(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want error
	}{
		{"", errNameEmpty},
		{"   ", errNameEmpty},
		{"\u00a0\u2003", errNameEmpty},
		{strings.Repeat("a", 33), errNameLong},
		{strings.Repeat("\ufdfa", 2), errNameLong}, // One code point that becomes 18.
		{strings.Repeat(" ", 1000) + "a", errNameLong},
		{"a\nb", errNameInvalid},
		{"a\tb", errNameInvalid},
		{"a\x00b", errNameInvalid},
		{"a\x7f", errNameInvalid},
		{"a\u0085b", errNameInvalid},
		{"a\u202eb", errNameInvalid}, // Right-to-left override.
		{"a\u200bb", errNameInvalid}, // Zero-width space.
		{"a\u2028b", errNameInvalid},
		{"a\xffb", errNameInvalid},
		{"\ufeffAnn", errNameInvalid},
		{"\ue000", errNameInvalid}, // Private use.
		{"\u0410nn", errNameMixed}, // Cyrillic A.
		{"Ann \u041b\u0438", errNameMixed},
		{"\u0391nn", errNameMixed},         // Greek Alpha.
		{"\u03b1\u0430", errNameMixed},     // Greek and Cyrillic.
		{"\u0430\uff41", errNameMixed},     // A wide Latin letter, which becomes a plain one.
		{"Ann \u00b5", errNameMixed},       // The micro sign becomes a Greek letter.
		{"\u0430\U0001d41a", errNameMixed}, // A mathematical a, likewise.
	} {
		shown, canonical, err := CleanName(tt.in)
		if err != tt.want || shown != "" || canonical != "" {
			t.Errorf("%q: %q, %q, error %v; want error %v", tt.in, shown, canonical, err, tt.want)
		}
	}
}

func FuzzCleanName(f *testing.F) {
	for _, s := range []string{"", "Ann", " a  b ", "ＡＮＮ", "\ufdfa", "e\u0301", "İ", "ẞ", "a\u200d", "\u0345", "ſ", "Σς"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		shown, canonical, err := CleanName(s)
		if err != nil {
			if shown != "" || canonical != "" {
				t.Errorf("refused and yet returned %q, %q", shown, canonical)
			}
			return
		}
		if n := utf8.RuneCountInString(shown); n < 1 || n > MaxNameRunes || !utf8.ValidString(shown) {
			t.Errorf("%q has %d code points", shown, n)
		}
		if canonical == "" {
			t.Error("nothing to compare")
		}
		if strings.ContainsFunc(shown, unicode.IsControl) || strings.TrimSpace(shown) != shown {
			t.Errorf("%q has controls or outer spaces", shown)
		}
		shown2, canonical2, err := CleanName(shown)
		if err != nil || shown2 != shown || canonical2 != canonical {
			t.Errorf("cleaned again, %q, %q become %q, %q, error %v", shown, canonical, shown2, canonical2, err)
		}
		if _, canonical3, err := CleanName(canonical); err == nil && canonical3 != canonical {
			t.Errorf("the canonical form %q of %q has another, %q", canonical, shown, canonical3)
		}
	})
}
