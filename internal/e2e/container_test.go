//go:build linux

package e2e

import (
	"errors"
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

// image is what deploy/Containerfile makes: the root, and how a container of it starts.
type image struct {
	root string
	user string
	env  []string
	path string // of the program in the root
	args []string
}

// imageOf makes the root that the last stage of deploy/Containerfile describes, with the program under test.
func imageOf(t *testing.T) *image {
	t.Helper()
	text, err := os.ReadFile("../../deploy/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	build, last, found := strings.Cut(string(text), "\nFROM scratch\n")
	if !found || strings.Contains(last, "\nFROM ") {
		t.Fatal("the last stage of deploy/Containerfile is not FROM scratch")
	}
	capabilities := regexp.MustCompile(`(?m)^RUN setcap (\S+) /out/turnpike$`).FindStringSubmatch(build)
	if capabilities == nil {
		t.Fatal("deploy/Containerfile gives the program no capabilities")
	}
	i := &image{root: filepath.Join(worldReadable(t), "root")}
	in := func(path string) string { return filepath.Join(i.root, path) }
	for line := range strings.Lines(last) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		list := regexp.MustCompile(`"([^"]*)"`).FindAllStringSubmatch(line, -1)
		switch words[0] {
		case "COPY":
			from, to := words[len(words)-2], words[len(words)-1]
			owner := strings.TrimPrefix(words[2], "--chown=")
			switch {
			case from == "/out/state" && owner != words[2]:
				shell(t, "mkdir", "-p", in(to))
				shell(t, "chown", owner, in(to))
			case from == "/out/turnpike":
				shell(t, "install", "-D", "-m", "755", turnpike, in(to))
				shell(t, "setcap", capabilities[1], in(to))
			default:
				shell(t, "install", "-D", "-m", "644", from, in(to))
			}
		case "ENV":
			i.env = append(i.env, words[1:]...)
		case "USER":
			i.user = words[1]
		case "ENTRYPOINT":
			i.path = list[0][1]
		case "CMD":
			for _, word := range list {
				i.args = append(i.args, word[1])
			}
		case "VOLUME", "EXPOSE":
		default:
			t.Fatalf("deploy/Containerfile: what does %s mean?", words[0])
		}
	}
	if i.path == "" || !regexp.MustCompile(`^[1-9][0-9]*:[1-9][0-9]*$`).MatchString(i.user) {
		t.Fatalf("the image starts %q as %q", i.path, i.user)
	}
	// What every engine adds.
	shell(t, "mkdir", "-p", in("proc"), in("etc"))
	return i
}

// shell runs a program of this machine.
func shell(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// command starts the program in the root as an engine does: read-only but for the volume, as the image's user, without privileges.
func (i *image) command(env, args []string) []string {
	script := `mount --bind "$0" "$0" && mount --bind "$0/var/lib/turnpike" "$0/var/lib/turnpike" && mount -o remount,bind,ro "$0" && mount -t proc proc "$0/proc" &&
		exec setpriv --bounding-set=-all,+net_bind_service,+sys_chroot,+setuid,+setgid --no-new-privs chroot --userspec="$1" --groups= "$0" "${@:2}"`
	line := []string{"unshare", "--mount", "--propagation", "private", "env", "-i", "PATH=" + os.Getenv("PATH")}
	line = append(append(line, i.env...), env...)
	return append(append(line, "bash", "-c", script, i.root, i.user, i.path), args...)
}

// exec is a command in a running container, as `docker compose exec` runs it.
func (i *image) exec(t *testing.T, s *server, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := within(t, time.Minute)
	defer cancel()
	line := append([]string{"-t", fmt.Sprint(s.proc.Pid), "--mount", "--net", "--", "env", "-i", "PATH=" + os.Getenv("PATH")}, append(slices.Clone(i.env), env...)...)
	line = append(line, "chroot", "--userspec="+i.user, "--groups=", i.root, i.path)
	return stdout(t, exec.CommandContext(ctx, "nsenter", append(line, args...)...))
}

// composeEnvironment is the environment that deploy/compose.yaml gives the container.
func composeEnvironment(t *testing.T, host string, address netip.Addr) (env []string) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	filled := regexp.MustCompile(`\$\{PUBLIC_HOST:[^}]*\}`).ReplaceAllString(string(text), host)
	filled = regexp.MustCompile(`\$\{PUBLIC_ADDRESS:[^}]*\}`).ReplaceAllString(filled, address.String())
	for _, row := range regexp.MustCompile(`(?m)^      (TURNPIKE_[A-Z_]+): (.*)$`).FindAllStringSubmatch(filled, -1) {
		env = append(env, row[1]+"="+strings.Trim(row[2], `"`))
	}
	if len(env) < 3 || strings.Contains(strings.Join(env, " "), "$") {
		t.Fatalf("deploy/compose.yaml gives %q", env)
	}
	return env
}

// contain starts a server in a container on host, as deploy/compose.yaml has it, with a certificate of the directory.
func contain(t *testing.T, lab *netlab.Lab, host *netlab.Host, hides bool) (*image, *server, []string, *authority) {
	t.Helper()
	lab.AddName(publicName, host)
	directory := startDirectory(t, lab)
	inside := lab.Container(host, "container", []uint16{443, 3478}, []uint16{3478}, hides)
	i := imageOf(t)
	shell(t, "install", "-m", "644", directory.ca.caFile, filepath.Join(i.root, "etc/directory.pem"))
	shell(t, "install", "-m", "644", "/etc/netns/"+inside.Namespace()+"/hosts", filepath.Join(i.root, "etc/hosts"))
	env := append(composeEnvironment(t, publicName, host.Addr()), "TURNPIKE_TLS_ACME_DIRECTORY="+directory.url, "TURNPIKE_TLS_ACME_CA_FILE=/etc/directory.pem")

	missing := slices.DeleteFunc(slices.Clone(env), func(v string) bool { return strings.HasPrefix(v, "TURNPIKE_TURN_EXTERNAL_ADDRESSES=") })
	ctx, cancel := within(t, time.Minute)
	defer cancel()
	line := i.command(missing, i.args)
	if out, err := inside.Command(ctx, line[0], line[1:]...).CombinedOutput(); err == nil || !strings.Contains(string(out), "does not tell by which address the world knows this container") {
		t.Fatalf("without its public address it starts: %v\n%s", err, out)
	}
	trusted := directory.trusted(t)
	s := serveCommand(t, inside, publicURL, netip.AddrPortFrom(inside.Addr(), 443), trusted, i.command(env, i.args)...)
	return i, s, env, trusted
}

// TestContainer runs the image as deploy/compose.yaml does: as a user without privileges, on a read-only root, with two published ports
// and no range. People behind symmetric NATs call each other through it, since two relays of one server meet in memory.
func TestContainer(t *testing.T) {
	need(t, "node", "chromium", "certutil", "setpriv", "setcap", "unshare", "nsenter")
	lab := netlab.New(t)
	host := lab.Public("host")
	i, s, env, trusted := contain(t, lab, host, false)
	runs := 1
	if os.Getenv("TURNPIKE_CONTAINERS") != "" {
		runs = 8
	}
	var people []person
	for _, name := range []string{"ann", "ben"} {
		people = append(people, person{chromiumAt(t, lab.Behind(netlab.Symmetric, name), trusted), name, "", "UDP"})
	}
	for n := range runs {
		link := linkIn(t, i.exec(t, s, env, "invite", "--room", fmt.Sprintf("lobby-%d", n)))
		for p := range people {
			people[p].URL = link
		}
		drive(t, "meet", map[string]any{"people": people, "path": "relayed"})
	}

	link := linkIn(t, i.exec(t, s, env, "invite", "--room", "check"))
	outside := lab.Public("outside")
	check := func(args ...string) (string, error) {
		ctx, cancel := within(t, time.Minute)
		defer cancel()
		cmd := outside.Command(ctx, turnpike, append([]string{"check", link, "--timeout", "3s"}, args...)...)
		cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "SSL_CERT_FILE="+trusted.caFile)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := check(); err == nil || !strings.Contains(out, "FAIL relay udp") {
		t.Errorf("closed relay ports: %v\n%s", err, out)
	}
	if out, err := check("--closed-relay-ports"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}

	// A newer image has the same volume: links go on.
	secret, err := os.ReadFile(filepath.Join(i.root, "var/lib/turnpike/secret"))
	if err != nil {
		t.Fatal(err)
	}
	if out := i.exec(t, s, env, "drain"); !strings.Contains(out, "drained in") { // what preStop calls
		t.Errorf("drain: %s", out)
	}
	s.restart(t)
	if now, err := os.ReadFile(filepath.Join(i.root, "var/lib/turnpike/secret")); err != nil || string(now) != string(secret) {
		t.Errorf("the secret is another: %v", err)
	}
	if out, err := check("--closed-relay-ports"); err != nil {
		t.Errorf("after the upgrade: %v\n%s", err, out)
	}
}

// TestContainerGateway: where a gateway puts its own address in the place of all clients', check says so.
func TestContainerGateway(t *testing.T) {
	need(t, "setpriv", "setcap", "unshare", "nsenter")
	lab := netlab.New(t)
	i, s, env, trusted := contain(t, lab, lab.Public("host"), true)
	link := linkIn(t, i.exec(t, s, env, "invite", "--room", "check"))
	ctx, cancel := within(t, time.Minute)
	defer cancel()
	cmd := lab.Public("outside").Command(ctx, turnpike, "check", link, "--timeout", "3s", "--closed-relay-ports")
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "SSL_CERT_FILE="+trusted.caFile)
	out, err := cmd.CombinedOutput()
	if _, failed := errors.AsType[*exec.ExitError](err); !failed || !strings.Contains(string(out), "FAIL gateway") || !strings.Contains(string(out), "as 172.18.0.1, a private address that this machine does not have") {
		t.Errorf("%v\n%s", err, out)
	}
}

// linkIn finds the link that `turnpike invite` prints.
func linkIn(t *testing.T, out string) string {
	t.Helper()
	link := regexp.MustCompile(`https://\S+#invite=\S+`).FindString(out)
	if link == "" {
		t.Fatalf("there is no link in %s", out)
	}
	return link
}
