package offload

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGenerated builds the program again, as generate.go says, and must get the same files. Other versions of clang
// make other bytes, so it takes the version that generate.go names.
func TestGenerated(t *testing.T) {
	source, err := os.ReadFile("generate.go")
	if err != nil {
		t.Fatal(err)
	}
	_, command, ok := strings.Cut(string(source), "//go:generate ")
	if !ok {
		t.Fatal("generate.go says nothing")
	}
	args := strings.Fields(strings.ReplaceAll(command, `""`, ""))
	for i, arg := range args {
		if arg != "-cc" && arg != "-strip" {
			continue
		}
		if _, err := exec.LookPath(args[i+1]); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("offload: %v, and CI must not skip this test", err)
			}
			t.Skipf("offload: %v; as root on Debian 12: internal/e2e/install.sh clang-14 llvm-strip-14", err)
		}
	}
	dir := t.TempDir()
	last := len(args)
	for i, arg := range args {
		if strings.HasSuffix(arg, "bpf2go") {
			last = i + 1
		}
	}
	args = append(args[:last:last], append([]string{"-output-dir", dir}, args[last:]...)...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "GOPACKAGE=offload")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	made, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(made) == 0 {
		t.Fatal("nothing was made", err)
	}
	for _, path := range made {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if have, err := os.ReadFile(filepath.Base(path)); err != nil || !bytes.Equal(have, want) {
			t.Errorf("%s is not what bpf/forward.c makes it (%v): make generate", filepath.Base(path), err)
		}
	}
}
