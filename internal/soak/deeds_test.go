package soak

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"example.org/turnpike/internal/testcert"
)

const lifetime = 90 * 24 * time.Hour // of a certificate

// tally counts what went well, and what did not.
type tally struct {
	mu     sync.Mutex
	done   map[string]int
	failed map[string]int
}

func (c *tally) count(deed string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.done[deed]++
		return
	}
	c.failed[fmt.Sprintf("%s: %v", deed, err)]++
}

// deed is something that a member does.
type deed struct {
	name string
	do   func(*member) error
}

const rooms = 5

// deeds are what a member may do, often or seldom. One that has nobody to act on returns errNobody.
func deeds() []deed {
	withPeer := func(ask func(p peer) map[string]any) func(*member) error {
		return func(m *member) error {
			if len(m.peers) == 0 {
				return errNobody
			}
			_, err := m.ask(ask(m.peers[m.random.IntN(len(m.peers))]))
			return err
		}
	}
	kick := withPeer(func(p peer) map[string]any {
		return map[string]any{"type": "kick", "room": p.room, "session": p.session}
	})
	join := func(m *member) error {
		_, err := m.ask(map[string]any{"type": "join", "room": fmt.Sprintf("soak-%d", m.random.IntN(rooms)), "create": true, "size": 8})
		return err
	}
	return []deed{
		{"join", join}, {"join", join}, {"join", join},
		{"leave", func(m *member) error {
			if len(m.rooms) == 0 {
				return errNobody
			}
			_, err := m.ask(map[string]any{"type": "leave", "room": m.rooms[m.random.IntN(len(m.rooms))]})
			return err
		}},
		{"signal", func(m *member) error {
			if len(m.peers) == 0 {
				return errNobody
			}
			for range m.random.IntN(10) {
				to := m.peers[m.random.IntN(len(m.peers))]
				if err := m.send(map[string]any{
					"type": "signal", "room": to.room, "to": to.session,
					"description": map[string]string{"type": "offer", "sdp": fmt.Sprint("v=0\r\ns=", m.random.Uint64(), "\r\n")},
				}); err != nil {
					return errGone
				}
			}
			_, err := m.ask(map[string]any{"type": "ping"})
			return err
		}},
		{"call", withPeer(func(p peer) map[string]any { return map[string]any{"type": "call", "to": p.user} })},
		{"kick", kick}, {"kick", kick},
		{"wait", func(m *member) error { return m.look(time.Duration(m.random.IntN(300)) * time.Millisecond) }},
		{"resume", func(m *member) error {
			m.drop()
			pause(time.Duration(m.random.IntN(400)) * time.Millisecond)
			return m.resume()
		}},
		{"resume too late", func(m *member) error {
			m.drop()
			pause(5 * time.Second)
			return m.resume()
		}},
		{"relay", func(m *member) error { return m.relays(false) }},
		{"relay, and lose the network", func(m *member) error { return m.relays(true) }},
	}
}

// pause is a time in which a member or a stranger does nothing.
func pause(d time.Duration) { <-time.After(d) }

var errNobody = errors.New("nobody is there")

// errKicked is no failure: with a kick the server ends the relays that the member has.
var errKicked = errors.New("kicked meanwhile")

// relays makes two relays, and sends from one to the other.
func (m *member) relays(lost bool) error {
	before := m.kicked
	err := m.exchange(lost)
	if err != nil && m.look(time.Second) == nil && m.kicked > before {
		return errKicked
	}
	return err
}

func (m *member) exchange(lost bool) error {
	a, err := m.newRelay(transports[m.random.IntN(len(transports))])
	if err != nil {
		return err
	}
	defer m.leave(a, lost)
	b, err := m.newRelay(transports[m.random.IntN(len(transports))])
	if err != nil {
		return err
	}
	defer m.leave(b, lost)
	data := make([]byte, 16+m.random.IntN(1000))
	for range 1 + m.random.IntN(4) {
		if err := exchange(a, b, data); err != nil {
			return err
		}
	}
	return nil
}

// leave ends a relay, or leaves it without a word. One over datagrams then ends with the session's bye.
func (m *member) leave(r *relay, lost bool) {
	if lost && r.datagrams {
		m.lost = append(m.lost, r)
		return
	}
	r.close(lost)
}

// forget closes what the client has of the relays that it left. They outlive a session that came back too late, which is
// by intention: so if the session has not said bye, each must be told to end.
func (m *member) forget(saidBye bool) {
	for _, r := range m.lost {
		r.close(saidBye)
	}
	m.lost = nil
}

// live leads lives of members, one after the other.
func live(ctx context.Context, s *server, random *rand.Rand, c *tally) {
	all := deeds()
	for ctx.Err() == nil {
		m, err := newMember(s, random)
		if c.count("hello", err); err != nil {
			if m != nil && m.conn != nil {
				m.drop()
			}
			continue
		}
		for range 2 + random.IntN(12) {
			d := all[random.IntN(len(all))]
			err := d.do(m)
			var no refused
			if errors.Is(err, errKicked) {
				c.count("kick, in the middle of relaying", nil)
				continue
			}
			if errors.Is(err, errNobody) || errors.As(err, &no) && expected(d.name, string(no)) {
				continue
			}
			if c.count(d.name, err); err != nil {
				break
			}
			if ctx.Err() != nil {
				break
			}
		}
		// Relays outlive a session that does not say bye: by intention, since a call must go on without signaling.
		m.bye()
	}
}

// expected reports whether an answer is one that a member who does not know what others do must be ready for.
func expected(deed, code string) bool {
	for _, e := range map[string][]string{
		"join":  {"full", "kicked"},
		"leave": {"not-in-room"},
		"call":  {"busy", "no-such-user"},
		"kick":  {"not-host", "not-in-room"},
	}[deed] {
		if e == code {
			return true
		}
	}
	return false
}

// disturb connects and says half of something, or nonsense.
func disturb(ctx context.Context, s *server, random *rand.Rand, c *tally) {
	beginnings := []string{
		"", "\x00", "\x00\x01\x00\x00", "\x00\x03\x00\x40\x21\x12\xa4\x42", "\x40\x00\xff\xff half of a frame", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"GET /signal HTTP/1.1\r\nHost: localhost\r\n", "POST /api/v1/tickets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{", "nonsense\n",
	}
	for ctx.Err() == nil {
		from := fmt.Sprintf("127.0.0.%d", 100+random.IntN(8))
		at := []string{s.web.String(), s.plain.String(), s.tlsAt.String()}[random.IntN(3)]
		conn, err := dialer(from).Dial("tcp", at)
		if c.count("stranger", err); err != nil {
			continue
		}
		if random.IntN(3) == 0 && at != s.plain.String() {
			secure := tls.Client(conn, clientTLS())
			if secure.HandshakeContext(ctx) == nil {
				conn = secure
			}
		}
		_, _ = conn.Write([]byte(beginnings[random.IntN(len(beginnings))])) // the server may have hung up
		datagram, err := net.Dial("udp", s.udp.String())
		if err == nil {
			_, _ = datagram.Write([]byte(beginnings[random.IntN(len(beginnings))]))
			_ = datagram.Close()
		}
		pause(time.Duration(random.IntN(100)) * time.Millisecond)
		_ = conn.Close()
	}
}

// operate changes the certificate from time to time.
func operate(ctx context.Context, s *server, random *rand.Rand, c *tally) {
	for ctx.Err() == nil {
		_, _, err := testcert.Write(s.dir, lifetime, "localhost")
		c.count("certificate", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second + time.Duration(random.IntN(4000))*time.Millisecond):
		}
	}
}
