package code

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, text := range []string{
		"7-crossover-clockwork", "7 crossover clockwork", " 7_Crossover_CLOCKWORK\n", "7--crossover - clockwork-", "007-crossover-clockwork",
		"7–crossover—clockwork", "7\u2011crossover\u2010clockwork", "7\u00a0crossover\tclockwork\r\n",
	} {
		c, err := Parse(text)
		if err != nil {
			t.Errorf("Parse(%q): %v", text, err)
			continue
		}
		if c.Slot() != 7 || c.Words() != "crossover-clockwork" || c.Text() != "7-crossover-clockwork" {
			t.Errorf("Parse(%q) is %q of slot %d", text, c.Words(), c.Slot())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "no code was typed",
		" - _":                            "no code was typed",
		"crossover-clockwork":             "begins with a number",
		"-7-crossover-clockwork-x":        "a number and two words",
		"7":                               "a number and two words",
		"7-crossover":                     "a number and two words",
		"0-crossover-clockwork":           "no code has this number",
		"1000000-crossover-clockwork":     "no code has this number",
		"99999999999999999999-a-b":        "no code has this number",
		"٧-crossover-clockwork":           "begins with a number",
		"7-sesquipedalian-clockwork":      "no code has this first word",
		"7-crossover-sesquipedalian":      "no code has this second word",
		"7-open-sesame":                   "no code has these words",
		"7-crossover-crossover":           "no code has this second word",
		strings.Repeat("7", 300):          "too long",
		"https://t.example/c/7#a-b":       "a link for a browser",
		"turn.example.org/c/7#crossover-": "a link for a browser",
	} {
		c, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "hint: ") {
			t.Errorf("Parse(%q) is %q, %v; want an error about %q and a hint", text, c.Words(), err, want)
		}
		if near := (*NearMissError)(nil); errors.As(err, &near) {
			t.Errorf("Parse(%q) took it for %q", text, near.Meant.Text())
		}
	}
}

func TestNearMiss(t *testing.T) {
	for text, want := range map[string]string{
		"7-crosover-clockwork":    "7-crossover-clockwork", // a letter left out
		"7-crossoverr-clockwork":  "7-crossover-clockwork", // one too many
		"7-crissover-clickwork":   "7-crossover-clockwork", // another
		"7-corssover-clockwrok":   "7-crossover-clockwork", // exchanged
		"7-clockwork-crossover":   "7-crossover-clockwork", // the other order
		"7-cross-cloc":            "7-crossover-clockwork", // the beginning
		"7-whimsicle-aardvak":     "7-whimsical-aardvark",
		"12-tambourin-physiqe":    "12-tambourine-physique",
		"12 Monumment  Snapshots": "12-monument-snapshot",
	} {
		_, err := Parse(text)
		near, ok := errors.AsType[*NearMissError](err)
		if !ok {
			t.Errorf("Parse(%q): %v, want a near miss", text, err)
			continue
		}
		if got := near.Meant.Text(); got != want {
			t.Errorf("Parse(%q) took it for %q, want %q", text, got, want)
		}
		if again, err := Parse(near.Meant.Text()); err != nil || again.Words() != near.Meant.Words() {
			t.Errorf("what was meant by %q is no code: %v", text, err)
		}
	}
}

// TestNoErrorHasTheWords: errors are logged, and a mistyped code is still a secret.
func TestNoErrorHasTheWords(t *testing.T) {
	for _, text := range []string{"7-crosover-clockwork", "7-clockwork-crossover", "7-crossover-sesquipedalian", "7-sesquipedalian-clockwork", "7-crossover", "https://t.example/c/7#crossover-clockwork", "crossover-clockwork"} {
		_, err := Parse(text)
		if err == nil {
			t.Fatalf("Parse(%q) took it", text)
		}
		said := strings.ReplaceAll(err.Error(), Example, "")
		for _, word := range []string{"cros", "clock", "sesq"} {
			if strings.Contains(said, word) {
				t.Errorf("the error of %q says %q", text, err)
			}
		}
	}
}

// TestAmbiguous: a word that is as near to several is not guessed.
func TestAmbiguous(t *testing.T) {
	if got := nearest("stop", []string{"stopwatch", "stopgap"}); got != "" {
		t.Errorf("%q was taken for %q", "stop", got)
	}
	if got := nearest("unwinf", []string{"unwind", "unwing"}); got != "" {
		t.Errorf("%q was taken for %q", "unwinf", got)
	}
	if got := nearest("unwin", []string{"unwind", "uproot"}); got != "unwind" {
		t.Errorf("%q was taken for %q", "unwin", got)
	}
}

func TestComplete(t *testing.T) {
	for text, want := range map[string][]string{
		"":                      nil,
		"-":                     nil,
		"x":                     nil,
		"0":                     nil,
		"7":                     {"7-"},
		"7-cross":               {"7-crossover-"},
		" 7 CROSSOVER":          {"7-crossover-"},
		"7-cr":                  {"7-crossover-", "7-crucifix-"},
		"7-crossover-clo":       {"7-crossover-clockwork"},
		"7_crossover_clockwork": {"7-crossover-clockwork"},
		"7-crossover-cla":       {"7-crossover-clamshell", "7-crossover-classic", "7-crossover-classroom"},
		"7-clockwork":           nil, // a second word
		"7-cro-clo":             nil,
		"7-crossover-xx":        nil,
		"7-crossover-clo-":      nil,
	} {
		if got := Complete(text); !slices.Equal(got, want) {
			t.Errorf("Complete(%q) is %q, want %q", text, got, want)
		}
	}
	for text, prefix := range map[string]string{"7-": "7-", "7-crossover ": "7-crossover-"} {
		got := Complete(text)
		if len(got) != 256 || !slices.IsSorted(got) || slices.ContainsFunc(got, func(s string) bool { return !strings.HasPrefix(s, prefix) }) {
			t.Errorf("Complete(%q) has %d, such as %q", text, len(got), got[0])
		}
	}
}

// TestNewDrawsEvenly: all words of both lists come up, and about as often as each other.
func TestNewDrawsEvenly(t *testing.T) {
	const draws = 256 * 100
	counts := [2]map[string]int{{}, {}}
	for range draws {
		c := New(41)
		first, second, _ := strings.Cut(c.Words(), "-")
		counts[0][first]++
		counts[1][second]++
		if c.Slot() != 41 {
			t.Fatalf("the slot is %d", c.Slot())
		}
	}
	for i, list := range wordLists() {
		for _, word := range list {
			if n := counts[i][word]; n < 30 || n > 200 { // 100 with a deviation of 10
				t.Errorf("%q was drawn %d times of %d", word, n, draws)
			}
		}
		if len(counts[i]) != 256 {
			t.Errorf("%d words of list %d were drawn", len(counts[i]), i)
		}
	}
}

// TestPrintsNoWords: a code in an error, a log or a struct of somebody's shows its number alone.
func TestPrintsNoWords(t *testing.T) {
	c, err := Parse(Example)
	if err != nil {
		t.Fatal(err)
	}
	inside := struct {
		Code   Code
		hidden Code
		to     *Code
	}{c, c, &c}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+"\n", c, &c, inside)
		fmt.Fprintf(&out, verb+"\n", &NearMissError{c})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "code", c, "inside", inside, "to", &c)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "code", c, "inside", inside)
	if err := json.NewEncoder(&out).Encode(map[string]any{"code": c, "inside": inside}); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"crossover", "clockwork", fmt.Sprintf("%x", "crossover"), fmt.Sprintf("%X", "crossover")} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q was printed:\n%s", secret, out.String())
		}
	}
	if !strings.Contains(out.String(), "7-[redacted]") {
		t.Errorf("the number was not printed:\n%s", out.String())
	}
	if (Code{}).Words() != "" || (Code{}).String() != "0-[redacted]" {
		t.Error("the zero Code has words")
	}
}

// FuzzParse holds that a text is a code, or nearly one, or an error; that a code reads again as itself; and that completions can become one.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{Example, "7 crosover clockwork", "7-clockwork-crossover", "7-cr", "7-crossover-", "٧-a-b", "\xff-\xfe-\xfd", "7—crossover\u2028clockwork", "12-İstanbul-kiwi"} {
		f.Add(seed)
	}
	lists := wordLists()
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if near, ok := errors.AsType[*NearMissError](err); ok {
			c, err = near.Meant, nil
		}
		if err == nil {
			again, err := Parse(c.Text())
			if err != nil || again.Text() != c.Text() || again.Slot() != c.Slot() || again.Words() != c.Words() {
				t.Fatalf("%q became %q, which reads as %q: %v", text, c.Text(), again.Text(), err)
			}
			first, second, _ := strings.Cut(c.Words(), "-")
			if !slices.Contains(lists[0], first) || !slices.Contains(lists[1], second) || c.Slot() < 1 {
				t.Fatalf("%q became %q", text, c.Text())
			}
		}
		for _, completed := range Complete(text) {
			if len(Complete(completed)) == 0 {
				t.Fatalf("%q became %q, which becomes nothing", text, completed)
			}
		}
	})
}
