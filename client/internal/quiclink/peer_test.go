package quiclink

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

// In netlab each Link is in a process of its own: this test binary, which runs what peerVariable describes.
const peerVariable = "TURNPIKE_LINK_PEER"

func TestMain(m *testing.M) {
	flag.Parse()
	if text := os.Getenv(peerVariable); text != "" {
		if err := runPeer(text, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "peer:", err)
			os.Exit(1)
		}
		return
	}
	var err error
	if scratch, err = os.MkdirTemp("", "turnpike-quiclink-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	_ = os.RemoveAll(scratch)
	os.Exit(status)
}

// scratch is a directory for the whole run. Only TestMain sets it.
var scratch string

// peerConfig is what a peer is told at its start.
type peerConfig struct {
	Offers, Polite, RelayOnly bool
	Servers                   []wire.ICEServer
	Roots                     string // A file.
	Sends                     int    // Streams that it fills.
	Total                     int64  // Bytes of each stream; zero: until the end.
}

// peerMessage goes both ways between the test and a peer, a line each.
type peerMessage struct {
	Signal   *wire.Payload `json:"signal,omitempty"`
	Restart  bool          `json:"restart,omitempty"`
	Path     *link.Path    `json:"path,omitempty"`
	Received int64         `json:"received,omitempty"`
	Done     bool          `json:"done,omitempty"`
}

// peerState is a peer inside of its own process.
type peerState struct {
	link.Link
	mu  sync.Mutex
	out *json.Encoder
}

func (p *peerState) say(m peerMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.out.Encode(m)
}

func runPeer(text string, in io.Reader, out io.Writer) error {
	var c peerConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	p := &peerState{out: json.NewEncoder(out)}
	roots := x509.NewCertPool()
	if c.Roots != "" {
		pem, err := os.ReadFile(c.Roots)
		if err != nil {
			return err
		}
		roots.AppendCertsFromPEM(pem)
	}
	var err error
	p.Link, err = New(link.Config{
		Offers: c.Offers, Polite: c.Polite, RelayOnly: c.RelayOnly, ICEServers: c.Servers, TLS: &tls.Config{RootCAs: roots},
		Send:   func(x wire.Payload) { p.say(peerMessage{Signal: &x}) },
		OnPath: func(x link.Path) { p.say(peerMessage{Path: &x}) },
		Logger: testLog(),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var group sync.WaitGroup
	group.Go(func() { p.receive(ctx) })
	for range c.Sends {
		group.Go(func() { p.send(ctx, c.Total) })
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var m peerMessage
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return err
		}
		switch {
		case m.Signal != nil:
			p.Receive(*m.Signal)
		case m.Restart:
			p.Link.Restart()
		}
	}
	cancel()
	_ = p.Close()
	group.Wait()
	return nil
}

// receive counts what comes on all streams.
func (p *peerState) receive(ctx context.Context) {
	var n atomic.Int64
	go func() {
		t := time.NewTicker(20 * time.Millisecond)
		defer t.Stop()
		for told := int64(0); ; {
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
			if now := n.Load(); now != told {
				told = now
				p.say(peerMessage{Received: now})
			}
		}
	}()
	for {
		s, err := p.Accept(ctx)
		if err != nil {
			return
		}
		go func() {
			defer s.Close()
			b := make([]byte, 64<<10)
			for {
				k, err := s.Read(b)
				n.Add(int64(k))
				if err == io.EOF {
					p.say(peerMessage{Received: n.Load(), Done: true})
				}
				if err != nil {
					return
				}
			}
		}()
	}
}

func (p *peerState) send(ctx context.Context, total int64) {
	s, err := p.Open(ctx, "bulk")
	if err != nil {
		return
	}
	b := make([]byte, 64<<10)
	for sent := int64(0); total == 0 || sent < total; sent += int64(len(b)) {
		if _, err := s.Write(b); err != nil {
			return
		}
	}
	_ = s.Close()
}
