//go:build linux

package e2e

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// TestREADMECommands runs the commands that README shows for two machines, each on a machine of that name behind a symmetric NAT.
func TestREADMECommands(t *testing.T) {
	need(t, "unshare", "script", "ssh", "sshd", "ssh-keygen")
	t.Parallel()
	blocks := readmeCommands(t, "## Two machines without a browser")
	if len(blocks) != 2 || len(blocks[0]) != 2 || len(blocks[1]) != 2 {
		t.Fatalf("README shows the commands %q, want two blocks of two", blocks)
	}
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	link := s.link(t, config, "home", "--role", "member")
	machines := map[string]*terminal{}
	for _, name := range []string{"nas", "laptop", "tower"} {
		term := openTerminal(t, lab.Behind(netlab.Symmetric, name), ca, link)
		if name != "tower" { // that one has no account
			joining := term.start(t, nil, "join", "--name", name)
			joining.exits(t, 0)
		}
		term.env = append(term.env, "TURNPIKE_INVITE=", "PATH="+filepath.Dir(turnpike)+":"+os.Getenv("PATH"))
		machines[name] = term
	}
	serveSSH(t, machines["nas"], machines["laptop"])
	listening := machines["nas"].run(t, nil, "bash", "-ec", blocks[0]["nas"])
	listening.says(t, "listens as nas in the room home for laptop: localhost:22")
	near := machines["laptop"]
	forwarding := near.run(t, nil, "bash", "-ec", blocks[0]["laptop"])
	forwarding.says(t, "forwards 127.0.0.1:2222 to localhost:22 at nas")
	ctx, cancel := within(t, time.Minute)
	defer cancel()
	ssh := near.host.Command(ctx, "ssh", "-F", "none", "-i", filepath.Join(near.dir, "id"), "-p", "2222", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile="+filepath.Join(near.dir, "known"), "root@localhost", "echo", "here")
	ssh.Env = near.env
	if out, err := ssh.Output(); err != nil || string(out) != "here\n" {
		t.Errorf("ssh to the port that was forwarded: %v, it printed %q", err, out)
	}

	photo, letter := near.file(t, "photos/cat.jpg", 3<<20), near.file(t, "letter.pdf", 100<<10)
	sending := near.run(t, nil, "bash", "-ec", blocks[1]["laptop"])
	code := sending.code(t)
	tower := machines["tower"]
	keys, typed := io.Pipe()
	receiving := tower.run(t, keys, "script", "-qec", strings.ReplaceAll(blocks[1]["tower"], "https://turn.example.org", publicURL), "/dev/null") // asks a terminal alone
	receiving.asks(t, typed, "code: ", code)
	receiving.asks(t, typed, "[y/N] ", "y")
	if err := typed.Close(); err != nil { // script waits for the end of what is typed
		t.Fatal(err)
	}
	receiving.exits(t, 0)
	sending.exits(t, 0)
	tower.has(t, "photos/cat.jpg", photo)
	tower.has(t, "letter.pdf", letter)
}

// asks waits for a question on the terminal, and types the answer.
func (v *verb) asks(t *testing.T, typed io.Writer, question, answer string) {
	t.Helper()
	if !v.stdout.await(30*time.Second, func(out string) bool { return strings.Contains(out, question) }) {
		t.Fatalf("it does not ask %q, but prints %q", question, v.stdout.String())
	}
	if _, err := io.WriteString(typed, answer+"\r"); err != nil {
		t.Fatal(err)
	}
}

// readmeCommands returns the commands below a heading of README, a map for each block: by the machine before the prompt.
func readmeCommands(t *testing.T, heading string) (blocks []map[string]string) {
	t.Helper()
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n"+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for i, block := range strings.Split(section, "```") {
		commands, isCommands := strings.CutPrefix(block, "console\n")
		if i%2 == 0 || !isCommands {
			continue
		}
		by := map[string]string{}
		for line := range strings.Lines(commands) {
			if machine, command, ok := strings.Cut(strings.TrimSpace(line), "$ "); ok {
				by[machine] = command
			}
		}
		blocks = append(blocks, by)
	}
	return blocks
}
