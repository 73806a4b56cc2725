//go:build linux

package e2e

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// listens has the units of turnpike listen run as docs/forward.md says, of the system and of a user: a laptop behind a NAT reaches a port that
// is open to this machine alone, also after a restart.
func (m *machine) listens(t *testing.T, lab *netlab.Lab, trusted *authority, name string) {
	t.Helper()
	const root = "SSL_CERT_FILE=/usr/local/share/root.pem"
	link := regexp.MustCompile(`https://\S+#invite=\S+`).FindString(m.run(t, "turnpike invite --config /etc/turnpike/turnpike.toml --room home --uses 3"))
	if link == "" {
		t.Fatal("turnpike invite prints no link")
	}
	join := " " + root + " TURNPIKE_INVITE='" + link + "' turnpike join --server https://" + name + " --name "
	allow := `printf 'TURNPIKE_LISTEN="--allow localhost:9090 --from laptop"\n` + root + `\n'`

	m.run(t, "mkdir -p /etc/turnpike /var/lib/turnpike-listen && env XDG_CONFIG_HOME=/var/lib/turnpike-listen"+join+"nas")
	m.run(t, allow+" > /etc/turnpike/listen.env && systemctl enable --now turnpike-listen")

	// A user's manager as user@.service has it, without a session.
	const as = "setpriv --reuid ann --regid ann --clear-groups env HOME=/home/ann XDG_RUNTIME_DIR=/run/ann "
	m.run(t, "useradd -m ann && install -d -o ann -g ann -m 700 /run/ann")
	m.run(t, "systemd-run --quiet --unit=ann --uid=ann -p Delegate=yes -p Type=notify --setenv=HOME=/home/ann --setenv=XDG_RUNTIME_DIR=/run/ann /lib/systemd/systemd --user")
	m.run(t, as+join+"desk")
	m.run(t, as+`sh -c "`+strings.NewReplacer(`"`, `\"`).Replace(allow)+` > ~/.config/turnpike/listen.env && systemctl --user enable --now turnpike-listen"`)

	laptop := openTerminal(t, lab.Behind(netlab.Symmetric, "laptop"), trusted, link)
	laptop.start(t, nil, "join", "--name", "laptop").exits(t, 0)
	laptop.env = append(laptop.env, "TURNPIKE_INVITE=")
	for there, restart := range map[string]string{"nas": "systemctl restart turnpike-listen", "desk": as + "systemctl --user restart turnpike-listen"} {
		forwarding := laptop.start(t, nil, "forward", "-L", "0:localhost:9090", "--wait", "40s", there)
		to := forwarding.forwarded(t, "localhost:9090")
		for _, after := range []string{"", restart} {
			if after != "" {
				m.run(t, after)
			}
			browser := client(laptop.host, to, nil)
			browser.Timeout = 50 * time.Second
			browser.Transport.(*http.Transport).DisableKeepAlives = true
			resp, err := browser.Get("http://" + to.String() + "/metrics")
			if err != nil {
				t.Fatalf("%s, %q: %v; forward says %q", there, after, err, forwarding.stderr.String())
			}
			page, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || !strings.Contains(string(page), "turnpike_") {
				t.Errorf("%s, %q: %v, %.200q", there, after, err, page)
			}
		}
		forwarding.interrupt(t)
		forwarding.exits(t, 0)
	}
	m.run(t, as+"systemctl --user disable --now turnpike-listen && systemctl stop ann && userdel -r ann 2>/dev/null && rm -rf /run/ann")
}
