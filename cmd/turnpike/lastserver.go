package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The server that was used last stands in a file of the user's configuration folder, so that it need be named once:
// ~/.config/turnpike/server on Linux. The file has a URL and nothing secret.

// errNoServerNamed says how to name a server.
var errNoServerNamed = errors.New("which server? None was used before; name it once, like --server https://turn.example.org, or in TURNPIKE_SERVER")

// lastServer returns the server that was used last.
func (p *program) lastServer() (string, error) {
	name, err := p.lastServerFile()
	if err != nil {
		return "", errNoServerNamed
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", errNoServerNamed
	}
	if err != nil {
		return "", fmt.Errorf("which server was used last? %w; name it with --server", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 4<<10))
	if err != nil {
		return "", fmt.Errorf("which server was used last? %w; name it with --server", err)
	}
	base, err := serverURL(strings.TrimSpace(string(data)))
	if err != nil {
		return "", fmt.Errorf("%s has no URL of a server; name one with --server, which writes the file anew", name)
	}
	return base, nil
}

// remember keeps a server that has answered, for the next command. It is a convenience: where nothing can be written, each
// command names its server.
func (p *program) remember(base string) {
	name, err := p.lastServerFile()
	if err != nil {
		return
	}
	if known, err := p.lastServer(); err == nil && known == base {
		return
	}
	dir := filepath.Dir(name)
	if os.MkdirAll(dir, 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(dir, "server-*") // with mode 0600
	if err != nil {
		return
	}
	_, err = f.WriteString(base + "\n")
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
}

func (p *program) lastServerFile() (string, error) {
	if p.configDir == nil {
		return "", errors.New("there is no folder for the configuration of users")
	}
	dir, err := p.configDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "turnpike", "server"), nil
}
