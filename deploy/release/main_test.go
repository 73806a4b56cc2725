package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRelease: two builds of one version are the same, the program knows the version, and the list of modules has what is in it.
func TestRelease(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds twice")
	}
	t.Chdir("../..")
	target := runtime.GOOS + "/" + runtime.GOARCH
	at := time.Unix(1700000000, 0).UTC()
	sums := make([]string, 2)
	dir := ""
	for i := range sums {
		dir = filepath.Join(t.TempDir(), "release")
		if err := release("v1.2.3-test", dir, "", []string{target}, at); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = string(text)
	}
	if sums[0] != sums[1] || strings.Count(sums[0], "\n") != 2 {
		t.Errorf("the first build:\n%sthe second:\n%s", sums[0], sums[1])
	}
	name := "turnpike_1.2.3-test_" + strings.ReplaceAll(target, "/", "_")
	names := untar(t, filepath.Join(dir, name+".tar.gz"), filepath.Join(dir, "unpacked"), at)
	if !slices.Contains(names, name+"/turnpike") || !slices.Contains(names, name+"/LICENSE") {
		t.Errorf("the archive has %q", names)
	}
	out, err := exec.Command(filepath.Join(dir, "unpacked", "turnpike"), "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "turnpike v1.2.3-test ") {
		t.Errorf("%s %v", out, err)
	}
	var bom struct {
		BOMFormat  string
		Components []struct{ Name, Version, PURL string }
	}
	text, err := os.ReadFile(filepath.Join(dir, name+".cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &bom); err != nil || bom.BOMFormat != "CycloneDX" {
		t.Fatal(err)
	}
	for _, want := range []string{"std", "github.com/gorilla/websocket", "github.com/caddyserver/certmagic"} {
		if !slices.ContainsFunc(bom.Components, func(c struct{ Name, Version, PURL string }) bool {
			return c.Name == want && c.Version != "" && strings.HasPrefix(c.PURL, "pkg:golang/"+want+"@")
		}) {
			t.Errorf("the list of modules has no %s", want)
		}
	}
}

// untar unpacks the files without their folder, and returns their names.
func untar(t *testing.T, archive, to string, at time.Time) (names []string) {
	t.Helper()
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	zipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(zipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(at) || h.Uid != 0 || h.Uname != "" {
			t.Errorf("%s is of %v and user %d %s", h.Name, h.ModTime, h.Uid, h.Uname)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		if err := os.WriteFile(filepath.Join(to, filepath.Base(h.Name)), content, os.FileMode(h.Mode)); err != nil {
			t.Fatal(err)
		}
	}
}
