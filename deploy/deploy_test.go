// Package deploy_test holds that the files here work: systemd accepts the unit
// and finds it well confined, and the sample configuration has the program's keys
// and defaults.
package deploy_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// maxExposure is on the scale of "systemd-analyze security", 0 to 10. A relay
// cannot do without the rest, above all the network.
const maxExposure = 2.5

// cannot skips a test that this machine cannot run, or fails it in CI.
func cannot(t *testing.T, why ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why...)
	}
	t.Skip(why...)
}

func systemdAnalyze(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("systemd-analyze")
	if err != nil {
		cannot(t, "no systemd-analyze to check the unit (Debian has it in the package systemd)")
	}
	return path
}

// unitFile is a unit, and the command that it starts.
type unitFile struct{ name, command string }

// units are those for the system's manager.
var units = []unitFile{
	{"turnpike.service", "/usr/bin/turnpike serve --config /etc/turnpike/turnpike.toml"},
	{"turnpike-listen.service", "/usr/bin/turnpike listen $TURNPIKE_LISTEN"},
}

// userUnit is for a user's manager.
var userUnit = unitFile{"turnpike-listen.user.service", "/usr/bin/turnpike listen $TURNPIKE_LISTEN"}

// installable copies a unit to a directory of its own, with the path of a program
// that exists: verify refuses any other.
func (u unitFile) installable(t *testing.T) string {
	t.Helper()
	unit, err := os.ReadFile(u.name)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	installed := "ExecStart=" + u.command + "\n"
	if bytes.Count(unit, []byte("ExecStart=")) != 1 || !bytes.Contains(unit, []byte(installed)) {
		t.Fatalf("the unit does not start the program with exactly %q", strings.TrimSpace(installed))
	}
	unit = bytes.Replace(unit, []byte("ExecStart=/usr/bin/turnpike "), []byte("ExecStart="+self+" "), 1)
	path := filepath.Join(t.TempDir(), strings.Replace(u.name, ".user.", ".", 1))
	if err := os.WriteFile(path, unit, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnitVerifies(t *testing.T) {
	for _, unit := range units {
		t.Run(unit.name, func(t *testing.T) { verify(t, unit.installable(t)) })
	}
	t.Run(userUnit.name, func(t *testing.T) { verify(t, userUnit.installable(t), "--user") })
}

func verify(t *testing.T, unit string, args ...string) {
	t.Helper()
	// Some versions complain without a bad exit status.
	cmd := exec.Command(systemdAnalyze(t), append(args, "verify", "--man=no", "--recursive-errors=no", unit)...)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir()) // a user's manager has one
	out, err := cmd.CombinedOutput()
	if err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestOffloadDropIn holds that systemd accepts the unit with offload.conf, and that this gives the capabilities for
// forwarding in the kernel. A test of turnserver/offload holds which those are.
func TestOffloadDropIn(t *testing.T) {
	dropIn, err := os.ReadFile("offload.conf")
	if err != nil {
		t.Fatal(err)
	}
	for setting, why := range map[string]string{
		"AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN":   "the process has them",
		"CapabilityBoundingSet=CAP_BPF CAP_PERFMON CAP_NET_ADMIN": "and may have them",
		"SystemCallFilter=bpf": "the unit's own filter refuses bpf(2)",
	} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(setting) + `$`).Match(dropIn) {
			t.Errorf("no %s: %s", setting, why)
		}
	}
	unit := units[0].installable(t)
	if err := os.Mkdir(unit+".d", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(unit+".d", "offload.conf"), dropIn, 0o644); err != nil {
		t.Fatal(err)
	}
	verify(t, unit)
}

func TestUnitExposure(t *testing.T) {
	for _, unit := range units {
		t.Run(unit.name, func(t *testing.T) { judgeExposure(t, unit) })
	}
}

func judgeExposure(t *testing.T, unit unitFile) {
	analyze := systemdAnalyze(t)
	out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", unit.installable(t)).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("systemd-analyze security gives no exposure:\n%s", out)
	}
	exposure, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("exposure %.1f of 10", exposure)
	if exposure >= maxExposure {
		t.Errorf("exposure %.1f, want under %.1f\n%s", exposure, maxExposure, out)
	}
}

// TestUnitSettings holds the settings that the program needs and systemd does not check.
func TestUnitSettings(t *testing.T) {
	unit, err := os.ReadFile("turnpike.service")
	if err != nil {
		t.Fatal(err)
	}
	for setting, why := range map[string]string{
		"ExecReload=/bin/sh -c 'kill -HUP $MAINPID'": "a certificate can be read again",
		"WatchdogSec=60": "a server that hangs is started anew",
		"LoadCredential=turn.shared_secrets:turnpike.shared_secrets": "secrets reach the service and nobody else",
		"LoadCredential=auth.api_keys:turnpike.api_keys":             "likewise",
		"Type=notify":                                                 "the server says when it is ready",
		"DynamicUser=yes":                                             "it runs unprivileged",
		"StateDirectory=turnpike":                                     "the secret outlives a restart",
		"AmbientCapabilities=CAP_NET_BIND_SERVICE":                    "it may serve 443",
		"CapabilityBoundingSet=CAP_NET_BIND_SERVICE":                  "and has no other privilege",
		"RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX": "Go lists interfaces over netlink, and readiness goes over a local socket",
		"EnvironmentFile=-/etc/turnpike/turnpike.env":                 "secrets stay out of a file that everyone can read",
		"SystemCallFilter=@system-service":                            "the filter begins with the allowed calls",
		"SystemCallErrorNumber=EPERM":                                 "a refused call returns an error and does not kill the process",
		"ProtectSystem=strict":                                        "it writes only to its state directory",
		"WantedBy=multi-user.target":                                  "it can be enabled",
	} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(setting) + `$`).Match(unit) {
			t.Errorf("no %s: %s", setting, why)
		}
	}
}

// TestListenUnits holds what "turnpike listen" needs of its units, which systemd does not check.
func TestListenUnits(t *testing.T) {
	for name, settings := range map[string][]string{
		"turnpike-listen.service": {
			"EnvironmentFile=/etc/turnpike/listen.env",       // who may come is a file's, and no file is no service
			"DynamicUser=yes",                                // it runs unprivileged
			"StateDirectory=turnpike-listen",                 // the machine's key outlives a restart
			"Environment=XDG_CONFIG_HOME=%S/turnpike-listen", // and is found there
			"CapabilityBoundingSet=",
			"RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX", // netlink tells of changes of the network
			"WantedBy=multi-user.target",
		},
		userUnit.name: {
			"EnvironmentFile=%E/turnpike/listen.env",
			"NoNewPrivileges=yes",
			"RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX",
			"WantedBy=default.target",
		},
	} {
		unit, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, setting := range append(settings, "Type=exec", "Restart=on-failure", "SystemCallErrorNumber=EPERM", "UMask=0077") {
			if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(setting) + `$`).Match(unit) {
				t.Errorf("%s has no %s", name, setting)
			}
		}
	}
}

// TestSampleConfiguration compares the sample, with its keys uncommented, with
// the defaults that the program prints.
func TestSampleConfiguration(t *testing.T) {
	// go test caches a result by the files that the test itself opens. It would not
	// notice a change of the program that the test builds.
	if _, err := os.ReadDir("../cmd/turnpike"); err != nil {
		t.Fatal(err)
	}
	turnpike := program(t)
	text, err := os.ReadFile("turnpike.toml")
	if err != nil {
		t.Fatal(err)
	}
	uncommented := regexp.MustCompile(`(?m)^#([a-z_]+ = )`).ReplaceAll(text, []byte("$1"))
	sample, defaults := decode(t, uncommented), decode(t, config(t, turnpike))
	if sample["state_dir"] != "/var/lib/turnpike" {
		t.Errorf("state_dir is %v; it must be the unit's StateDirectory", sample["state_dir"])
	}
	delete(sample, "state_dir")
	delete(defaults, "state_dir")
	compare(t, "", sample, defaults)

	asInstalled := decode(t, config(t, turnpike, "--config", "turnpike.toml"))
	delete(asInstalled, "state_dir")
	compare(t, "as installed: ", asInstalled, defaults)
}

// program builds turnpike as it is shipped, and as other tests build it.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "turnpike")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "example.org/turnpike/cmd/turnpike")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// config returns the output of "turnpike config" in an environment without settings.
func config(t *testing.T, turnpike string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(turnpike, append([]string{"config"}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if len(args) == 0 {
		cmd.Dir = t.TempDir() // It has no turnpike.toml.
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("turnpike config: %v\n%s", err, stderr.Bytes())
	}
	return out
}

func decode(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := toml.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return v
}

func compare(t *testing.T, table string, sample, defaults map[string]any) {
	t.Helper()
	for key, want := range defaults {
		got, ok := sample[key]
		inner, isTable := want.(map[string]any)
		gotInner, gotTable := got.(map[string]any)
		switch {
		case !ok:
			t.Errorf("%s%s is missing from deploy/turnpike.toml; its default is %v", table, key, want)
		case isTable && gotTable:
			compare(t, table+key+".", gotInner, inner)
		case !reflect.DeepEqual(got, want):
			t.Errorf("%s%s is %v; the default is %v", table, key, got, want)
		}
	}
	for key := range sample {
		if _, ok := defaults[key]; !ok {
			t.Errorf("%s%s is unknown to the program", table, key)
		}
	}
}
