package socket

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

// filledFrame appends a frame with a mask, as a client sends it, or without.
func filledFrame(b []byte, size int, masked bool) []byte {
	b = append(b, 0x81)
	if masked {
		b = append(appendFrameHeader(b, size, 0x80), 1, 2, 3, 4)
	} else {
		b = appendFrameHeader(b, size, 0)
	}
	return append(b, bytes.Repeat([]byte{0xff}, size)...)
}

// appendFrameHeader appends the rest of a header after its first byte.
func appendFrameHeader(b []byte, size int, mask byte) []byte {
	switch {
	case size < 126:
		return append(b, mask|byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, mask|126), uint16(size))
	}
	return binary.BigEndian.AppendUint64(append(b, mask|127), uint64(size))
}

// isEnd reports whether the last byte was a frame's last.
func (f *frameEnds) isEnd() bool { return f.have == 0 && f.left == 0 }

// TestFrameEnds holds that frameEnds finds the ends of frames, in whatever pieces their bytes come.
func TestFrameEnds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	sizes := []int{0, 1, 125, 126, 127, 65535, 65536, 70_000}
	for range 2000 {
		var stream []byte
		ends := map[int]bool{}
		for range 1 + random.IntN(5) {
			stream = filledFrame(stream, sizes[random.IntN(len(sizes))], random.IntN(4) > 0)
			ends[len(stream)] = true
		}
		var f frameEnds
		for at := 0; at < len(stream); {
			n := f.advance(stream[at:min(len(stream), at+1+random.IntN(1<<random.IntN(18)))])
			if at += n; n == 0 || f.isEnd() != ends[at] {
				t.Fatalf("after %d of %d bytes: took %d, an end: %v, want %v", at, len(stream), n, f.isEnd(), ends[at])
			}
		}
	}
}

// FuzzFrameEnds asserts that the ends of frames do not depend on the pieces in which bytes come.
func FuzzFrameEnds(f *testing.F) {
	f.Add(filledFrame(filledFrame(nil, 5, true), 130, true), uint8(3))
	f.Add(filledFrame(nil, 70_000, false), uint8(200))
	f.Add([]byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5}, uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		var whole, parts frameEnds
		ends := map[int]bool{}
		for at := 0; at < len(stream); {
			n := whole.advance(stream[at:])
			if n < 1 || n > len(stream)-at {
				t.Fatalf("took %d of %d", n, len(stream)-at)
			}
			at += n
			ends[at] = whole.isEnd()
		}
		for at := 0; at < len(stream); {
			at += parts.advance(stream[at:min(len(stream), at+1+int(step))])
			if parts.isEnd() != ends[at] && (parts.isEnd() || ends[at]) {
				t.Fatalf("an end after %d bytes: %v, not %v", at, parts.isEnd(), ends[at])
			}
		}
	})
}

// TestSimpleFrame holds that simpleFrame finds a simple frame when all of it is there, and not before.
func TestSimpleFrame(t *testing.T) {
	for _, size := range []int{0, 1, 7, 8, 125, 126, 1000, wire.MaxMessage - 1} {
		for _, first := range []byte{finalText, finalPing, finalPong} {
			if first != finalText && size > maxControl {
				continue
			}
			payload := []byte(strings.Repeat("turnpike", size/8+1)[:size])
			frame := clientFrame(first, payload)
			for _, have := range []int{0, 1, 2, 5, 6, len(frame) - 1} {
				if have >= len(frame) {
					continue
				}
				if _, _, n := simpleFrame(bytes.Clone(frame[:have])); n != 0 {
					t.Errorf("%x of %d bytes: found with %d of %d", first, size, have, len(frame))
				}
			}
			got, text, n := simpleFrame(append(bytes.Clone(frame), "more"...))
			if got != first || n != len(frame) || !bytes.Equal(text, payload) {
				t.Errorf("%x of %d bytes: %x, %q, %d", first, size, got, text, n)
			}
		}
	}
	text := clientFrame(finalText, []byte("x"))
	for name, edit := range map[string]func([]byte){
		"no mask":     func(b []byte) { b[1] &^= 0x80 },
		"a fragment":  func(b []byte) { b[0] &^= 0x80 },
		"reserved":    func(b []byte) { b[0] |= 0x40 },
		"binary":      func(b []byte) { b[0]++ },
		"the end":     func(b []byte) { b[0] = 0x88 },
		"long ping":   func(b []byte) { b[0], b[1] = finalPing, 0x80|126 },
		"long length": func(b []byte) { b[1] = 0x80 | 127 },
	} {
		b := append(bytes.Clone(text), make([]byte, 1000)...)
		edit(b)
		before := bytes.Clone(b)
		if _, _, n := simpleFrame(b); n != 0 || !bytes.Equal(b, before) {
			t.Errorf("%s: is simple", name)
		}
	}
}

// FuzzSimpleFrame asserts that gorilla reads every simple frame in the same way.
func FuzzSimpleFrame(f *testing.F) {
	f.Add(clientFrame(finalText, []byte("hello")))
	f.Add(clientFrame(finalText, bytes.Repeat([]byte("x"), 300)))
	f.Add(clientFrame(finalPing, []byte("ping")))
	f.Add([]byte{finalText, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		stream := bytes.Clone(b)
		first, payload, n := simpleFrame(b)
		if n == 0 {
			if !bytes.Equal(b, stream) {
				t.Fatal("what is not simple was changed")
			}
			return
		}
		conn := upgraded(t, readOnly{Reader: bytes.NewReader(stream[:n])})
		control := func(kind byte) func(string) error {
			return func(data string) error {
				if first != kind || data != string(payload) {
					t.Errorf("%x %q: gorilla read a %x of %q", first, payload, kind, data)
				}
				return nil
			}
		}
		conn.SetPingHandler(control(finalPing))
		conn.SetPongHandler(control(finalPong))
		kind, data, err := conn.ReadMessage()
		switch {
		case first == finalText && (err != nil || kind != websocket.TextMessage || !bytes.Equal(data, payload)):
			t.Errorf("%q: gorilla read %d %q, %v", payload, kind, data, err)
		case first != finalText && err == nil:
			t.Errorf("%x %q: gorilla read the message %q", first, payload, data)
		}
	})
}

// readOnly is a connection that reads from a reader, and drops what is written.
type readOnly struct {
	net.Conn
	io.Reader
}

func (r readOnly) Read(b []byte) (int, error) { return r.Reader.Read(b) }
func (readOnly) Write(b []byte) (int, error)  { return len(b), nil }
func (readOnly) SetDeadline(time.Time) error  { return nil }
func (readOnly) Close() error                 { return nil }

func (r readOnly) SetWriteDeadline(time.Time) error { return nil }

// takenOver is an http.ResponseWriter on a connection.
type takenOver struct {
	http.ResponseWriter
	net.Conn
}

func (w takenOver) Write(b []byte) (int, error) { return w.Conn.Write(b) }

func (w takenOver) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.Conn, bufio.NewReadWriter(bufio.NewReader(w.Conn), bufio.NewWriter(w.Conn)), nil
}

// upgraded is gorilla's server on a connection.
func upgraded(t *testing.T, conn net.Conn) *websocket.Conn {
	t.Helper()
	r := &http.Request{Method: http.MethodGet, Header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}}}
	c, err := new(websocket.Upgrader).Upgrade(takenOver{Conn: conn}, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// clientOf is gorilla's client of a server that sends it the stream.
func clientOf(t *testing.T, stream []byte) *websocket.Conn {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	go func() {
		r, err := http.ReadRequest(bufio.NewReader(far))
		if err == nil {
			_, err = new(websocket.Upgrader).Upgrade(takenOver{Conn: far}, r, nil)
		}
		if err != nil {
			t.Error(err)
		}
		far.Write(stream) // an error shows at the client
	}()
	dialer := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return near, nil }}
	c, _, err := dialer.Dial("ws://turnpike.test", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// clientFrame is a frame as a client sends it.
func clientFrame(first byte, payload []byte) []byte {
	b := appendFrameHeader([]byte{first}, len(payload), 0x80)
	mask := []byte{0x12, 0xf4, 0x56, 0x87}
	b = append(b, mask...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}

// TestAppendFrame holds that clients understand the frames that go past gorilla.
func TestAppendFrame(t *testing.T) {
	message, err := wire.Encode(&wire.Left{Room: "r", Reason: wire.ReasonLeave})
	if err != nil {
		t.Fatal(err)
	}
	var stream []byte
	var want []string
	buf := []byte("what was there")
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 100_000} {
		text := strings.Repeat("x", size)
		want = append(want, text)
		var whole []byte
		buf, whole = appendFrame(buf[:0], frame{kind: websocket.TextMessage, data: []byte(text)})
		stream = append(stream, whole...)
	}
	_, whole := appendFrame(nil, frame{kind: websocket.TextMessage, data: message, seq: 7})
	stream = append(stream, whole...)
	want = append(want, string(wire.AppendSeq(nil, message, 7)))
	_, whole = appendFrame(nil, frame{kind: websocket.PingMessage})
	stream = append(stream, whole...)
	_, whole = appendFrame(nil, frame{kind: websocket.CloseMessage, data: websocket.FormatCloseMessage(4002, "slow")})
	stream = append(stream, whole...)

	conn := clientOf(t, stream)
	pinged := false
	conn.SetPingHandler(func(string) error { pinged = true; return nil })
	for i, text := range want {
		if kind, data, err := conn.ReadMessage(); kind != websocket.TextMessage || string(data) != text || err != nil {
			t.Fatalf("message %d: a %d of %d bytes, %v, want %d bytes", i, kind, len(data), err, len(text))
		}
	}
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, 4002) || !pinged {
		t.Errorf("at the end: %v, pinged: %v", err, pinged)
	}
}
