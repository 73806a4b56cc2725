package code

import (
	"encoding/hex"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pgpFingerprint is the fingerprint that texts about the word list spell as an example, and its words there.
const (
	pgpFingerprint = "E58294F2E9A227486E8B061B31CC528FD7FA3F19"
	pgpWords       = "topmost Istanbul Pluto vagabond treadmill Pacific brackish dictator goldfish Medusa " +
		"afflict bravado chatter revolver Dupont midsummer stopwatch whimsical cowbell bottomless"
)

func TestWordsAreThePGPList(t *testing.T) {
	lists := wordLists()
	seen := map[string]bool{}
	for i, list := range lists {
		if len(list) != 256 {
			t.Errorf("list %d has %d words, want 256", i, len(list))
		}
		for _, word := range list {
			if seen[word] {
				t.Errorf("%q is there twice", word)
			}
			seen[word] = true
			if !regexp.MustCompile(`^[a-z]{4,11}$`).MatchString(word) {
				t.Errorf("%q is not fit for typing", word)
			}
		}
	}
	bytes, err := hex.DecodeString(pgpFingerprint)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for i, b := range bytes {
		words = append(words, lists[1-i%2][b]) // even positions have two syllables
	}
	if got, want := strings.Join(words, " "), strings.ToLower(pgpWords); got != want {
		t.Errorf("the fingerprint reads\n%s, want\n%s", got, want)
	}
	if lists[1][0] != "aardvark" || lists[0][0] != "adroitness" || lists[1][255] != "zulu" || lists[0][255] != "yucatan" {
		t.Errorf("the ends of the lists are %s, %s, %s, %s", lists[1][0], lists[0][0], lists[1][255], lists[0][255])
	}
}

// TestPageHasTheSameWords holds web/static/code/words.js to the lists here.
func TestPageHasTheSameWords(t *testing.T) {
	text, err := os.ReadFile("../../web/static/code/words.js")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"threeSyllables", "twoSyllables"} {
		_, rest, found := strings.Cut(string(text), "export const "+name+" = (")
		body, _, ended := strings.Cut(rest, ").split(' ');")
		if !found || !ended {
			t.Fatalf("codewords.js has no list %s", name)
		}
		var joined strings.Builder
		for _, piece := range regexp.MustCompile(`'([^']*)'`).FindAllStringSubmatch(body, -1) {
			joined.WriteString(piece[1])
		}
		if got := strings.Split(joined.String(), " "); !slices.Equal(got, wordLists()[i]) {
			t.Errorf("%s differ from those of internal/code:\n%v", name, got)
		}
	}
}
