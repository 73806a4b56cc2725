package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fileName = regexp.MustCompile(`\b[a-z0-9_./-]+\.(?:go|js|mjs)\b`)
	url      = regexp.MustCompile(`\w+://\S+|/sdk/v\S+`) // the latter are the server's addresses of what it makes
)

// TestFiles: the files that the pages and the package comments name are there. A name may leave out its folder.
func TestFiles(t *testing.T) {
	there := map[string]bool{} // every path, and every end of it
	texts := pages(t)
	delete(texts, filepath.Join("..", "CHANGELOG.md")) // which may tell of files that are gone
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && (name == "node_modules" || name == ".git") {
			return filepath.SkipDir
		}
		for rest, more := path, true; more; _, rest, more = strings.Cut(rest, string(filepath.Separator)) {
			there[filepath.ToSlash(rest)] = true
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if comment, _, ok := strings.Cut(string(text), "\npackage "); ok {
			texts[path] = comment
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for page, text := range texts {
		for _, name := range fileName.FindAllString(url.ReplaceAllString(text, ""), -1) {
			named++
			if !there[strings.TrimLeft(name, "./")] {
				t.Errorf("%s: there is no file %s", page, name)
			}
		}
	}
	if named < 50 {
		t.Errorf("found %d names of files only", named)
	}
}
