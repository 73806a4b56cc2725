package signal

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/memlisten"
	"example.org/turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

// TestMain fails the run if a goroutine of this package or of package socket outlives the tests. Each test shuts its
// server down.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := leaked(); left != "" {
			fmt.Fprintln(os.Stderr, "goroutines left:\n"+left)
			code = 1
		}
	}
	os.Exit(code)
}

// leaked returns the stacks of our goroutines other than the caller's.
func leaked() string { return untilGone("example.org/turnpike/signal") }

// untilIdle waits until no goroutine reads or writes on a connection, and returns the stacks of those that do not end.
// Where there is no poller, readers wait in goroutines, and it does nothing.
func untilIdle() string {
	if runtime.GOOS != "linux" {
		return ""
	}
	return untilGone("example.org/turnpike/signal/socket.(*Conn)")
}

// untilGone returns the stacks, other than the caller's, that have the text in them. It yields for a while first: a
// goroutine that is done may not have exited yet.
func untilGone(text string) string {
	var left []string
	for range 1000 {
		buf := make([]byte, 1<<20)
		stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
		left = nil
		for _, stack := range stacks[1:] {
			if strings.Contains(stack, text) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			break
		}
		runtime.Gosched()
	}
	return strings.Join(left, "\n\n")
}

// testSecret signs the resume tokens of every server in the tests: each is another process of the same node.
var testSecret = auth.NewSecret([]byte("secret of the tests, 32 bytes or more"))

// testTicket makes the "token" that VerifyTicket reads in tests: the ticket itself in JSON.
func testTicket(user, name string, role auth.Role, rooms ...string) string {
	if len(rooms) == 0 {
		rooms = []string{"*"}
	}
	data, err := json.Marshal(auth.Ticket{User: auth.User{Issuer: auth.Issuer, Subject: user}, Name: name, Role: role, Rooms: rooms})
	if err != nil {
		panic(err)
	}
	return string(data)
}

// choosingTicket is that of a member who may choose another name.
func choosingTicket(user, name string) string {
	return strings.Replace(testTicket(user, name, auth.RoleMember), `"Chosen":false`, `"Chosen":true`, 1)
}

func verifyTestTicket(token string) (auth.Ticket, error) {
	var tk auth.Ticket
	if token == "expired" {
		return tk, auth.ErrExpired
	}
	if err := json.Unmarshal([]byte(token), &tk); err != nil {
		return tk, auth.ErrUnauthorized
	}
	return tk, nil
}

// harness is a server that clients reach through real WebSockets, over TCP or, for the clock of testing/synctest, over
// memory.
type harness struct {
	t      testing.TB
	srv    *Server
	url    string
	dialer websocket.Dialer
	// patience is how long a client waits for a message.
	patience time.Duration

	mu    sync.Mutex
	ended []string // by EndRelays
}

func newHarness(t testing.TB, edit func(*Config)) *harness {
	t.Helper()
	h := &harness{t: t, patience: 20 * time.Second}
	h.start(edit)
	ts := httptest.NewServer(h.srv)
	t.Cleanup(func() {
		h.shutdown()
		ts.Close()
	})
	h.url = "ws" + strings.TrimPrefix(ts.URL, "http") + "/signal"
	return h
}

// newMemoryHarness serves over net.Pipe, which buffers no bytes: a client that does not read blocks its writer at once.
func newMemoryHarness(t testing.TB, edit func(*Config)) *harness {
	t.Helper()
	h := &harness{t: t, url: "ws://turnpike.test/signal", patience: 24 * time.Hour}
	h.start(edit)
	l := memlisten.New()
	hs := &http.Server{Handler: h.srv}
	served := make(chan struct{})
	go func() {
		defer close(served)
		hs.Serve(l)
	}()
	t.Cleanup(func() {
		h.shutdown()
		hs.Close()
		<-served
	})
	h.dialer.NetDial = func(string, string) (net.Conn, error) { return l.Dial() }
	return h
}

func (h *harness) start(edit func(*Config)) {
	cfg := Config{VerifyTicket: verifyTestTicket, EndRelays: func(session string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.ended = append(h.ended, session)
	}, ResumeTokens: auth.NewResumeTokens(testSecret, time.Now, rand.Reader)}
	many := Rate{PerSecond: 1000, Burst: 1000}
	cfg.Limits.Joins, cfg.Limits.UserJoins, cfg.Limits.AddrJoins, cfg.Limits.AddrHellos = many, many, many, many
	if edit != nil {
		edit(&cfg)
	}
	h.srv = New(cfg)
	h.dialer = websocket.Dialer{Subprotocols: []string{wire.Subprotocol}}
}

func (h *harness) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.srv.Shutdown(ctx); err != nil {
		h.t.Errorf("Shutdown: %v", err)
	}
}

// client is a peer in a test. Its messages are maps, as JavaScript sees them.
type client struct {
	t       testing.TB
	conn    *websocket.Conn
	session string
	user    string
	token   string // to resume with

	withoutAck bool

	writing  sync.Mutex // held to write: readers write acknowledgements
	received uint64     // the number of the last message
	requests int        // made by newID
	patience time.Duration
}

type msg map[string]any

// dial opens a connection and says nothing.
func (h *harness) dial() *client {
	h.t.Helper()
	conn, resp, err := h.dialer.Dial(h.url, nil)
	if err != nil {
		h.t.Fatalf("dial: %v (%v)", err, resp)
	}
	h.t.Cleanup(func() { conn.Close() })
	return &client{t: h.t, conn: conn, patience: h.patience}
}

// member connects a member whose user and name are name.
func (h *harness) member(name string) *client {
	h.t.Helper()
	return h.welcome(testTicket(name, name, auth.RoleMember))
}

func (h *harness) guest(name string) *client {
	h.t.Helper()
	return h.welcome(testTicket(name, name, auth.RoleGuest))
}

func (h *harness) welcome(ticket string) *client {
	h.t.Helper()
	c := h.dial()
	c.send(msg{"type": "hello", "ticket": ticket})
	w := c.expect("welcome")
	c.session, c.user = w["session"].(string), w["user"].(string)
	c.token, _ = w["resume"].(string)
	return c
}

func (c *client) send(m msg) {
	c.t.Helper()
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.conn.WriteJSON(m); err != nil {
		c.t.Fatalf("send %v: %v", m, err)
	}
}

// newID makes the id of a request.
func (c *client) newID() string {
	c.requests++
	return fmt.Sprint("request ", c.requests)
}

// acknowledge acknowledges all messages so far.
func (c *client) acknowledge() {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.conn.WriteJSON(msg{"type": "ack", "received": c.received}) // an error shows at the next read
}

func (c *client) sendText(text string) {
	c.t.Helper()
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		c.t.Fatalf("send %s: %v", text, err)
	}
}

func (c *client) read() (msg, error) {
	c.conn.SetReadDeadline(time.Now().Add(c.patience))
	_, data, err := c.conn.ReadMessage()
	if err != nil {
		return nil, err
	}
	var m msg
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	if after, ok := m["after"].(float64); ok {
		c.received = uint64(after)
	} else if seq, ok := m["seq"].(float64); ok {
		if uint64(seq) != c.received+1 {
			c.t.Errorf("message %v after %d: %v", seq, c.received, m)
		}
		if c.received = uint64(seq); c.received%wire.AckEvery == 0 && !c.withoutAck {
			c.acknowledge()
		}
	}
	return m, nil
}

// expect reads the next message, which must have the type and the fields, given as pairs.
func (c *client) expect(typ string, pairs ...any) msg {
	c.t.Helper()
	m, err := c.read()
	if err != nil {
		c.t.Fatalf("waiting for %s: %v", typ, err)
	}
	if m["type"] != typ {
		c.t.Fatalf("got %v, want %s", m, typ)
	}
	for i := 0; i < len(pairs); i += 2 {
		field := pairs[i].(string)
		if got, want := fmt.Sprint(m[field]), fmt.Sprint(pairs[i+1]); got != want {
			c.t.Fatalf("%s: %s is %s, want %s", typ, field, got, want)
		}
	}
	return m
}

// skipTo reads until a message of the type comes.
func (c *client) skipTo(typ string) msg {
	c.t.Helper()
	for {
		m, err := c.read()
		if err != nil {
			c.t.Fatalf("waiting for %s: %v", typ, err)
		}
		if m["type"] == typ {
			return m
		}
	}
}

// expectClose reads until the connection closes, which must be with the code and the word that goes with it.
func (c *client) expectClose(code int) {
	c.t.Helper()
	for {
		_, err := c.read()
		var ce *websocket.CloseError
		if errors.As(err, &ce) {
			if ce.Code != code || ce.Text != wire.CloseReason(code) {
				c.t.Fatalf("closed with %d %q, want %d %q", ce.Code, ce.Text, code, wire.CloseReason(code))
			}
			return
		}
		if err != nil {
			c.t.Fatalf("waiting for close %d: %v", code, err)
		}
	}
}

// together runs functions at once and waits for all of them.
func together(do ...func()) {
	var wg sync.WaitGroup
	for _, f := range do {
		wg.Go(f)
	}
	wg.Wait()
}

// expectNothing proves that no message has come for the client: it sends a request whose answer must be the next
// message.
func (c *client) expectNothing() {
	c.t.Helper()
	id := c.newID()
	c.send(msg{"type": "leave", "id": id, "room": "never-joined"})
	c.expect("error", "ref", id, "code", "not-in-room")
}

func (c *client) join(room string, fields ...any) msg {
	c.t.Helper()
	m := msg{"type": "join", "room": room, "create": true}
	for i := 0; i < len(fields); i += 2 {
		m[fields[i].(string)] = fields[i+1]
	}
	c.send(m)
	return c.expect("joined", "room", room)
}

// pair connects two guests and puts them into a room.
func (h *harness) pair(room string) (a, b *client) {
	h.t.Helper()
	a, b = h.guest(room+" a"), h.guest(room+" b")
	a.join(room)
	b.join(room)
	a.expect("peer-joined")
	return a, b
}

func (c *client) signalTo(to *client, room, candidate string) {
	c.t.Helper()
	c.send(msg{"type": "signal", "room": room, "to": to.session, "candidate": msg{"candidate": candidate, "sdpMid": "0"}})
}

// testICEServers hands out credentials that live for an hour.
func testICEServers(session string, _ auth.User, _ string, _ time.Time) ([]wire.ICEServer, time.Time) {
	return []wire.ICEServer{{URLs: []string{"turn:turn.test"}, Username: session, Credential: "c"}}, time.Now().Add(time.Hour)
}
