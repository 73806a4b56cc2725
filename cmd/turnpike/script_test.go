package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"example.org/turnpike/internal/testcert"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"turnpike": main})
}

// TestScripts runs the transcripts in testdata. Beside testscript's own commands they have
//
//	serve ARGS   start a server in this process, on free ports of loopback, and wait until it is up;
//	             sets $URL, $HTTPADDR, $HTTPPORT, $HTTPALL, $METRICS, $METRICSADDR, $TURNUDP, $TURNTCP, $TURNURL and $TURNALL, and leaves what it printed in serve.out
//	drain        ask it to drain, wait for its end and leave its log in serve.err (stop is testscript's own, and ends the script)
//	keypair ALG FILE               make an app's key pair, FILE and FILE.pub
//	sign ALG KEYFILE CLAIMS NAME   sign a token with a secret or a private key, and leave it in $NAME and the file NAME
//	await FILE EXPRESSION [NAME]   wait until a file has a match, and leave the first group of it in $NAME
//	freeport NAME   find a port of loopback that nobody has, and leave it in $NAME
//	certificate  make a certificate for localhost: cert.pem and key.pem, which the commands trust from here on
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values[serverKey{}] = &scriptServer{}
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home")) // else one script finds the server that another has used
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "home", ".config"))
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each command takes a second under -race
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve":       cmdServe,
			"drain":       cmdDrain,
			"certificate": cmdCertificate,
			"keypair":     cmdKeyPair,
			"sign":        cmdSign,
			"await":       cmdAwait,
			"freeport":    cmdFreePort,
		},
	})
}

type serverKey struct{}

// scriptServer is the server of one script.
type scriptServer struct{ *testServer }

func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("unsupported: ! serve")
	}
	s := startServer(args...)
	ts.Value(serverKey{}).(*scriptServer).testServer = s
	ts.Defer(func() { s.stop() })
	if s.banner == "" {
		ts.Fatalf("the server did not start: %s", s.stderr.String())
	}
	first, _, _ := strings.Cut(s.row("web"), "  ")
	ts.Setenv("URL", first)
	ts.Setenv("METRICS", s.row("metrics"))
	ts.Setenv("METRICSADDR", strings.TrimSuffix(strings.TrimPrefix(s.row("metrics"), "http://"), "/metrics"))
	urls := strings.NewReplacer("http://", "", "https://", "", "localhost", "127.0.0.1", "  ", ",")
	ts.Setenv("HTTPALL", urls.Replace(s.row("web")))
	_, web, _ := strings.Cut(first, "://")
	ts.Setenv("HTTPADDR", strings.Replace(web, "localhost", "127.0.0.1", 1))
	_, port, _ := strings.Cut(web, ":")
	ts.Setenv("HTTPPORT", port)
	ts.Setenv("TURNALL", strings.ReplaceAll(s.row("turn"), "  ", ","))
	if udp, tcp, ok := strings.Cut(s.row("turn"), "  "); ok {
		ts.Setenv("TURNUDP", udp)
		ts.Setenv("TURNTCP", tcp)
		ts.Setenv("TURNURL", strings.Replace(udp, "udp://", "turn:", 1))
	}
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), "serve.out"), []byte(s.banner), 0o600))
}

func cmdCertificate(ts *testscript.TestScript, _ bool, _ []string) {
	certFile, _, err := testcert.Write(ts.Getenv("WORK"), time.Hour, "localhost")
	ts.Check(err)
	ts.Setenv("SSL_CERT_FILE", certFile)
}

func cmdFreePort(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Check(l.Close())
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], port)
}

func cmdDrain(ts *testscript.TestScript, _ bool, _ []string) {
	s := ts.Value(serverKey{}).(*scriptServer)
	close(s.drain)
	if status := s.wait(); status != 0 {
		ts.Fatalf("the server ended with status %d: %s", status, s.stderr.String())
	}
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), "serve.err"), []byte(s.stderr.String()), 0o600))
}

// cmdAwait is for what a command prints while it runs.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await FILE EXPRESSION [NAME]")
	}
	expression := regexp.MustCompile("(?m)" + args[1])
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(ts.MkAbs(args[0])) // it may not be there yet
		if m := expression.FindSubmatch(text); m != nil {
			if len(args) > 2 {
				ts.Setenv(args[2], string(m[1]))
			}
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s has no %s: %s", args[0], args[1], text)
		}
	}
}

// testServer is a `turnpike serve` in this process.
type testServer struct {
	banner string // what it printed; empty if it ended before it was up
	stderr syncBuffer
	drain  chan struct{}
	cancel context.CancelFunc
	status chan int
}

// startServer starts a server on free ports of loopback, over which args win, and waits until it is up or has ended.
func startServer(args ...string) *testServer { return startProgram(program{}, args...) }

// startProgram is startServer in a world like that of p.
func startProgram(p program, args ...string) *testServer {
	ctx, cancel := context.WithCancel(context.Background())
	s := &testServer{drain: make(chan struct{}), cancel: cancel, status: make(chan int, 1)}
	stdout := make(writerChan, 1)
	p.stdout, p.stderr, p.drain = stdout, &s.stderr, s.drain
	args = append([]string{"serve"}, withDefaults(args)...)
	go func() { s.status <- p.run(ctx, args) }()
	select {
	case s.banner = <-stdout:
	case status := <-s.status:
		s.status <- status
	}
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
func (s *testServer) row(heading string) string {
	m := regexp.MustCompile(`(?m)^  ` + heading + ` +(.*)$`).FindStringSubmatch(s.banner)
	if m == nil {
		return ""
	}
	return m[1]
}

// wait waits for the end and returns the exit status.
func (s *testServer) wait() int {
	status := <-s.status
	s.status <- status
	return status
}

func (s *testServer) stop() {
	s.cancel()
	s.wait()
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
	mu      sync.Mutex
	b       bytes.Buffer  // guarded by mu, as is changed
	changed chan struct{} // closed by the next Write; nil: nobody waits for it
}

var _ io.Writer = (*syncBuffer)(nil)

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	return s.b.Write(b)
}

// await waits until a text was written.
func (s *syncBuffer) await(t *testing.T, text string) {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		if strings.Contains(s.b.String(), text) {
			s.mu.Unlock()
			return
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%q is not in\n%s", text, s.String())
		}
	}
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
