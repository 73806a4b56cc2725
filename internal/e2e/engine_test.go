//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// engine is podman with a store of its own, whose containers are on a host of the lab. Images are built on this machine, since what they
// install comes from outside of the lab.
type engine struct {
	program string // a script in podman's place
	tree    string // a copy of the sources, which the image is built from
	said    string // by the last command
}

// TestEngine builds deploy/Containerfile and runs deploy/compose.yaml by the commands that deploy/README.md has, with podman. Two people
// behind symmetric NATs call each other through the two ports that the engine publishes. The image that the Containerfile begins with comes
// from a registry; here it is made of this machine's Debian and Go.
//
// It runs by `make containers`, since that image takes half a minute to make.
func TestEngine(t *testing.T) {
	if os.Getenv("TURNPIKE_CONTAINERS") == "" {
		t.Skip("make containers runs it")
	}
	need(t, "node", "chromium", "certutil", "debootstrap", "git", "iptables", "/usr/lib/podman/netavark", "nsenter", "podman", "podman-compose", "prlimit", "runc")
	lab := netlab.New(t)
	host := lab.Public("host")
	lab.AddName(publicName, host)
	directory := startDirectory(t, lab)
	e := newEngine(t, host)
	e.makeBase(t)
	e.override(t, host, directory)
	up := e.documented(t, "up --build --detach", host)
	e.run(t, up)
	e.judge(t)
	trusted := directory.trusted(t)
	outside := lab.Public("outside")
	web := client(outside, netip.AddrPortFrom(host.Addr(), 443), trusted)
	ready := func() bool {
		resp, err := web.Get(publicURL + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == 200
	}
	eventually(t, time.Minute, "the container serves", ready)
	link := linkIn(t, e.run(t, e.documented(t, "invite", host)))
	var people []person
	for _, name := range []string{"ann", "ben"} {
		people = append(people, person{chromiumAt(t, lab.Behind(netlab.Symmetric, name), trusted), name, link, "UDP"})
	}
	drive(t, "meet", map[string]any{"people": people, "path": "relayed"})

	check := func() {
		t.Helper()
		ctx, cancel := within(t, time.Minute)
		defer cancel()
		cmd := outside.Command(ctx, turnpike, "check", link, "--timeout", "3s", "--closed-relay-ports")
		cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "SSL_CERT_FILE="+trusted.caFile)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("check: %v\n%s", err, out)
		}
	}
	check()
	compose := e.compose()
	if out := e.run(t, compose+" exec turnpike /turnpike drain"); !strings.Contains(out, "drained in") { // as preStop does
		t.Errorf("drain: %s", out)
	}
	e.run(t, compose+" down && "+up) // an upgrade: the volume stays
	eventually(t, time.Minute, "the container serves again", ready)
	check() // with the link of before
	e.run(t, compose+" down --volumes")
}

// run runs a line of a shell in the copy of the tree.
func (e *engine) run(t *testing.T, line string) string {
	t.Helper()
	ctx, cancel := within(t, 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-ec", line)
	cmd.Dir = e.tree
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	e.said = string(out)
	return e.said
}

// newEngine makes an empty store, and a copy of what git knows of the tree, also if it is not committed.
func newEngine(t *testing.T, host *netlab.Host) *engine {
	t.Helper()
	dir := worldReadable(t)
	e := &engine{program: filepath.Join(dir, "podman"), tree: filepath.Join(dir, "tree")}
	var cache struct{ GOMODCACHE, GOCACHE string }
	if err := json.Unmarshal([]byte(stdout(t, exec.Command("go", "env", "-json", "GOMODCACHE", "GOCACHE"))), &cache); err != nil {
		t.Fatal(err)
	}
	// runc, as crun refuses machines with both kinds of cgroups. The network namespace alone is the host's: "ip netns exec" hides cgroups, too.
	script := fmt.Sprintf(`#!/bin/sh
podman="podman --root %[1]s/store --runroot %[1]s/run --tmpdir %[1]s/tmp --network-config-dir %[1]s/net --network-backend netavark --cgroup-manager cgroupfs --runtime runc"
case $1 in
build) shift; exec $podman build --isolation chroot -v %[2]s:/go/pkg/mod -v %[3]s:/root/.cache/go-build "$@" ;;
esac
exec nsenter --net=/run/netns/%[4]s $podman "$@"
`, dir, cache.GOMODCACHE, cache.GOCACHE, host.Namespace())
	if err := os.WriteFile(e.program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	shell(t, "sh", "-ec", `git -C ../.. ls-files --cached --others --exclude-standard -z | (cd ../.. && xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' sh) |
		tar -C ../.. --null -T - -c | (mkdir "$1" && tar -C "$1" -x)`, "sh", e.tree)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command(e.program, "logs", "--latest").CombinedOutput()
			t.Logf("the last command said\n%s\nand the server's log has\n%s", e.said, out)
		}
		for _, args := range [][]string{{"rm", "--all", "--force", "--time", "1"}, {"volume", "rm", "--all", "--force"}, {"rmi", "--all", "--force"}} {
			if out, err := exec.Command(e.program, args...).CombinedOutput(); err != nil {
				t.Logf("podman %s: %v\n%s", strings.Join(args, " "), err, out)
			}
		}
		_ = exec.Command("umount", filepath.Join(dir, "store/overlay")).Run() // which podman mounts on itself
	})
	return e
}

// makeBase makes the image that the Containerfile begins with, by its name there.
func (e *engine) makeBase(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	from := regexp.MustCompile(`(?m)^FROM (\S+) AS build$`).FindSubmatch(text)
	if from == nil {
		t.Fatal("deploy/Containerfile builds from no image")
	}
	shell(t, "sh", "-ec", `tar -C "$1" -c . | "$2" import --change ENV=GOPATH=/go --change ENV=PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin - debian`, "sh", rootfs(t), e.program)
	goroot := strings.TrimSpace(stdout(t, exec.Command("go", "env", "GOROOT")))
	file := filepath.Join(filepath.Dir(e.program), "Containerfile")
	if err := os.WriteFile(file, []byte("FROM localhost/debian\nCOPY . /usr/local/go\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	shell(t, e.program, "build", "-q", "-f", file, "-t", string(from[1]), goroot)
}

// override writes what a lab needs beside deploy/compose.yaml: names, the directory for certificates, and where this machine may not give
// more files to a process, fewer.
func (e *engine) override(t *testing.T, host *netlab.Host, directory *acmeDirectory) {
	t.Helper()
	shell(t, "install", "-m", "644", directory.ca.caFile, filepath.Join(e.tree, "deploy/directory.pem"))
	names, err := os.ReadFile("/etc/netns/" + host.Namespace() + "/hosts")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "services:\n  turnpike:\n    environment:\n      TURNPIKE_TLS_ACME_DIRECTORY: %s\n      TURNPIKE_TLS_ACME_CA_FILE: /etc/directory.pem\n", directory.url)
	b.WriteString("    volumes:\n      - ./directory.pem:/etc/directory.pem:ro\n    extra_hosts:\n")
	for line := range strings.Lines(string(names)) {
		if words := strings.Fields(line); len(words) > 1 && netip.MustParseAddr(words[0]).Is4() {
			fmt.Fprintf(&b, "      - \"%s:%s\"\n", words[1], words[0])
		}
	}
	if exec.Command("prlimit", "--nofile=524288:524288", "true").Run() != nil {
		files := stdout(t, exec.Command("prlimit", "--nofile", "--noheadings", "--raw", "--output", "HARD"))
		fmt.Fprintf(&b, "    ulimits:\n      nofile: %s\n      nproc: 4096\n", strings.TrimSpace(files))
	}
	if err := os.WriteFile(filepath.Join(e.tree, "deploy/override.yaml"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// compose is the beginning of each documented command, as podman has it.
func (e *engine) compose() string {
	return "podman-compose --podman-path " + e.program + " -f deploy/compose.yaml -f deploy/override.yaml"
}

// documented is the line of deploy/README.md with these words, for podman, after the line that says where the server is.
func (e *engine) documented(t *testing.T, words string, host *netlab.Host) string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "   #")
		if strings.HasPrefix(line, "printf ") && strings.HasSuffix(strings.TrimSpace(line), "> deploy/.env") {
			line = regexp.MustCompile(`PUBLIC_HOST=\S+`).ReplaceAllString(line, "PUBLIC_HOST="+publicName)
			found = append(found, regexp.MustCompile(`PUBLIC_ADDRESS=\S+`).ReplaceAllString(line, "PUBLIC_ADDRESS="+host.Addr().String()))
		}
		if rest, ok := strings.CutPrefix(line, "docker compose -f deploy/compose.yaml"); ok && strings.Contains(line, words) {
			found = append(found, e.compose()+rest)
		}
	}
	if len(found) != 2 {
		t.Fatalf("deploy/README.md has the lines %q for %q", found, words)
	}
	return strings.Join(found, " && ")
}

// judge looks at the image, whose capabilities an engine must keep, and at the process: a user without privileges.
func (e *engine) judge(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	mounted := strings.TrimSpace(stdout(t, exec.CommandContext(ctx, e.program, "image", "mount", "localhost/turnpike")))
	if got := stdout(t, exec.CommandContext(ctx, "getcap", filepath.Join(mounted, "turnpike"))); !strings.Contains(got, "cap_net_bind_service") || !strings.HasSuffix(strings.TrimSpace(got), "=p") {
		t.Errorf("the program's capabilities are %s", got)
	}
	var files []string
	for line := range strings.Lines(stdout(t, exec.CommandContext(ctx, "find", mounted, "-type", "f", "-printf", "%P %U\n"))) {
		files = append(files, strings.TrimSpace(line))
	}
	slices.Sort(files)
	if want := []string{"etc/ssl/certs/ca-certificates.crt 0", "turnpike 0"}; !slices.Equal(files, want) {
		t.Errorf("the image has the files %q, want %q", files, want)
	}
	shell(t, e.program, "image", "unmount", "localhost/turnpike")
	pid := strings.TrimSpace(stdout(t, exec.CommandContext(ctx, e.program, "ps", "--format", "{{.Pid}}")))
	status, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Uid:\t65532\t65532\t65532\t65532", "NoNewPrivs:\t1", "CapBnd:\t0000000000000400"} {
		if !strings.Contains(string(status), want+"\n") {
			t.Errorf("the process has no %q:\n%s", want, status)
		}
	}
}
