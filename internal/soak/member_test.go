package soak

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// message has the fields of the server's messages that this client reads.
type message struct {
	Type, Ref, Session, User, Resume, Token, Resumed, Code, Room, Call, Reason string

	Seq   uint64
	Peers []struct{ Session, User string }
	Peer  struct{ Session, User string }

	ICEServers []struct {
		URLs                 []string
		Username, Credential string
	}
}

// member is a session, and the connection that it has now.
type member struct {
	s      *server
	random *rand.Rand
	from   string // the address that it connects from
	ticket string
	conn   *websocket.Conn
	asked  int

	reading sync.WaitGroup
	in      chan message // closed when the connection is over

	id, user, token string
	received        uint64
	turnUser        string
	turnPassword    string
	rooms           []string
	kicked          int      // so many times, from rooms
	peers           []peer   // whom it has seen in its rooms
	lost            []*relay // left without a word
}

func (m *member) move() { m.from = fmt.Sprintf("127.0.0.%d", 1+m.random.IntN(8)) }

// newMember gets a ticket, and signs in.
func newMember(s *server, random *rand.Rand) (*member, error) {
	m := &member{s: s, random: random}
	m.move()
	resp, err := s.client(m.from).Post("https://"+s.web.String()+"/api/v1/tickets", "application/json", bytes.NewReader([]byte(fmt.Sprintf(`{"name":"soak %x"}`, random.Uint64()))))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var got struct{ Ticket string }
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.Ticket == "" {
		return nil, fmt.Errorf("no ticket: %s, %w", resp.Status, err)
	}
	m.ticket = got.Ticket
	return m, m.connect(map[string]any{"type": "hello", "ticket": m.ticket})
}

// connect opens a connection and says hello.
func (m *member) connect(hello map[string]any) error {
	d := websocket.Dialer{
		NetDialContext: dialer(m.from).DialContext, TLSClientConfig: clientTLS(), HandshakeTimeout: patience, Subprotocols: []string{"turnpike.v1"},
	}
	conn, resp, err := d.Dial("wss://"+m.s.web.String()+"/signal", http.Header{})
	if err != nil {
		if resp != nil {
			return fmt.Errorf("%w: %s", err, resp.Status)
		}
		return err
	}
	m.conn, m.in = conn, make(chan message, 1024)
	m.reading.Go(func() { read(conn, m.in) })
	welcome, err := m.ask(hello)
	if err != nil {
		return err
	}
	if m.id != welcome.Session {
		m.received, m.rooms, m.peers = 0, nil, nil
		m.forget(false)
	}
	m.id, m.user = welcome.Session, welcome.User
	if welcome.Resume != "" {
		m.token = welcome.Resume
	}
	for _, s := range welcome.ICEServers {
		if s.Username != "" {
			m.turnUser, m.turnPassword = s.Username, s.Credential
		}
	}
	return nil
}

// read reads messages until the connection is over. Nobody waits for a member that does not look at them.
func read(conn *websocket.Conn, in chan<- message) {
	defer close(in)
	for {
		_, b, err := conn.ReadMessage()
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(b, &m) == nil {
			select {
			case in <- m:
			default:
			}
		}
	}
}

var errGone = errors.New("the connection is over")

// refused is an error that the server has answered with.
type refused string

func (r refused) Error() string { return "refused: " + string(r) }

// send sends a message, which acknowledges what has come.
func (m *member) send(v map[string]any) error {
	if v["type"] != "hello" {
		v["received"] = m.received
	}
	return m.conn.WriteJSON(v)
}

// ask sends a request and returns its answer.
func (m *member) ask(v map[string]any) (message, error) {
	m.asked++
	id := fmt.Sprint(m.asked)
	v["id"] = id
	if err := m.send(v); err != nil {
		return message{}, errGone
	}
	deadline := time.After(patience)
	for {
		select {
		case got, ok := <-m.in:
			if !ok {
				return message{}, errGone
			}
			m.note(got)
			if got.Ref != id {
				continue
			}
			if got.Type == "error" {
				return got, refused(got.Code)
			}
			return got, nil
		case <-deadline:
			return message{}, fmt.Errorf("no answer to %v", v["type"])
		}
	}
}

// note learns from a message, and answers a call.
func (m *member) note(got message) {
	m.received = max(m.received, got.Seq)
	switch got.Type {
	case "resume":
		m.token = got.Token
	case "joined":
		if !slices.Contains(m.rooms, got.Room) {
			m.rooms = append(m.rooms, got.Room)
		}
		for _, p := range got.Peers {
			m.meet(got.Room, p.Session, p.User)
		}
	case "left":
		if got.Reason == "kicked" {
			m.kicked++
		}
		m.rooms = slices.DeleteFunc(m.rooms, func(r string) bool { return r == got.Room })
	case "peer-joined":
		m.meet(got.Room, got.Peer.Session, got.Peer.User)
	case "call":
		answer := "accept"
		if m.random.IntN(3) == 0 {
			answer = "decline"
		}
		m.asked++
		_ = m.send(map[string]any{"type": answer, "id": fmt.Sprint(m.asked), "call": got.Call}) // a connection that is over shows when it is read
	}
}

// peer is another session in a room of a member's.
type peer struct{ room, session, user string }

const known = 8 // peers, the last that it saw

func (m *member) meet(room, session, user string) {
	if session != "" && session != m.id {
		m.peers = append(m.peers[max(0, len(m.peers)-known+1):], peer{room, session, user})
	}
}

// look reads what has come.
func (m *member) look(wait time.Duration) error {
	deadline := time.After(wait)
	for {
		select {
		case got, ok := <-m.in:
			if !ok {
				return errGone
			}
			m.note(got)
		case <-deadline:
			return nil
		}
	}
}

// drop breaks the connection without a word.
func (m *member) drop() {
	_ = m.conn.NetConn().Close()
	m.reading.Wait()
}

// resume comes back from another address.
func (m *member) resume() error {
	m.move()
	return m.connect(map[string]any{
		"type": "hello", "ticket": m.ticket, "resume": map[string]any{"session": m.id, "token": m.token, "received": m.received},
	})
}

// bye ends the session, also one whose connection is over: its relays would go on without it.
func (m *member) bye() {
	if m.send(map[string]any{"type": "ping"}) != nil || m.look(10*time.Millisecond) != nil {
		m.drop()
		if m.resume() != nil { // the session is over
			m.forget(false)
		}
	}
	said := m.send(map[string]any{"type": "bye"}) == nil
	_ = m.look(patience) // until the server hangs up
	m.drop()
	m.forget(said)
}
