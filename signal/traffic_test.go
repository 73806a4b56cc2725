package signal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

// The first bytes of frames that are whole messages, or control frames (RFC 6455 §5.2).
const (
	finalText = 0x80 | websocket.TextMessage
	finalPing = 0x80 | websocket.PingMessage
	finalPong = 0x80 | websocket.PongMessage
)

// clientFrame is a frame as a client sends it.
func clientFrame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch size := len(payload); {
	case size < 126:
		b = append(b, 0x80|byte(size))
	case size < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(size))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(size))
	}
	mask := []byte{0x12, 0xf4, 0x56, 0x87}
	b = append(b, mask...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}

// TestConnInPieces sends all kinds of frames in pieces of all sizes: the server acts on their messages in order.
func TestConnInPieces(t *testing.T) {
	h := newHarness(t, unlimited)
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 30 {
		room := fmt.Sprint("room", round)
		from, to := h.pair(room)
		sent := 1 + random.IntN(30)
		var stream []byte
		for n := range sent {
			text := fmt.Appendf(nil, `{"type":"signal","room":%q,"to":%q,"description":{"type":"offer","sdp":"%d%s"}}`,
				room, to.session, n, strings.Repeat(" ", random.IntN(1<<random.IntN(16))))
			switch random.IntN(5) {
			case 0: // in fragments, with a ping between
				cut := random.IntN(len(text))
				stream = append(stream, clientFrame(0x01, text[:cut])...)
				stream = append(stream, clientFrame(finalPing, []byte("between"))...)
				text, stream = nil, append(stream, clientFrame(0x80, text[cut:])...)
			case 1:
				stream = append(stream, clientFrame(finalPong, []byte("unasked"))...)
			case 2: // a task
				stream = append(stream, clientFrame(finalText, []byte(`{"type":"leave","room":"another"}`))...)
			}
			if text != nil {
				stream = append(stream, clientFrame(finalText, text)...)
			}
		}
		together(func() {
			conn := from.conn.NetConn()
			for len(stream) > 0 {
				n := min(len(stream), 1+random.IntN(1<<random.IntN(17)))
				if _, err := conn.Write(stream[:n]); err != nil {
					t.Error(err)
					return
				}
				if stream = stream[n:]; random.IntN(3) == 0 {
					runtime.Gosched()
				}
			}
		}, func() {
			for n := range sent {
				m, err := to.read()
				if err != nil {
					t.Errorf("message %d: %v", n, err)
					return
				}
				sdp := m["description"].(map[string]any)["sdp"].(string)
				if strings.TrimSpace(sdp) != fmt.Sprint(n) {
					t.Errorf("got %.10q, want message %d", sdp, n)
				}
			}
		})
	}
}

// TestIdleConnsTakeNoGoroutine holds that idle connections take no goroutine, though pings keep them alive.
func TestIdleConnsTakeNoGoroutine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has pollers")
	}
	h := newHarness(t, unlimited)
	for i := range 20 {
		c := h.welcome(testTicket(fmt.Sprint(i), fmt.Sprint(i), auth.RoleGuest))
		c.sendText(`{"type":"ping","id":"1"}`)
		c.expect("pong", "ref", "1")
		if err := c.conn.WriteControl(websocket.PongMessage, nil, time.Now().Add(c.patience)); err != nil {
			t.Fatal(err)
		}
	}
	if left := untilIdle(); left != "" {
		t.Error(left)
	}
}

// TestPolledTraffic sends both ways between pairs at once, with tasks between, while clients come and go.
func TestPolledTraffic(t *testing.T) {
	h := newHarness(t, unlimited)
	const messages = 300
	var pairs sync.WaitGroup
	for i := range 4 {
		room := fmt.Sprintf("room%d", i)
		one, other := h.pair(room)
		for _, way := range [][2]*client{{one, other}, {other, one}} {
			from, to := way[0], way[1]
			pairs.Go(func() {
				for n := range messages {
					from.signalTo(to, room, fmt.Sprint(n))
					if n%10 == 0 {
						from.send(msg{"type": "leave", "room": "another"})
					}
				}
			})
			pairs.Go(func() {
				for n := 0; n < messages; {
					m, err := to.read()
					switch {
					case err != nil:
						t.Errorf("message %d of %s: %v", n, room, err)
						return
					case m["type"] == "signal":
						if got := m["candidate"].(map[string]any)["candidate"]; got != fmt.Sprint(n) {
							t.Errorf("message %v of %s, want %d", got, room, n)
						}
						n++
					case m["type"] != "error" || m["code"] != string(wire.CodeNotInRoom):
						t.Errorf("in %s: %v", room, m)
					}
				}
			})
		}
		pairs.Go(func() {
			for range 20 {
				h.guest(fmt.Sprint("passes by ", i)).conn.Close()
			}
		})
	}
	pairs.Wait()
}

// TestClientEnds holds that the server notices the end of a client, with a last message before it or without.
func TestClientEnds(t *testing.T) {
	last := []byte(`{"type":"leave","room":"r"}`)
	for name, bytes := range map[string][]byte{
		"nothing":      nil,
		"a message":    clientFrame(finalText, last),
		"an ack":       clientFrame(finalText, []byte(`{"type":"ack","received":1}`)),
		"a part":       clientFrame(finalText, last)[:10],
		"a close":      clientFrame(0x88, websocket.FormatCloseMessage(1001, "")),
		"a breach":     {0x83, 0x80, 0, 0, 0, 0},
		"no mask":      {0x81, 0x01, 'x'},
		"whole, part":  append(clientFrame(finalText, last), clientFrame(finalText, last)[:3]...),
		"two and text": append(clientFrame(finalText, last), clientFrame(finalText, last)...),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, unlimited)
			a, b := h.pair("r")
			conn := a.conn.NetConn()
			if len(bytes) > 0 {
				if _, err := conn.Write(bytes); err != nil {
					t.Fatal(err)
				}
			}
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the server's end: %v", err)
			}
			b.skipTo("peer-left")
		})
	}
}
