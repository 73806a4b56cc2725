package client_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"example.org/turnpike/auth"
	"example.org/turnpike/client"
	"example.org/turnpike/client/internal/linktest"
	"example.org/turnpike/client/internal/signaling"
	"example.org/turnpike/internal/memlisten"
	"example.org/turnpike/signal"
	"example.org/turnpike/signal/wire"
)

// TestMain fails the run if a goroutine of ours outlives the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leaked(); code == 0 && left != "" {
		fmt.Fprintln(os.Stderr, "goroutines left:\n"+left)
		code = 1
	}
	os.Exit(code)
}

// leaked returns the stacks of the library's goroutines. It yields for a while first: a goroutine that is done may not have
// exited yet.
func leaked() string {
	var left []string
	for range 1000 {
		buf := make([]byte, 1<<20)
		left = nil
		for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")[1:] {
			if strings.Contains(stack, "example.org/turnpike/client") {
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

const window = 30 * time.Second

// world is a server in memory with the clock of testing/synctest, and a network that a test can break.
type world struct {
	t     *testing.T
	srv   *signal.Server
	links *linktest.Network
	ended *auth.Ended

	serving  *http.Server
	listener *memlisten.Listener

	mu    sync.Mutex
	conns map[net.Conn]string // of clients, by the user's name
	cut   map[string]bool     // users who reach nothing
	edit  func(*signal.Config)
}

var secret = auth.NewSecret([]byte("secret of the tests, 32 bytes or more"))

// inTheBubble runs a test in a world of its own.
func inTheBubble(t *testing.T, edit func(*signal.Config), test func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, links: new(linktest.Network), ended: auth.NewEnded(time.Now), conns: map[net.Conn]string{}, cut: map[string]bool{}, edit: edit}
		w.begin()
		t.Cleanup(w.stop)
		test(t, w)
	})
}

func (w *world) begin() {
	cfg := signal.Config{
		VerifyTicket: verifyTicket, ResumeWindow: window, ResumeTokens: auth.NewResumeTokens(secret, time.Now, rand.Reader), Ended: w.ended,
		ICEServers: func(session string, _ auth.User, _ string, _ time.Time) ([]wire.ICEServer, time.Time) {
			return []wire.ICEServer{{URLs: []string{"turn:turn.example.org"}, Username: session, Credential: "secret"}}, time.Now().Add(time.Hour)
		},
	}
	if w.edit != nil {
		w.edit(&cfg)
	}
	l := memlisten.New()
	serving := &http.Server{Handler: signal.New(cfg)}
	w.mu.Lock()
	w.srv, w.serving, w.listener = serving.Handler.(*signal.Server), serving, l
	w.mu.Unlock()
	go func() { _ = serving.Serve(l) }()
}

func (w *world) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.srv.Shutdown(ctx); err != nil {
		w.t.Errorf("Shutdown: %v", err)
	}
	_ = w.serving.Close()
}

// restart has another process of the server take over.
func (w *world) restart() {
	w.stop()
	w.begin()
}

func ticket(user string, role auth.Role) string {
	text, err := json.Marshal(auth.Ticket{User: auth.User{Issuer: auth.Issuer, Subject: user}, Name: user, Role: role, Rooms: []string{"*"}})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func verifyTicket(token string) (tk auth.Ticket, err error) {
	if json.Unmarshal([]byte(token), &tk) != nil {
		return tk, auth.ErrUnauthorized
	}
	return tk, nil
}

// dialer opens WebSockets of one user.
func (w *world) dialer(user string) signaling.Dial {
	return func(ctx context.Context, heard func()) (signaling.Conn, error) {
		d := websocket.Dialer{Subprotocols: []string{wire.Subprotocol}, NetDialContext: func(context.Context, string, string) (net.Conn, error) {
			w.mu.Lock()
			l, isCut := w.listener, w.cut[user]
			w.mu.Unlock()
			if isCut {
				return nil, fmt.Errorf("%s has no network", user)
			}
			conn, err := l.Dial()
			if err == nil {
				w.mu.Lock()
				w.conns[conn] = user
				w.mu.Unlock()
			}
			return conn, err
		}}
		conn, _, err := d.DialContext(ctx, "ws://turnpike.test/signal", nil)
		if err != nil {
			return nil, err
		}
		pong := conn.PingHandler()
		conn.SetPingHandler(func(data string) error {
			heard()
			return pong(data)
		})
		return textConn{conn}, nil
	}
}

type textConn struct{ *websocket.Conn }

func (c textConn) ReadMessage() ([]byte, error) {
	_, data, err := c.Conn.ReadMessage()
	return data, err
}

func (c textConn) WriteMessage(data []byte) error {
	return c.Conn.WriteMessage(websocket.TextMessage, data)
}

// lose breaks the connections of a user, and while cut is set lets it open no other.
func (w *world) lose(user string, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[user] = cut
	for conn, of := range w.conns {
		if of == user {
			conn.Close()
			delete(w.conns, conn)
		}
	}
}

// person is a session with what it has heard.
type person struct {
	*client.Session
	t      *testing.T
	mu     sync.Mutex
	events []client.Event
	more   chan struct{}
}

// member signs in.
func (w *world) member(name string, change ...func(*client.Config, *client.With)) *person {
	w.t.Helper()
	p := &person{t: w.t, more: make(chan struct{}, 1)}
	c := client.Config{URL: "https://turn.example.org", Ticket: ticket(name, auth.RoleMember), OnEvent: p.hear}
	with := client.With{QUIC: w.links.New, Dial: w.dialer(name)}
	for _, f := range change {
		f(&c, &with)
	}
	s, err := client.DialWith(w.t.Context(), c, with)
	if err != nil {
		w.t.Fatal(err)
	}
	p.Session = s
	w.t.Cleanup(func() { s.Close() })
	return p
}

func (p *person) hear(e client.Event) {
	p.mu.Lock()
	p.events = append(p.events, e)
	p.mu.Unlock()
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// expect waits for the next event of a type, and passes over others.
func expect[E client.Event](p *person) E {
	p.t.Helper()
	late := time.NewTimer(10 * time.Minute)
	defer late.Stop()
	for {
		p.mu.Lock()
		for len(p.events) > 0 {
			e, ok := p.events[0].(E)
			p.events = p.events[1:]
			if ok {
				p.mu.Unlock()
				return e
			}
		}
		p.mu.Unlock()
		select {
		case <-p.more:
		case <-late.C:
			var want E
			p.t.Fatalf("no %T came", want)
		}
	}
}

func (p *person) join(room string, o client.JoinOptions) *client.Room {
	p.t.Helper()
	r, err := p.Join(p.t.Context(), room, o)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// peer waits for the only other one in a room.
func peer(t *testing.T, r *client.Room) *client.Peer {
	t.Helper()
	p, err := r.WaitPeer(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
