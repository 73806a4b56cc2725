// Turnpike is a NAT-traversal server in one program: it authenticates peers, introduces them to each other (signaling),
// tells them their public address (STUN), relays for them when no direct path exists (TURN), and serves a browser
// client.
//
// This package holds the commands, a file each. They call internal/config, which reads the configuration,
// internal/node, which is the server, internal/probe, which tries a server, and the load generators.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

func main() {
	ctx, drain, hangup := catchSignals(os.Args[1:])
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), drain: drain, hangup: hangup,
		terminal: term.IsTerminal(int(os.Stdout.Fd())), configDir: os.UserConfigDir}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// endsByContext are the commands beside serve that end in an orderly way on a signal.
var endsByContext = []string{"check", "netcheck", "ping", "pipe", "send", "receive", "forward", "listen", "bench"}

// catchSignals returns what the signals of a command do. SIGINT ends the context of serve and of endsByContext; so does
// SIGTERM, but serve drains first. A second signal ends the process. SIGHUP goes to serve alone. All other commands are
// quick, and signals end them as they end any process.
func catchSignals(args []string) (ctx context.Context, drain <-chan struct{}, hangup <-chan os.Signal) {
	draining, hangups := make(chan struct{}), make(chan os.Signal, 1)
	serves := len(args) > 0 && args[0] == "serve"
	switch {
	case serves:
		signal.Notify(hangups, syscall.SIGHUP)
	case len(args) == 0 || !slices.Contains(endsByContext, args[0]):
		return context.Background(), draining, hangups
	case args[0] == "pipe" || args[0] == "receive":
		signal.Ignore(syscall.SIGPIPE) // its writes fail: a process that SIGPIPE ends tells its peer nothing
	}
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		if <-signals == syscall.SIGTERM && serves {
			close(draining)
			<-signals
		}
		cancel()
		signal.Stop(signals) // from here on a signal ends the process as it would any other
	}()
	return ctx, draining, hangups
}

// program is the world that a command runs in.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	terminal       bool     // stdout is a terminal: a person reads it, and no journal
	environ        []string // as os.Environ gives it

	configDir func() (string, error) // of the user's configuration, as os.UserConfigDir; nil: none
	now       func() time.Time       // the clock of a machine that signs in; nil: time.Now

	// drain, once closed, asks a server to end after its relays have ended. The end of the context asks it to end now.
	drain <-chan struct{}

	hangup <-chan os.Signal // asks a server to read its certificate again
}

// lookupEnv returns the value of a variable, and whether it is set.
func (p *program) lookupEnv(name string) (string, bool) {
	for _, v := range p.environ {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// getenv returns the value of a variable, empty if it is not set.
func (p *program) getenv(name string) string {
	value, _ := p.lookupEnv(name)
	return value
}

// usageError is a mistake in the arguments: exit status 2.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }

// errReported ends a command with status 1. The command has said why.
var errReported = errors.New("reported")

type command struct {
	name string
	run  func(p *program, ctx context.Context, args []string) error
}

func commands() []command {
	return []command{
		{"init", (*program).initialize},
		{"setup", (*program).setup},
		{"serve", (*program).serve},
		{"check", (*program).check},
		{"netcheck", (*program).netcheck},
		{"join", (*program).join},
		{"ping", (*program).ping},
		{"pipe", (*program).pipe},
		{"send", (*program).send},
		{"receive", (*program).receive},
		{"forward", (*program).forward},
		{"listen", (*program).listen},
		{"bench", (*program).bench},
		{"invite", (*program).invite},
		{"ticket", (*program).ticket},
		{"users", (*program).users},
		{"kick", (*program).kick},
		{"machines", (*program).machines},
		{"drain", (*program).drainServer},
		{"config", (*program).config},
		{"secret", (*program).secret},
		{"completion", (*program).completion},
		{"version", (*program).version},
		{"help", (*program).help},
	}
}

// run executes one command and returns the exit status: 0, 1 if it failed, 2 if it was called wrongly.
func (p *program) run(ctx context.Context, args []string) int {
	err := p.dispatch(ctx, args)
	if err == nil {
		return 0
	}
	usage, misused := errors.AsType[*usageError](err)
	if !errors.Is(err, errReported) {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintf(p.stderr, "turnpike: %s\n", harmless(line)) // it may quote a server or a peer
		}
	}
	if misused {
		fmt.Fprintf(p.stderr, "usage: %s\n", usageLine(usage.command))
		return 2
	}
	return 1
}

func (p *program) dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return p.help(ctx, nil)
	}
	name := args[0]
	switch name {
	case "-h", "-help", "--help":
		name = "help"
	case "-v", "-version", "--version":
		name = "version"
	}
	for _, c := range commands() {
		if c.name != name {
			continue
		}
		err := c.run(p, ctx, args[1:])
		if errors.Is(err, flag.ErrHelp) {
			return p.help(ctx, []string{name})
		}
		return err
	}
	return &usageError{"", fmt.Errorf("there is no command %q", name)}
}

func writeLine(w io.Writer, s string) error {
	_, err := fmt.Fprintln(w, s)
	return err
}
