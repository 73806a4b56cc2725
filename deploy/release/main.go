// Release builds what a version is published as, for `make release`: an archive for each system, a list of the modules in each
// program (CycloneDX), and the checksums of all.
//
// Two builds of a commit are the same, bit by bit: the compiler is told no path and no time, and archives have the commit's time
// and nobody's name.
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// targets are the systems: Linux for servers, the others for clients and for trying it out.
var targets = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64"}

func main() {
	version := flag.String("version", "", "the version, like v1.2.3")
	out := flag.String("out", "bin/release", "where to leave the files")
	only := flag.String("only", strings.Join(targets, ","), "the systems to build for")
	also := flag.String("also", "", "a pattern of files to publish beside the archives")
	epoch := flag.Int64("time", 0, "the time of the commit, in Unix seconds")
	flag.Parse()
	if err := release(*version, *out, *also, strings.Split(*only, ","), time.Unix(*epoch, 0).UTC()); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func release(version, out, also string, targets []string, at time.Time) error {
	if version == "" {
		return fmt.Errorf("name the --version")
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, target := range targets {
		if err := build(version, out, target, at); err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
	}
	found, err := filepath.Glob(also)
	if err != nil || also != "" && len(found) == 0 {
		return fmt.Errorf("--also %q finds nothing", also)
	}
	for _, name := range found {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, filepath.Base(name)), data, 0o644); err != nil {
			return err
		}
	}
	return writeChecksums(out)
}

// packed are the files beside the program.
var packed = []string{"README.md", "LICENSE", "CHANGELOG.md", "deploy/turnpike.toml", "deploy/turnpike.service", "deploy/offload.conf",
	"deploy/turnpike-listen.service", "deploy/turnpike-listen.user.service"}

func build(version, out, target string, at time.Time) error {
	goos, goarch, _ := strings.Cut(target, "/")
	dir, err := os.MkdirTemp("", "turnpike-release")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := "turnpike"
	if goos == "windows" {
		program += ".exe"
	}
	path := filepath.Join(dir, program)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+version, "-o", path, "./cmd/turnpike")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	name := fmt.Sprintf("turnpike_%s_%s_%s", strings.TrimPrefix(version, "v"), goos, goarch)
	text, err := sbom(path, version, at)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, name+".cdx.json"), text, 0o644); err != nil {
		return err
	}
	files := []entry{{name + "/" + program, path, 0o755}}
	for _, p := range packed {
		files = append(files, entry{name + "/" + filepath.Base(p), p, 0o644})
	}
	if goos == "windows" {
		return writeFile(filepath.Join(out, name+".zip"), func(w io.Writer) error { return writeZip(w, files, at) })
	}
	return writeFile(filepath.Join(out, name+".tar.gz"), func(w io.Writer) error { return writeTar(w, files, at) })
}

// entry is a file of an archive.
type entry struct {
	name, from string
	mode       int64
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

func writeTar(w io.Writer, files []entry, at time.Time) error {
	zipped := gzip.NewWriter(w)
	archive := tar.NewWriter(zipped)
	for _, e := range files {
		data, err := os.ReadFile(e.from)
		if err != nil {
			return err
		}
		if err := archive.WriteHeader(&tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(data)), ModTime: at, Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		if _, err := archive.Write(data); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return zipped.Close()
}

func writeZip(w io.Writer, files []entry, at time.Time) error {
	archive := zip.NewWriter(w)
	for _, e := range files {
		data, err := os.ReadFile(e.from)
		if err != nil {
			return err
		}
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: at}
		h.SetMode(os.FileMode(e.mode))
		f, err := archive.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := f.Write(data); err != nil {
			return err
		}
	}
	return archive.Close()
}

// sbom lists the modules in a program, as CycloneDX 1.6 has it. They are what the linker has noted, not what go.mod asks for.
func sbom(path, version string, at time.Time) ([]byte, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, err
	}
	type hash struct {
		Alg     string `json:"alg"`
		Content string `json:"content"`
	}
	type component struct {
		Type    string `json:"type"`
		Name    string `json:"name"`
		Version string `json:"version"`
		PURL    string `json:"purl,omitempty"`
		Hashes  []hash `json:"hashes,omitempty"`
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(program)
	components := []component{{Type: "library", Name: "std", Version: info.GoVersion, PURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")}}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		components = append(components, component{Type: "library", Name: m.Path, Version: m.Version, PURL: "pkg:golang/" + m.Path + "@" + m.Version})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	err = e.Encode(map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
		"metadata": map[string]any{
			"timestamp": at.Format(time.RFC3339),
			"component": component{Type: "application", Name: "turnpike", Version: version, Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}}},
		},
		"components": components,
	})
	return b.Bytes(), err
}

// writeChecksums writes SHA256SUMS, as sha256sum -c reads it.
func writeChecksums(dir string) error {
	found, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var lines []string
	for _, f := range found {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("%x  %s\n", sha256.Sum256(data), f.Name()))
	}
	slices.Sort(lines)
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(strings.Join(lines, "")), 0o644)
}
