package node

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.org/turnpike/internal/config"
)

// testNode is a node in this process.
type testNode struct {
	node   *Node
	banner string
	log    syncBuffer
	drain  chan struct{}
	cancel context.CancelFunc
	ended  chan error
	hangup chan os.Signal
}

// load reads the configuration that flags make, with nothing in the environment.
func load(t *testing.T, args ...string) *config.Config {
	t.Helper()
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	var flags config.Flags
	flags.Register(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	cfg, err := flags.Load(func(string) (string, bool) { return "", false }, CheckIssuer)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// start runs a node with these flags, on free ports of loopback if they name no others, until the end of the test.
func start(t *testing.T, args ...string) *testNode {
	t.Helper()
	return startWith(t, Options{}, args...)
}

// startWith is start for a node that prints as o says.
func startWith(t *testing.T, o Options, args ...string) *testNode {
	t.Helper()
	args = withDefaults(append([]string{"--state", filepath.Join(t.TempDir(), "state")}, args...))
	ctx, cancel := context.WithCancel(context.Background())
	s := &testNode{drain: make(chan struct{}), cancel: cancel, ended: make(chan error, 1), hangup: make(chan os.Signal, 1)}
	if o.Hangup == nil {
		o.Hangup = s.hangup
	}
	o.Processors, o.Log = runtime.GOMAXPROCS(0), slog.New(slog.NewTextHandler(&s.log, nil))
	n, err := New(load(t, args...), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Open(); err != nil {
		n.Close()
		t.Fatal(err)
	}
	s.node = n
	banner := make(writerChan, 1)
	go func() { s.ended <- n.Run(ctx, s.drain, banner) }()
	s.banner = <-banner
	t.Cleanup(s.stop)
	return s
}

// withDefaults adds free ports of loopback for the listeners that args do not name: a list that is given twice adds up.
func withDefaults(args []string) []string {
	for _, d := range [][2]string{
		{"--http-listen", "127.0.0.1:0"}, {"--metrics-listen", "127.0.0.1:0"},
		{"--turn-listen", "udp://127.0.0.1:0,tcp://127.0.0.1:0"}, {"--turn-relay-addresses", "127.0.0.1"},
	} {
		named := func(arg string) bool { return arg == d[0] || strings.HasPrefix(arg, d[0]+"=") }
		if !slices.ContainsFunc(args, named) {
			args = append([]string{d[0], d[1]}, args...)
		}
	}
	return args
}

// row returns a line of the banner without its heading.
func (s *testNode) row(heading string) string {
	m := regexp.MustCompile(`(?m)^  ` + heading + ` +(.*)$`).FindStringSubmatch(s.banner)
	if m == nil {
		return ""
	}
	return m[1]
}

// wait waits for the end and returns what Run did.
func (s *testNode) wait() error {
	err := <-s.ended
	s.ended <- err
	return err
}

func (s *testNode) stop() {
	s.cancel()
	_ = s.wait()
}

// writerChan hands on the first write, which is the banner.
type writerChan chan string

func (w writerChan) Write(b []byte) (int, error) {
	select {
	case w <- string(b):
	default:
	}
	return len(b), nil
}

// syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
