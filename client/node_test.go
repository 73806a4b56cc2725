package client_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/node"
)

// server is a whole turnpike server in this process.
type server struct {
	url    string
	secret auth.Secret
	stop   func()
}

// startServer starts one on free ports of loopback, with more flags. The directory is for its state.
func startServer(dir string, args ...string) (*server, error) {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	var flags config.Flags
	flags.Register(fs)
	err := fs.Parse(append([]string{"--state", filepath.Join(dir, "state"), "--http-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
		"--turn-listen", "udp://127.0.0.1:0,tcp://127.0.0.1:0", "--turn-relay-addresses", "127.0.0.1"}, args...))
	if err != nil {
		return nil, err
	}
	cfg, err := flags.Load(func(string) (string, bool) { return "", false }, node.CheckIssuer)
	if err != nil {
		return nil, err
	}
	n, err := node.New(cfg, node.Options{Processors: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	if err := n.Open(); err != nil {
		return nil, err
	}
	secret, err := auth.OpenSecretFile(cfg.SecretFile(), nil)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	banner, ended := make(firstLine, 1), make(chan error, 1)
	go func() { ended <- n.Run(ctx, make(chan struct{}), banner) }()
	s := &server{secret: secret.Secret(), stop: func() {
		cancel()
		<-ended
	}}
	text := <-banner
	if s.url = regexp.MustCompile(`https?://[^\s/]+:\d+`).FindString(text); s.url == "" {
		s.stop()
		return nil, fmt.Errorf("no address in %s", strings.TrimSpace(text))
	}
	return s, nil
}

// firstLine takes what is written first.
type firstLine chan string

func (f firstLine) Write(b []byte) (int, error) {
	select {
	case f <- string(b):
	default:
	}
	return len(b), nil
}
