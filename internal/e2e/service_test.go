//go:build linux

package e2e

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
	"example.org/turnpike/internal/pebble"
)

// TestService is the way of an operator, on a machine with a real systemd: install the package, run setup, and two people call each
// other by the link that it prints, through a certificate for a name; upgrade; purge; and all again for the bare IP address.
//
// It runs by `make service`, since it needs a root file system, which takes a minute to make, and half of one to boot and fill.
func TestService(t *testing.T) {
	if os.Getenv("TURNPIKE_SERVICE") == "" {
		t.Skip("make service runs it")
	}
	need(t, "node", "chromium", "certutil", "debootstrap", "systemd-nspawn", "nsenter", "make")
	lab := netlab.New(t)
	vps := lab.Public("vps")
	lab.AddName(publicName, vps)
	directory := startDirectory(t, lab)
	older, newer := buildDeb(t, "v0.0.1"), buildDeb(t, "v0.0.2")

	m := boot(t, lab, vps, map[string]string{
		older: "/root/older.deb", newer: "/root/newer.deb", directory.ca.caFile: "/usr/local/share/directory.pem", directory.rootFile: "/usr/local/share/root.pem",
	})
	install, setup := operatorLines(t)
	install = strings.Replace(install, "./turnpike_*.deb", "/root/older.deb", 1)
	setup += " --tls-acme-directory " + directory.url + " --tls-acme-ca-file /usr/local/share/directory.pem"
	for i, host := range []string{publicName, ""} {
		name := host
		if host == "" {
			name = vps.Addr().String()
		}
		m.run(t, install+" --yes")
		m.run(t, "dpkg -i /root/older.deb && cmp /usr/share/turnpike/turnpike.toml /etc/turnpike/turnpike.toml") // an upgrade of what nobody has set up
		m.run(t, setup+" --yes --dry-run")
		if out := m.run(t, "systemctl is-active turnpike || true"); strings.TrimSpace(out) == "active" {
			t.Error("a dry run has started the service")
		}
		out := m.run(t, "printf '"+host+`\ny\n' | `+setup)
		link := regexp.MustCompile(`(?m)^https://` + regexp.QuoteMeta(name) + `/r/lobby#invite=\S+$`).FindString(out)
		if link == "" {
			t.Fatalf("setup prints no link:\n%s", out)
		}
		trusted := &authority{caFile: directory.rootFile}
		m.meet(t, lab, trusted, link, i, netlab.Symmetric, "UDP")
		if i == 0 {
			m.listens(t, lab, directory.trusted(t), name)
		}
		if out := m.run(t, "SSL_CERT_FILE=/usr/local/share/root.pem turnpike check --config /etc/turnpike/turnpike.toml"); !strings.Contains(out, "checks passed") {
			t.Errorf("check: %s", out)
		}
		if out := m.run(t, setup+" --yes 2>&1 || true"); !strings.Contains(out, "writes over none") {
			t.Errorf("setup again: %s", out)
		}
		m.run(t, "systemctl reload turnpike")
		const secret = "a-secret-of-an-app-in-the-store"
		m.run(t, "install -d -m 700 /etc/credstore && echo "+secret+" | install -m 600 /dev/stdin /etc/credstore/turnpike.shared_secrets && systemctl restart turnpike")
		if out := m.run(t, "turnpike bench turn:127.0.0.1:3478 --secret "+secret+" --relayed --calls 1 --seconds 1"); out == "" {
			t.Error("the service does not take a secret of the credential store")
		}
		m.run(t, "rm -r /etc/credstore")
		m.run(t, "dpkg -i /root/newer.deb")
		if out := m.run(t, "journalctl -u turnpike --no-pager -o cat"); !strings.Contains(out, "turnpike v0.0.2") {
			t.Errorf("the newer version does not run:\n%s", out)
		}
		m.run(t, "apt-get remove -qy turnpike && ! systemctl is-active turnpike && dpkg -i /root/newer.deb && systemctl is-enabled turnpike && systemctl is-active turnpike")
		m.meet(t, lab, trusted, link, i+2, netlab.Only443, "TLS")
		m.run(t, "dpkg --purge turnpike")
		if left := m.run(t, "find / -xdev -iname '*turnpike*' -not -path '/root/*' -not -path '/proc/*' -not -path '/sys/*'"); left != "" {
			t.Errorf("a purge leaves\n%s", left)
		}
	}
}

// operatorLines are the two commands of README, without sudo, which the operator of a bare machine is told to type.
func operatorLines(t *testing.T) (install, setup string) {
	t.Helper()
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\$ sudo (apt install .*)\n\$ sudo (turnpike setup)$`).FindSubmatch(page)
	if found == nil {
		t.Fatal("README.md does not say how to install the package and set it up")
	}
	return string(found[1]), string(found[2])
}

// acmeDirectory is Pebble on a host of the lab.
type acmeDirectory struct {
	url, rootFile string // rootFile has the certificate that signs the server's
	ca            *authority
}

func startDirectory(t *testing.T, lab *netlab.Lab) *acmeDirectory {
	t.Helper()
	host := lab.Public("directory")
	const name = "directory.lab"
	lab.AddName(name, host)
	d := &acmeDirectory{url: "https://" + name + ":14000/dir", ca: newAuthority(t, name, host.Addr()), rootFile: filepath.Join(t.TempDir(), "root.pem")}
	api, management := host.Addr().String()+":14000", host.Addr().String()+":15000"
	file := pebble.Settings(t, t.TempDir(), api, management, d.ca.certFile, d.ca.keyFile, pebble.Options{HTTPPort: 80, TLSPort: 443})
	ctx, cancel := within(t, 20*time.Minute)
	cmd := host.Command(ctx, pebble.Binary(t), "-config", file)
	var out bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = pebble.Env(), &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Pebble:\n%s", out.Bytes()[max(0, out.Len()-4000):])
		}
	})
	client := client(host, netip.MustParseAddrPort(management), d.ca)
	var root []byte
	eventually(t, 30*time.Second, "Pebble answers", func() bool {
		resp, err := client.Get("https://" + name + ":15000/roots/0")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		root, err = io.ReadAll(resp.Body)
		return err == nil && x509.NewCertPool().AppendCertsFromPEM(root)
	})
	if err := os.WriteFile(d.rootFile, root, 0o644); err != nil {
		t.Fatal(err)
	}
	return d
}

// trusted is what a client trusts who trusts the directory.
func (d *acmeDirectory) trusted(t *testing.T) *authority {
	t.Helper()
	root, err := os.ReadFile(d.rootFile)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{caFile: d.rootFile, pool: x509.NewCertPool()}
	a.pool.AppendCertsFromPEM(root)
	return a
}

// eventually polls a condition.
func eventually(t *testing.T, d time.Duration, what string, done func() bool) {
	t.Helper()
	ctx, cancel := within(t, d)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %v", what, d)
		case <-tick.C:
		}
	}
}

// buildDeb builds the package, as that version.
func buildDeb(t *testing.T, version string) string {
	t.Helper()
	ctx, cancel := within(t, 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "make", "-C", "../..", "deb", "VERSION="+version).CombinedOutput(); err != nil {
		t.Fatalf("make deb: %v\n%s", err, out)
	}
	found, _ := filepath.Glob("../../bin/turnpike_" + strings.TrimPrefix(version, "v") + "_*.deb")
	if len(found) != 1 {
		t.Fatalf("make deb leaves %q", found)
	}
	t.Cleanup(func() { _ = os.Remove(found[0]) })
	return found[0]
}

// machine is a container with a systemd of its own, on a host of the lab.
type machine struct {
	root   string
	leader int // the process ID of its init
}

// rootfs returns a Debian with systemd, made once for this machine.
func rootfs(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = "/var/cache"
	}
	dir := filepath.Join(cache, "turnpike-test", "bookworm")
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	ctx, cancel := within(t, 10*time.Minute)
	defer cancel()
	made, err := os.MkdirTemp("", "turnpike-rootfs")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(made)
	cmd := exec.CommandContext(ctx, "debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,iproute2,ca-certificates", "bookworm", made)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("debootstrap: %v\n%s", err, out)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", made, dir).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	return dir
}

// boot starts systemd in a copy of the root file system, which has the files, and waits until it is up.
func boot(t *testing.T, lab *netlab.Lab, host *netlab.Host, files map[string]string) *machine {
	t.Helper()
	base := rootfs(t)
	ctx, cancel := within(t, 20*time.Minute)
	m := &machine{root: filepath.Join(t.TempDir(), "root")}
	copyTo := func(from, to string) {
		if out, err := exec.CommandContext(ctx, "cp", "-a", from, to).CombinedOutput(); err != nil {
			t.Fatalf("cp %s: %v\n%s", from, err, out)
		}
	}
	copyTo(base, m.root)
	for from, to := range files {
		copyTo(from, filepath.Join(m.root, to))
		if err := os.Chmod(filepath.Join(m.root, to), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	copyTo("/etc/netns/"+host.Namespace()+"/hosts", filepath.Join(m.root, "etc/hosts"))
	// ip netns exec gives a mount namespace with a fresh /sys, where a systemd needs the control groups.
	cmd := host.Command(ctx, "sh", "-c", `mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec systemd-nspawn --quiet --register=no --keep-unit --resolv-conf=off \
		--capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN --system-call-filter=bpf -D "$0" --boot`, m.root)
	var console output
	cmd.Stdout, cmd.Stderr = &console, &console
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if m.leader > 0 {
			_ = syscall.Kill(m.leader, syscall.SIGKILL) // and with it all of its namespace
		}
		_ = cmd.Wait()
		cancel()
		if t.Failed() {
			t.Logf("the console:\n%s", console.String())
		}
	})
	eventually(t, time.Minute, "systemd is up", func() bool {
		if m.leader == 0 {
			m.leader = initBelow(cmd.Process.Pid)
		}
		if m.leader == 0 {
			return false
		}
		state, _ := m.command(ctx, "systemctl is-system-running").Output()
		return strings.HasPrefix(string(state), "running") || strings.HasPrefix(string(state), "degraded")
	})
	return m
}

// initBelow finds the process below pid that is the first of its namespace.
func initBelow(pid int) int {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for child := range strings.FieldsSeq(string(children)) {
		n, err := strconv.Atoi(child)
		if err != nil {
			continue
		}
		status, _ := os.ReadFile("/proc/" + child + "/status")
		if regexp.MustCompile(`(?m)^NSpid:\t\d+\t1$`).Match(status) {
			return n
		}
		if found := initBelow(n); found != 0 {
			return found
		}
	}
	return 0
}

// command is a shell's command on the machine.
func (m *machine) command(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", "-t", strconv.Itoa(m.leader), "-m", "-p", "-n", "-u", "-i", "--", "env", "-i",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", line)
	cmd.Dir = "/"
	return cmd
}

// run runs a command as the operator would, and returns what it printed.
func (m *machine) run(t *testing.T, line string) string {
	t.Helper()
	ctx, cancel := within(t, 3*time.Minute)
	defer cancel()
	var stderr bytes.Buffer
	cmd := m.command(ctx, line)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		log, _ := m.command(ctx, "journalctl -u turnpike --no-pager -n 30").Output()
		t.Fatalf("%s: %v\n%s%s\nthe journal:\n%s", line, err, out, stderr.Bytes(), log)
	}
	return string(out)
}

// meet lets two people behind NATs of a kind call each other by a link, relayed over that transport on both sides.
func (m *machine) meet(t *testing.T, lab *netlab.Lab, trusted *authority, link string, i int, kind netlab.Kind, over string) {
	t.Helper()
	var people []person
	for _, name := range []string{"ann", "ben"} {
		host := lab.Behind(kind, fmt.Sprintf("%s%d", name, i))
		people = append(people, person{chromiumAt(t, host, trusted), name, link, over})
	}
	drive(t, "meet", map[string]any{"people": people, "path": "relayed"})
}
