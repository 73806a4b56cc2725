package setup

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"example.org/turnpike/deploy"
	"example.org/turnpike/internal/config"
)

// Installer makes a plan real.
type Installer struct {
	Root string // before every path; empty: the machine's own
	Self string // this program
	Run  func(ctx context.Context, name string, args ...string) error
}

// Step is one thing to do, with what a person must know of it.
type Step struct {
	Text   string
	Detail string // the content of a file, secrets hidden
	Last   bool   // after it, setup does not run again: the configuration is there
	Do     func(context.Context) error
}

// CheckFree complains where a configuration is there already. The one of the package, as it was installed, sets nothing.
func (i *Installer) CheckFree() error {
	switch there, err := os.ReadFile(i.at(ConfigFile)); {
	case err == nil && string(there) != deploy.Sample:
		return fmt.Errorf("%s is there already, and turnpike setup writes over none; edit it, or move it away. \"turnpike check\" tries the server that it describes", ConfigFile)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// Steps lists what makes the plan real. The configuration is the last file, since setup can be run again until that is there.
func (i *Installer) Steps(p *Plan) []Step {
	var steps []Step
	if len(p.Secrets) > 0 {
		text := "TURNPIKE_TURN_SHARED_SECRETS='[\"" + strings.Join(p.Secrets, `","`) + "\"]'\n"
		if there, err := os.ReadFile(i.at(EnvFile)); err == nil && string(there) != text {
			p.wrong("%s is there already, and does not have the secrets of --from alone; move it away, and afterwards add its lines to the new one", EnvFile)
		}
		steps = append(steps, i.fileStep(EnvFile, text, 0o600, "TURNPIKE_TURN_SHARED_SECRETS=[redacted]\n"))
	}
	if !i.exists(Program) {
		steps = append(steps, Step{Text: "copy this program to " + Program, Do: func(context.Context) error { return i.copySelf() }})
	} else if !i.isProgram() {
		p.note("%s is there already, and is another build than this program. The service runs that one: to install this one, remove it first", Program)
	}
	switch unit, err := os.ReadFile(i.at(UnitFile)); {
	case err == nil && string(unit) != deploy.Unit:
		p.note("%s is there already, and is another than that of this version. The service goes by that one: to have this one, remove it first, and put changes of yours into %s.d",
			UnitFile, UnitFile)
	case err == nil || i.exists(PackageUnit) || i.exists("/lib/systemd/system/turnpike.service"):
	default:
		steps = append(steps, i.fileStep(UnitFile, deploy.Unit, 0o644, ""))
	}
	if p.Config.TLS.Mode == config.TLSFiles {
		text := credentials(p.Config)
		steps = append(steps, i.fileStep(UnitFile+".d/certificate.conf", text, 0o644, text))
	}
	configuration := i.fileStep(ConfigFile, p.Text, 0o644, p.Text)
	configuration.Last = true
	steps = append(steps, configuration)
	run := func(name string, args ...string) {
		steps = append(steps, Step{Text: "run " + name + " " + strings.Join(args, " "), Do: func(ctx context.Context) error { return i.Run(ctx, name, args...) }})
	}
	run("systemctl", "daemon-reload")
	run("systemctl", "enable", "turnpike.service")
	run("systemctl", "restart", "turnpike.service")
	return steps
}

// credentials lets systemd read the certificate and its key, which the service's user may not.
func credentials(c *config.Config) string {
	return `# Made by turnpike setup: copies of the certificate and its key for the service, made when it starts.
# Restart the service when the certificate has been renewed.
[Service]
LoadCredential=cert.pem:` + unitPath(c.TLS.CertFile) + `
LoadCredential=key.pem:` + unitPath(c.TLS.KeyFile) + `
Environment=TURNPIKE_TLS_CERT_FILE=%d/cert.pem
Environment=TURNPIKE_TLS_KEY_FILE=%d/key.pem
`
}

// unitPath is a path as a unit has it, where "%" begins something else.
func unitPath(path string) string { return strings.ReplaceAll(path, "%", "%%") }

func (i *Installer) at(path string) string { return filepath.Join("/", i.Root, path) }

func (i *Installer) exists(path string) bool {
	_, err := os.Lstat(i.at(path))
	return err == nil
}

func (i *Installer) fileStep(path, text string, mode os.FileMode, detail string) Step {
	return Step{Text: "write " + path, Detail: detail, Do: func(context.Context) error {
		if err := os.MkdirAll(filepath.Dir(i.at(path)), 0o755); err != nil {
			return err
		}
		return replaceFile(i.at(path), strings.NewReader(text), mode)
	}}
}

// isProgram reports whether this program is the installed one.
func (i *Installer) isProgram() bool {
	self, err := os.ReadFile(i.Self)
	if err != nil {
		return false
	}
	installed, err := os.ReadFile(i.at(Program))
	return err == nil && bytes.Equal(self, installed)
}

func (i *Installer) copySelf() error {
	f, err := os.Open(i.Self)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.MkdirAll(filepath.Dir(i.at(Program)), 0o755); err != nil {
		return err
	}
	return replaceFile(i.at(Program), f, 0o755)
}

// replaceFile writes a file so that it is there whole, with its mode, or not at all.
func replaceFile(path string, from io.Reader, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".turnpike-setup")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, from)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Command runs a program of the system, and puts what it printed into the error.
func Command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Firewall returns the lines that let clients in, for nftables and for ufw. A rule that is added comes after one that drops the
// rest, so it is inserted.
func Firewall(c *config.Config) []string {
	tcp, udp := c.PortLists()
	var out []string
	for _, row := range []struct {
		protocol string
		ports    []string
	}{{"tcp", tcp}, {"udp", udp}} {
		if len(row.ports) > 0 {
			out = append(out, fmt.Sprintf("nft insert rule inet filter input %s dport { %s } accept", row.protocol, strings.Join(row.ports, ", ")))
		}
	}
	for _, row := range []struct {
		protocol string
		ports    []string
	}{{"tcp", tcp}, {"udp", udp}} {
		if len(row.ports) > 0 {
			out = append(out, fmt.Sprintf("ufw allow %s/%s", strings.ReplaceAll(strings.Join(row.ports, ","), "-", ":"), row.protocol))
		}
	}
	return out
}

// certificateInterval is the time between two looks at whether the server has its certificate.
const certificateInterval = 500 * time.Millisecond

// WaitCertificate waits until the server shows a certificate, whatever authority has signed it.
func WaitCertificate(ctx context.Context, c *config.Config) error {
	host, port, err := net.SplitHostPort(c.HTTP.Listen[0])
	if err != nil {
		return err
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: c.PublicHost}}
	tick := time.NewTicker(certificateInterval)
	defer tick.Stop()
	for {
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
