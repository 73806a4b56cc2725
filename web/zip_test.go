package web

import (
	"archive/zip"
	"io"
	"io/fs"
	"testing"
	"time"
)

// TestZip has another program read what the page writes. web/test/zip.test.js holds that this file is what it writes.
func TestZip(t *testing.T) {
	r, err := zip.OpenReader("testdata/files.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	modified := time.Date(2026, time.May, 1, 8, 0, 1, 0, time.UTC)
	want := []struct {
		name, content string
		mode          fs.FileMode
		modified      time.Time
	}{
		{"photos/", "", fs.ModeDir | 0o755, modified},
		{"photos/cät.txt", "hello world", 0o644, modified},
		{"run.sh", "#!/", 0o755, time.Time{}},
		{"stdin", "of a length that nobody knew", 0o644, time.Time{}},
		{"empty", "", 0o644, time.Time{}},
	}
	if len(r.File) != len(want) {
		t.Fatalf("it has %d entries, not %d", len(r.File), len(want))
	}
	for i, f := range r.File {
		w := want[i]
		if f.Name != w.name || f.Mode() != w.mode || f.NonUTF8 {
			t.Errorf("entry %d is %q, %v; want %q, %v", i, f.Name, f.Mode(), w.name, w.mode)
		}
		if !w.modified.IsZero() && !f.Modified.Equal(w.modified) {
			t.Errorf("%s was modified %v, not %v", f.Name, f.Modified, w.modified)
		}
		content, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(content) // It compares the check sum.
		if err != nil || string(all) != w.content {
			t.Errorf("%s has %q, %v", f.Name, all, err)
		}
		content.Close()
	}
}
