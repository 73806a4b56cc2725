package main

import (
	"bytes"
	"os"
	"testing"
)

// TestProgress holds that only a terminal gets a bar.
func TestProgress(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, w := range []*program{{stderr: file}, {stderr: new(bytes.Buffer)}} {
		bar := w.progress()
		bar.show(0.5, "")
		bar.clear()
		if bar.w != nil {
			t.Errorf("%T has a bar", w.stderr)
		}
	}
	var out bytes.Buffer
	bar := progressBar{&out}
	bar.show(0.5, "so far so good")
	bar.clear()
	if want := "\r\x1b[K[===============               ]  50 %  so far so good\r\x1b[K"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
