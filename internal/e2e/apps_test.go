//go:build linux

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// TestApps installs the SDK's npm package from its tarball into apps of another origin, as a developer does, and opens them.
func TestApps(t *testing.T) {
	need(t, "node", "npm", "chromium", "certutil")
	lab := netlab.New(t)
	host := lab.Public("host")
	const app = "http://localhost:9000"
	folder := installPackage(t)
	d, place := newDriver(t, nil), chromiumAt(t, host, nil)
	for _, scenario := range []string{"bundled", "react", "people", "vue", "node", "documented"} {
		t.Run(scenario, func(t *testing.T) {
			serveLocally(t, host, "--http-allowed-origins", app)
			d.play(t, scenario, map[string]any{"place": place, "url": localURL, "app": app, "folder": folder}, nil)
		})
	}
}

// installPackage builds the SDK's npm package, and returns a folder into which npm has installed it.
func installPackage(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	run := func(name string, args ...string) string {
		ctx, cancel := within(t, 2*time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	tarball := run("node", "../../web/npm/build.mjs", "v1.2.3", folder)
	if want := filepath.Join(folder, "turnpike-client-1.2.3.tgz"); tarball != want {
		t.Fatalf("the package is %s, not %s", tarball, want)
	}
	run("npm", "install", "--prefix", folder, "--offline", "--no-audit", "--no-fund", tarball)
	return folder
}
