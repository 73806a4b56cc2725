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
	eachFile(t, func(path string, d fs.DirEntry) {
		if !slices.Contains([]string{".go", ".js", ".mjs", ".c", ".h", ".css", ".html"}, filepath.Ext(path)) {
			return
		}
		seen++
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(text, []byte("\n")); lines > maxLines {
			t.Errorf("%s has %d lines: more than %d", path, lines, maxLines)
		}
		if name := d.Name(); !strings.HasSuffix(name, "_test.go") && !strings.HasSuffix(name, ".test.js") {
			files[filepath.Dir(path)]++
		}
	})
	if seen < 300 {
		t.Fatalf("found %d files only", seen)
	}
	for folder, n := range files {
		if n > maxFiles {
			t.Errorf("%s has %d files beside its tests: more than %d", folder, n, maxFiles)
		}
	}
}

// TestMerged holds that no file has the marks of a conflict. Nothing else reads scripts before they run.
func TestMerged(t *testing.T) {
	const most = 1 << 20 // what is larger is no text of ours
	seen := 0
	eachFile(t, func(path string, d fs.DirEntry) {
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > most {
			return
		}
		text, err := os.ReadFile(path)
		if err != nil { // it was another program's, and is gone
			return
		}
		seen++
		for i, line := range bytes.Split(text, []byte("\n")) {
			if bytes.HasPrefix(line, []byte("<<<<<<< ")) || bytes.HasPrefix(line, []byte(">>>>>>> ")) {
				t.Errorf("%s:%d: %s", path, i+1, line)
			}
		}
	})
	if seen < 300 {
		t.Fatalf("found %d files only", seen)
	}
}

// eachFile visits all files but those of other projects.
func eachFile(t *testing.T, visit func(path string, d fs.DirEntry)) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			visit(path, d)
			return nil
		}
		// web/static/vendor has files of other projects as they were published.
		if slices.Contains([]string{"node_modules", ".git", "bin", "testdata", "vendor"}, d.Name()) {
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
