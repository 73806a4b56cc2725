package signal

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/signal/socket"
	"example.org/turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

// attack is one way to harm a server, or its other clients. Each is tried against a server on which a pair talks in a
// room named home. The server must answer as the row says, and its memory must not grow by more than mostHeap.
// Afterwards the pair must hear each other, and nothing of the attack.
type attack struct {
	name   string
	limits func(*Limits)
	resume bool // sessions outlive their connections
	memory bool // over memory, with the clock of a synctest bubble
	try    func(a *attacker)
}

// mostHeap is less than the greatest attacks send, and more than readers and writers hold. Under the race detector,
// pools lose things on purpose.
const mostHeap = 8 << 20

// attacker has a connection with a session, which is alone in a room.
type attacker struct {
	*client
	h           *harness
	home, other *client
}

// TestAttacks tries all attacks. Besides them, TestFrozenOverTCP floods a client that reads nothing, with the kernel's
// buffers between.
func TestAttacks(t *testing.T) {
	for _, row := range slices.Concat(frameAttacks(), messageAttacks(), tokenAttacks(), floodAttacks()) {
		t.Run(row.name, func(t *testing.T) {
			if row.memory {
				synctest.Test(t, row.run)
			} else {
				row.run(t)
			}
		})
	}
}

func (row *attack) run(t *testing.T) {
	config := func(cfg *Config) {
		if row.resume {
			resuming(cfg)
		}
		if row.limits != nil {
			row.limits(&cfg.Limits)
		}
	}
	h := newHarness
	if row.memory {
		h = newMemoryHarness
	}
	a := &attacker{h: h(t, config)}
	a.home, a.other = a.h.pair("home")
	a.client = a.h.guest("attacker")
	a.join("away")
	if row.resume {
		for _, c := range []*client{a.home, a.other, a.client} {
			c.token = c.expect("resume")["token"].(string)
		}
	}
	before := restingHeap()
	row.try(a)
	if grown := restingHeap() - before; grown > mostHeap {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	a.talk()
	if errs := counterOf(a.h.srv, "errors", string(wire.CodeInternal)); errs != 0 {
		t.Errorf("%d internal errors", errs)
	}
}

// restingHeap is heapInUse without the contents of pools.
func restingHeap() int64 {
	heapInUse()
	return heapInUse()
}

// talk has the pair hear each other, and nothing else.
func (a *attacker) talk() {
	a.home.signalTo(a.other, "home", "")
	a.other.expect("signal", "from", a.home.session)
	a.other.signalTo(a.home, "home", "")
	a.home.expect("signal", "from", a.other.session)
}

// raw writes a frame with any first byte, and any length in its header. The mask is zero.
func (a *attacker) raw(first byte, length uint64, payload string) {
	a.t.Helper()
	frame := binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, length)
	frame = append(append(frame, 0, 0, 0, 0), payload...)
	if _, err := a.conn.NetConn().Write(frame); err != nil {
		a.t.Fatal(err)
	}
}

// closedWith reads until the connection is closed with one of the codes.
func (a *attacker) closedWith(codes ...int) {
	a.t.Helper()
	for {
		_, err := a.read()
		if err == nil {
			continue
		}
		if !websocket.IsCloseError(err, codes...) {
			a.t.Fatalf("%v, want a close by one of %v", err, codes)
		}
		return
	}
}

// refusedAs sends texts. The answer to each must be an error with the code.
func (a *attacker) refusedAs(code wire.Code, texts ...string) {
	a.t.Helper()
	for _, text := range texts {
		a.sendText(text)
		if m := a.expect("error"); m["code"] != string(code) {
			a.t.Errorf("%.100s: answered %v", text, m)
		}
	}
}

const compressed = 0x40 // in the first byte of a frame

// frameAttacks break WebSocket, or stretch it.
func frameAttacks() []attack {
	const tooBig, protocol = wire.CloseTooBig, websocket.CloseProtocolError
	var bomb bytes.Buffer
	w, _ := flate.NewWriter(&bomb, flate.BestCompression)
	w.Write(bytes.Repeat([]byte(" "), 10<<20))
	w.Close()
	big := make([]byte, 10<<20)
	fragments := []byte{websocket.TextMessage, 0x80 | 1, 0, 0, 0, 0, 'x'}
	fragments = append(fragments, bytes.Repeat([]byte{0, 0x80 | 1, 0, 0, 0, 0, 'x'}, 70_000)...)
	return []attack{
		{name: "a frame of 10 MB", try: func(a *attacker) {
			go a.conn.WriteMessage(websocket.TextMessage, big) // as far as it gets
			a.closedWith(tooBig)
		}},
		{name: "a frame of 4 EB that hardly begins", try: func(a *attacker) {
			a.raw(finalText, 1<<62, strings.Repeat("x", wire.MaxMessage+1))
			a.closedWith(tooBig)
		}},
		{name: "a frame longer than there are numbers", try: func(a *attacker) {
			a.raw(finalText, 1<<64-1, "x")
			a.closedWith(tooBig)
		}},
		{name: "a message in 70,000 fragments", try: func(a *attacker) {
			go a.conn.NetConn().Write(fragments)
			a.closedWith(tooBig)
		}},
		{name: "half a message, and no more", memory: true, try: func(a *attacker) {
			a.raw(finalText, 1000, `{"type"`)
			together(func() { a.closedWith(wire.CloseDead) }, func() {
				for range 2 * wire.DeadAfter / socket.WriteTimeout { // so that they read their pings in time
					time.Sleep(socket.WriteTimeout / 2)
					a.talk()
				}
			})
		}},
		{name: "compression is offered", try: func(a *attacker) {
			d := a.h.dialer
			d.EnableCompression = true
			conn, resp, err := d.Dial(a.h.url, nil)
			if err != nil || resp.Header.Get("Sec-Websocket-Extensions") != "" {
				a.t.Fatalf("%v, extensions %q", err, resp.Header.Get("Sec-Websocket-Extensions"))
			}
			conn.Close()
		}},
		{name: "a compression bomb that nobody agreed to", try: func(a *attacker) {
			a.raw(finalText|compressed, uint64(bomb.Len()), bomb.String()[:100])
			a.closedWith(protocol)
		}},
		{name: "a reserved opcode", try: func(a *attacker) {
			a.raw(0x80|3, 1, "x")
			a.closedWith(protocol)
		}},
		{name: "a frame without a mask", try: func(a *attacker) {
			a.conn.NetConn().Write([]byte{finalText, 2, '{', '}'})
			a.closedWith(protocol)
		}},
		{name: "a long ping", try: func(a *attacker) {
			a.raw(0x80|websocket.PingMessage, 1<<40, "x")
			a.closedWith(protocol)
		}},
		{name: "a close frame that says no code", try: func(a *attacker) {
			a.conn.NetConn().Write([]byte{0x80 | websocket.CloseMessage, 0x80 | 1, 0, 0, 0, 0, 'x'})
			a.closedWith(protocol, websocket.CloseNoStatusReceived)
		}},
		{name: "a page of another origin", try: func(a *attacker) {
			for _, origin := range []string{"https://evil.example.org", "null", "https://turnpike.test.evil.example.org"} {
				_, resp, err := a.h.dialer.Dial(a.h.url, http.Header{"Origin": {origin}})
				if err == nil || resp.StatusCode != http.StatusForbidden {
					a.t.Errorf("%s: %v, %v", origin, resp, err)
				}
			}
		}},
		{name: "binary", try: func(a *attacker) {
			a.conn.WriteMessage(websocket.BinaryMessage, []byte(`{"type":"bye"}`))
			a.expect("error", "code", "bad-message")
		}},
	}
}

// messageAttacks are well-formed frames with hostile values, or with values of other clients.
func messageAttacks() []attack {
	const bad = wire.CodeBadMessage
	deep := strings.Repeat("[", 30_000)
	signal := func(field string) string { return `{"type":"signal","room":"away","to":"x",` + field + `}` }
	return []attack{
		{name: "no object", try: func(a *attacker) {
			a.refusedAs(bad, ``, `null`, `7`, `"bye"`, `[]`, `true`, `{`, `{}{}`)
		}},
		{name: "null for strings", try: func(a *attacker) {
			a.refusedAs(bad, `{"type":null}`, `{"type":"bye","id":null}`, `{"type":"leave","room":null}`, signal(`"description":null`),
				signal(`"candidates":null`), `{"type":"call","to":null}`)
		}},
		{name: "numbers for strings, and strings for numbers", try: func(a *attacker) {
			a.refusedAs(bad, `{"type":1}`, `{"type":"leave","room":7}`, signal(`"candidate":{"candidate":1}`), `{"type":"ack","received":"1"}`,
				`{"type":"join","size":"2"}`)
		}},
		{name: "acknowledgements of no number", try: func(a *attacker) {
			a.refusedAs(bad, `{"type":"ack","received":-1}`, `{"type":"ack","received":1.5}`, `{"type":"ack","received":1e3}`,
				`{"type":"ack","received":99999999999999999999}`, `{"type":"ack","received":null}`, `{"type":"ping","received":9007199254740991}`)
		}},
		{name: "names of JavaScript's own", try: func(a *attacker) {
			a.refusedAs(bad, `{"type":"__proto__"}`, `{"type":"constructor"}`, `{"type":"leave","room":"__proto__"}`)
			a.refusedAs(wire.CodeNotInRoom, `{"type":"leave","room":"constructor"}`,
				`{"type":"signal","room":"away","to":"__proto__","candidate":null}`)
			a.refusedAs(wire.CodeNoSuchUser, `{"type":"call","to":"__proto__"}`)
			a.sendText(`{"type":"join","id":"hasOwnProperty","room":"constructor","create":true,"__proto__":{"size":1}}`)
			a.expect("joined", "ref", "hasOwnProperty", "room", "constructor", "size", wire.DefaultRoomSize)
		}},
		{name: "deep nesting", try: func(a *attacker) {
			a.refusedAs(bad, deep, deep+strings.Repeat("]", len(deep)), `{"type":"bye","x":`+deep+strings.Repeat("]", len(deep))+`}`,
				signal(`"candidates":[`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`]`))
		}},
		{name: "invalid UTF-8", try: func(a *attacker) {
			a.join("other", "create", true)
			for _, text := range []string{"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80"} {
				a.refusedAs(bad, `{"type":"signal","room":"home","to":"`+a.home.session+`","candidate":{"candidate":"`+text+`"}}`)
			}
		}},
		{name: "bad message after bad message", try: func(a *attacker) {
			for range wire.MaxBadMessages {
				a.refusedAs(bad, `{"type":"ack","received":1000}`)
			}
			a.closedWith(wire.CloseBadMessage)
		}},
		{name: "to somebody in another room", try: func(a *attacker) {
			for _, room := range []string{"away", "home", "nowhere"} {
				a.send(msg{"type": "signal", "id": room, "room": room, "to": a.home.session, "candidate": nil})
				a.expect("error", "ref", room, "code", "not-in-room")
			}
			a.home.expectNothing()
		}},
		{name: "to oneself", try: func(a *attacker) {
			a.send(msg{"type": "signal", "room": "away", "to": a.session, "candidate": nil})
			a.expect("error", "code", "not-in-room")
		}},
		{name: "in somebody else's name", try: func(a *attacker) {
			mate := a.h.guest("mate")
			mate.join("away")
			a.expect("peer-joined")
			a.send(msg{"type": "signal", "room": "away", "to": mate.session, "from": a.home.session, "seq": 1, "candidate": nil})
			mate.expect("signal", "from", a.session)
		}},
		{name: "too many candidates", try: func(a *attacker) {
			a.refusedAs(bad, signal(`"candidates":[]`), signal(`"candidates":[`+strings.Repeat(`null,`, 32)+`null]`),
				signal(`"candidates":[null],"candidate":null`), signal(`"candidates":{"0":null}`))
		}},
		{name: "guessed tickets", try: func(a *attacker) {
			c := &attacker{client: a.h.dial()}
			for range ticketTries {
				c.refusedAs(wire.CodeUnauthorized, `{"type":"hello","ticket":"guess"}`)
			}
			c.closedWith(wire.CloseUnauthorized)
		}},
		{name: "requests before hello", try: func(a *attacker) {
			c := &attacker{client: a.h.dial()}
			c.refusedAs(bad, `{"type":"bye"}`, `{"type":"ack","received":1}`, `{"type":"join","room":"home"}`,
				`{"type":"signal","room":"home","to":"`+a.home.session+`","candidate":null}`)
			a.home.expectNothing()
		}},
	}
}

// floodAttacks send or ask for too much, or read nothing.
func floodAttacks() []attack {
	return []attack{
		{name: "messages as fast as can be", try: func(a *attacker) {
			a.withoutAck = true // only one goroutine may write
			go func() {
				for a.conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"leave","room":"nowhere"}`)) == nil {
				}
			}()
			a.closedWith(wire.CloseRateLimited)
		}},
		{name: "pings, and no reading", try: func(a *attacker) {
			ping := bytes.Repeat([]byte{0x80 | websocket.PingMessage, 0x80 | 1, 0, 0, 0, 0, 'x'}, 100_000)
			a.conn.NetConn().Write(ping)
			a.send(msg{"type": "leave", "id": "after", "room": "nowhere"})
			a.expect("error", "ref", "after", "code", "rate-limited")
		}},
		{name: "probes, and no reading", memory: true, try: func(a *attacker) {
			for range 300 {
				a.sendText(`{"type":"ping","id":"x"}`)
			}
			a.closedWith(wire.CloseRateLimited)
		}},
		{name: "nothing is acknowledged", limits: func(l *Limits) { l.QueueMessages = 100 }, try: func(a *attacker) {
			a.withoutAck = true
			for range 101 {
				a.send(msg{"type": "leave", "room": "nowhere"})
			}
			a.closedWith(wire.CloseSlow)
		}},
		{name: "a mate who reads nothing", memory: true, limits: func(l *Limits) { l.Messages = Rate{PerSecond: 1e6, Burst: 1e6} }, try: func(a *attacker) {
			mate := a.h.guest("mate")
			mate.join("away")
			a.expect("peer-joined")
			start, text := time.Now(), strings.Repeat("x", 60<<10)
			for range 20 {
				a.signalTo(mate, "away", text)
			}
			a.expect("peer-left", "session", mate.session, "reason", "slow")
			if took := time.Since(start); took > time.Second {
				a.t.Errorf("cut off after %v", took)
			}
		}},
		{name: "sockets that say nothing", memory: true, limits: func(l *Limits) { l.SessionsPerAddr = 40 }, try: func(a *attacker) {
			var silent []*client
			for range 100 {
				silent = append(silent, a.h.dial())
			}
			newcomer := a.h.guest("newcomer")
			for i, c := range silent {
				if i >= 60 {
					c.expectClose(wire.CloseHelloTimeout)
				} else if i >= 100-46 {
					continue // there is room for 46 with those that have said hello
				} else if _, err := c.read(); err == nil || websocket.IsCloseError(err, wire.CloseHelloTimeout) {
					a.t.Fatalf("silent connection %d was told %v", i, err)
				}
				c.conn.Close()
			}
			newcomer.expectNothing()
		}},
		{name: "a storm of resumes", resume: true, memory: true, try: func(a *attacker) {
			const sockets = 100
			var heard, storm sync.WaitGroup
			heard.Add(sockets)
			for range sockets {
				c := a.h.dial()
				storm.Go(func() {
					c.conn.WriteJSON(msg{"type": "hello", "resume": msg{"session": a.session, "token": a.token, "received": a.received}})
					m, err := c.read()
					if err == nil && m["resumed"] != wire.ResumedReplayed {
						a.t.Errorf("answered %v", m)
					}
					for heard.Done(); err == nil; {
						_, err = c.read()
					}
					if !websocket.IsCloseError(err, wire.CloseReplaced) {
						a.t.Errorf("%v, want to be replaced", err)
					}
				})
			}
			a.closedWith(wire.CloseReplaced) // by the first of them
			heard.Wait()
			last, _ := a.h.back(a.identity(), wire.ResumedReplayed)
			storm.Wait()
			last.expectNothing()
		}},
		{name: "sessions that are left behind", resume: true, memory: true, limits: func(l *Limits) { l.SessionsPerAddr = 20 }, try: func(a *attacker) {
			for i := range 60 {
				a.h.guest(fmt.Sprint("left ", i)).lose()
				synctest.Wait()
			}
			if away := a.h.srv.Stats().Away; away != 20 {
				a.t.Errorf("%d sessions are away", away)
			}
		}},
	}
}
