//go:build linux

package bench

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/internal/turnload"
)

const (
	secret     = "nothing that anybody else relies on"
	listenPort = 3478
	startTime  = 15 * time.Second
)

// contender is a server that is measured.
type contender struct {
	name    string
	command func(l lab, stateDir string) []string
}

// Names of contenders. Those of turnpike say which way its packets go.
const (
	kernel    = "kernel"
	userSpace = "user space"
	theirs    = "coturn"
)

func ours(way, offload string) contender {
	return contender{
		name: way,
		command: func(l lab, stateDir string) []string {
			return []string{turnpike, "serve", "--state", stateDir, "--http-listen", "127.0.0.1:0", "--metrics-listen", "", "--turn-offload", offload,
				"--turn-listen", "udp://" + l.server().String(), "--turn-relay-addresses", l.ToRight.String()}
		},
	}
}

// servers returns all contenders.
func servers() []contender {
	return []contender{ours(kernel, "require"), ours(userSpace, "off"), coturn()}
}

// coturn is Debian's, with everything off that is not relaying. It has one thread, its default on a machine with one core.
func coturn() contender {
	return contender{
		name: theirs,
		command: func(l lab, _ string) []string {
			return []string{"turnserver", "-n", "--listening-ip", l.Middle.Addr().String(), "--listening-port", strconv.Itoa(listenPort),
				"--relay-ip", l.ToRight.String(), "--realm", "bench", "--use-auth-secret", "--static-auth-secret", secret,
				"--relay-threads", "1", "--no-tls", "--no-dtls", "--no-tcp", "--no-cli", "--no-software-attribute",
				"--log-file", "/dev/null", "--pidfile", "/dev/null"}
		},
	}
}

// server returns the address on which servers listen.
func (l lab) server() netip.AddrPort { return netip.AddrPortFrom(l.Middle.Addr(), listenPort) }

// process is a running server.
type process struct {
	pid int
	end func()
}

// start runs a server on its core of the middle host, and waits until it answers.
func (l lab) start(t *testing.T, m contender) process {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	var log bytes.Buffer
	cmd := l.Middle.Command(ctx, "taskset", append([]string{"-c", strconv.Itoa(l.core)}, m.command(l, dir)...)...)
	cmd.Dir = dir
	// All of the load comes from one address.
	cmd.Env = append(cmd.Environ(), "TURNPIKE_TURN_SHARED_SECRETS="+secret, "TURNPIKE_LIMITS_ALLOCATIONS_PER_ADDRESS=100000",
		"TURNPIKE_LIMITS_CONNECTIONS_PER_ADDRESS=100000", "TURNPIKE_LIMITS_UNAUTHENTICATED_ANSWERS_PER_SECOND=1000000")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	p := process{cmd.Process.Pid, sync.OnceFunc(func() { cancel(); <-ended })}
	if err := l.awaitAnswer(ended); err != nil {
		p.end()
		t.Fatalf("%s does not answer: %v\n%s", m.name, err, log.Bytes())
	}
	t.Cleanup(p.end)
	awaitIdle(t, p.pid)
	return p
}

// awaitIdle waits until a server that has just begun has nothing to do any more. Ours bundles its pages for a second or two. Meanwhile its one core would
// be late to tell the kernel of flows, which forwards none of which it has not seen a packet of each end.
func awaitIdle(t *testing.T, pid int) {
	t.Helper()
	const idleTime, look = 300 * time.Millisecond, 50 * time.Millisecond
	used, since := time.Duration(-1), time.Now()
	for deadline := time.Now().Add(startTime); time.Since(since) < idleTime; time.Sleep(look) {
		now, err := turnload.ProcessTime(pid)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the server does not come to rest: %v of processor time, %v", now, err)
		}
		if now-used > 10*time.Millisecond || used < 0 {
			used, since = now, time.Now()
		}
	}
}

// awaitAnswer sends the server binding requests until it answers or has ended.
func (l lab) awaitAnswer(ended <-chan struct{}) error {
	conn, err := l.Left.ListenUDP(0)
	if err != nil {
		return err
	}
	defer conn.Close()
	request := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	buf := make([]byte, 1500)
	for begin := time.Now(); ; {
		if _, err = conn.WriteToUDPAddrPort(request.Raw, l.server()); err == nil {
			_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if _, _, err = conn.ReadFromUDPAddrPort(buf); err == nil {
				return nil
			}
		}
		select {
		case <-ended:
			return errors.New("the process has ended")
		default:
		}
		if time.Since(begin) > startTime {
			return err
		}
	}
}

// version returns the first line that a program prints about its version.
func version(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "unknown"
	}
	line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
	return string(line)
}
