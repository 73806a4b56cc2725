package imports

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// roomRow is a row of the table in ARCHITECTURE.md: a package, what it is, and which packages of ours it imports.
var roomRow = regexp.MustCompile("(?m)^\\| \\[`([a-z/0-9]+)`\\]\\([^)]*\\) \\| [^|]+ \\|([^|]*)\\|$")

// TestArchitecture holds that ARCHITECTURE.md names every package, and just the packages that it imports.
func TestArchitecture(t *testing.T) {
	watchSources(t)
	page, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string][]string{}
	for _, row := range roomRow.FindAllStringSubmatch(string(page), -1) {
		imports := []string{}
		for word := range strings.FieldsSeq(row[2]) {
			imports = append(imports, strings.Trim(word, "`,"))
		}
		slices.Sort(imports)
		documented[row[1]] = imports
	}
	actual := map[string][]string{}
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for path, p := range list(t, goos) {
			room, ours := strings.CutPrefix(path, "example.org/turnpike/")
			if !ours {
				continue
			}
			imports := actual[room]
			for _, i := range p.Imports {
				if name, ours := strings.CutPrefix(i, "example.org/turnpike/"); ours && !slices.Contains(imports, name) {
					imports = append(imports, name)
				}
			}
			slices.Sort(imports)
			actual[room] = imports
		}
	}
	for room, imports := range actual {
		if found, ok := documented[room]; !ok {
			t.Errorf("ARCHITECTURE.md has no row for %s", room)
		} else if !slices.Equal(found, imports) {
			t.Errorf("ARCHITECTURE.md says that %s imports %v, but it imports %v", room, found, imports)
		}
	}
	for room := range documented {
		if _, ok := actual[room]; !ok {
			t.Errorf("ARCHITECTURE.md has a row for %s, which is no package", room)
		}
	}
}
