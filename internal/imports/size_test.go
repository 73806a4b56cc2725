package imports

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A reader finds a thing by the names of files, and reads a file in one go. Beyond these bounds a package needs a wing, or a file a second topic's own.
const (
	maxFiles = 45 // of a folder, beside its tests
	maxLines = 500
)

// TestSize holds that no room is crowded.
func TestSize(t *testing.T) {
	files := map[string]int{}
	seen := 0
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			// web/static/vendor has files of other projects as they were published.
			if slices.Contains([]string{"node_modules", ".git", "bin", "testdata", "vendor"}, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !slices.Contains([]string{".go", ".js", ".mjs", ".c", ".h", ".css", ".html"}, filepath.Ext(path)) {
			return nil
		}
		seen++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if lines := bytes.Count(text, []byte("\n")); lines > maxLines {
			t.Errorf("%s has %d lines: more than %d", path, lines, maxLines)
		}
		if name := d.Name(); !strings.HasSuffix(name, "_test.go") && !strings.HasSuffix(name, ".test.js") {
			files[filepath.Dir(path)]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 300 {
		t.Fatalf("found %d files only", seen)
	}
	for folder, n := range files {
		if n > maxFiles {
			t.Errorf("%s has %d files beside its tests: more than %d", folder, n, maxFiles)
		}
	}
}
