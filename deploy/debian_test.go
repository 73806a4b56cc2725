package deploy_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPurge: a purge takes what the package and setup have made, and not what the operator has written beside the unit. A removal
// takes neither.
func TestPurge(t *testing.T) {
	const dropIns = "/etc/systemd/system/turnpike.service.d"
	ours := []string{"/etc/turnpike/turnpike.toml", "/var/lib/private/turnpike/secret", dropIns + "/certificate.conf",
		"/etc/systemd/system/multi-user.target.wants/turnpike.service", "/etc/systemd/system/multi-user.target.wants/turnpike-listen.service",
		"/var/lib/private/turnpike-listen/turnpike/machines/turn.example.org_443.json"}
	script, err := os.ReadFile("debian/postrm")
	if err != nil {
		t.Fatal(err)
	}
	for _, theirs := range []string{"", dropIns + "/override.conf"} {
		root := t.TempDir()
		for _, path := range append(ours, theirs) {
			if path == "" {
				continue
			}
			if err := errors.Join(os.MkdirAll(filepath.Dir(root+path), 0o755), os.WriteFile(root+path, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		moved := strings.NewReplacer(" /etc/", " "+root+"/etc/", " /var/", " "+root+"/var/", " /run/", " "+root+"/run/").Replace(string(script))
		for _, step := range []struct {
			what string
			left bool
		}{{"remove", true}, {"purge", false}} {
			if out, err := exec.Command("sh", "-c", moved, "postrm", step.what).CombinedOutput(); err != nil || len(out) > 0 {
				t.Fatalf("postrm %s: %v %s", step.what, err, out)
			}
			for _, path := range ours {
				if _, err := os.Stat(root + path); errors.Is(err, fs.ErrNotExist) == step.left {
					t.Errorf("after a %s, %s: %v", step.what, path, err)
				}
			}
		}
		if _, err := os.Stat(root + dropIns); errors.Is(err, fs.ErrNotExist) != (theirs == "") {
			t.Errorf("with %q there, the drop-ins are %v", theirs, err)
		}
		if _, err := os.Stat(root + theirs); err != nil {
			t.Errorf("a purge takes the operator's file: %v", err)
		}
	}
}

// TestRemoval: a removal stops the server, and remembers that it ran where there is still a place for that.
func TestRemoval(t *testing.T) {
	script, err := os.ReadFile("debian/prerm")
	if err != nil {
		t.Fatal(err)
	}
	for _, configured := range []bool{true, false} {
		root := t.TempDir()
		if err := errors.Join(os.MkdirAll(root+"/run/systemd/system", 0o755), os.MkdirAll(root+"/bin", 0o755),
			os.WriteFile(root+"/bin/systemctl", []byte("#!/bin/sh\necho \"$*\" >> "+root+"/asked\n"), 0o700)); err != nil {
			t.Fatal(err)
		}
		if configured {
			if err := os.MkdirAll(root+"/etc/turnpike", 0o755); err != nil {
				t.Fatal(err)
			}
		}
		moved := strings.NewReplacer(" /etc/", " "+root+"/etc/", " /run/", " "+root+"/run/").Replace(string(script))
		cmd := exec.Command("sh", "-c", moved, "prerm", "remove")
		cmd.Env = append(os.Environ(), "PATH="+root+"/bin:"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("with its folder there: %v, prerm remove: %v %s", configured, err, out)
		}
		if asked, err := os.ReadFile(root + "/asked"); err != nil || !strings.HasSuffix(string(asked), "stop turnpike-listen.service turnpike.service\n") {
			t.Errorf("systemctl was asked %q, %v", asked, err)
		}
		if _, err := os.Stat(root + "/etc/turnpike/.was-running"); (err == nil) != configured {
			t.Errorf("with its folder there: %v, what is remembered: %v", configured, err)
		}
	}
}

// TestVersions: what is built after a tag is newer than the tag to a package manager, for which a "-" begins something older.
func TestVersions(t *testing.T) {
	for _, program := range []string{"make", "git"} {
		if _, err := exec.LookPath(program); err != nil {
			cannot(t, err)
		}
	}
	makefile, err := filepath.Abs("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "MAKEFLAGS=") // make may run this test
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %q: %v", name, args, err)
		}
		return string(out)
	}
	commit := func() {
		run("git", "-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false", "commit", "-q", "--allow-empty", "-m", "x")
	}
	version := func() string {
		found := regexp.MustCompile(`(?m)^VERSION := (.*)$`).FindStringSubmatch(run("make", "-f", makefile, "-pn", "help"))
		if found == nil {
			t.Fatal("the Makefile has no VERSION")
		}
		return found[1]
	}
	run("git", "init", "-q")
	commit()
	if got := version(); !regexp.MustCompile(`^v0\.0\.0-dev\.1\.g[0-9a-f]+$`).MatchString(got) {
		t.Errorf("without a tag: %s", got)
	}
	run("git", "tag", "v1.2.3")
	if got := version(); got != "v1.2.3" {
		t.Errorf("at the tag: %s", got)
	}
	commit()
	if got := version(); !regexp.MustCompile(`^v1\.2\.3\+1\.g[0-9a-f]+$`).MatchString(got) {
		t.Errorf("after the tag: %s", got)
	}
}
