package signalload

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stage is the progress of a session.
type stage uint8

const (
	stageConnecting stage = iota
	stageHandshake        // of TLS, in a goroutine of its own
	stageUpgrading
	stageGreeting
	stageGreeted
	stageEntering
	stageEntered // its mate may send to it
	stageEnded
)

// session is one WebSocket. It belongs to one goroutine at a time.
type session struct {
	// Static.
	number int
	cfg    *Config

	sock     *socket
	tls      *tls.Conn // nil in clear
	stage    stage
	address  string // by which other sessions reach it
	rest     []byte // start of a frame that has not come whole
	unsent   []byte // bytes that the socket did not take
	came     uint64 // messages, for receipts
	template frameTemplate
	sent     uint32 // messages so far

	// For a return.
	token    string    // to come back with
	entitled bool      // the token brings the session back into its room
	returnAt time.Time // not before; zero: the server has not said
	since    time.Time // the connect
	tries    int       // since it was lost
}

// handler handles a text message that a session has received.
type handler func(s *session, message []byte) error

// write writes bytes to the socket, and keeps those that the socket does not take. It reports whether it keeps none.
func (s *session) write(b []byte) (bool, error) {
	if s.tls != nil {
		_, err := s.tls.Write(b)
		return true, err
	}
	if len(s.unsent) > 0 {
		s.unsent = append(s.unsent, b...)
		return false, nil
	}
	n, err := s.sock.send(b)
	if err != nil {
		return false, err
	}
	if n < len(b) {
		s.unsent = append(s.unsent[:0], b[n:]...)
	}
	return n == len(b), nil
}

// flush tries again to write the kept bytes.
func (s *session) flush() error {
	if len(s.unsent) == 0 {
		return nil
	}
	n, err := s.sock.send(s.unsent)
	s.unsent = append(s.unsent[:0], s.unsent[n:]...)
	return err
}

func (s *session) say(text string) error {
	_, err := s.write(appendFrame(nil, opText, text))
	return err
}

// read reads everything that has come into the caller's buffer, and handles the messages in it.
func (s *session) read(buf []byte, handle handler) error {
	for {
		n, err := s.readSome(buf)
		if err == errAgain {
			return nil
		}
		if err != nil {
			return s.lost(err)
		}
		if err := s.parse(buf[:n], handle); err != nil {
			return err
		}
		if n < len(buf) && s.tls == nil {
			return nil
		}
	}
}

var errAgain = errors.New("nothing more")

func (s *session) readSome(buf []byte) (int, error) {
	if s.tls == nil {
		n, err := s.sock.receive(buf)
		if errors.Is(err, unix.EAGAIN) {
			err = errAgain
		}
		return n, err
	}
	n, err := s.tls.Read(buf)
	if errors.As(err, new(errNothing)) {
		if n > 0 {
			return n, nil
		}
		err = errAgain
	}
	return n, err
}

func (s *session) lost(err error) error {
	return fmt.Errorf("session %d is lost: %w", s.number, err)
}

// parse splits bytes into frames.
func (s *session) parse(data []byte, handle handler) error {
	if len(s.rest) > 0 {
		s.rest = append(s.rest, data...)
		data = s.rest
	}
	if s.stage == stageUpgrading {
		var err error
		if data, err = s.finishUpgrade(data); err != nil {
			return err
		}
	}
	for s.stage > stageUpgrading {
		opcode, payload, rest, whole, err := nextFrame(data)
		if err != nil {
			return s.lost(err)
		}
		if !whole {
			break
		}
		data = rest
		if err := s.frame(opcode, payload, handle); err != nil {
			return err
		}
	}
	s.rest = append(s.rest[:0], data...)
	return nil
}

func (s *session) frame(opcode byte, payload []byte, handle handler) error {
	switch opcode {
	case opText:
		return handle(s, payload)
	case opPing:
		_, err := s.write(appendFrame(nil, opPong, string(payload)))
		return err
	case opClose:
		e := &RefusedError{Code: "no code", Detail: "it closes a session"}
		if len(payload) >= 2 {
			e.Code = strings.TrimSpace(strconv.Itoa(int(payload[0])<<8|int(payload[1])) + " " + string(payload[2:]))
		}
		return e
	}
	return nil
}

// upgrade requests the WebSocket connection.
func (s *session) upgrade() error {
	target, subprotocol := s.cfg.Dialect.request(s.number)
	request := "GET " + target + " HTTP/1.1\r\nHost: " + s.cfg.Host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dHVybnBpa2UgYmVuY2guLg==\r\n"
	if subprotocol != "" {
		request += "Sec-WebSocket-Protocol: " + subprotocol + "\r\n"
	}
	s.stage = stageUpgrading
	_, err := s.write([]byte(request + "\r\n"))
	return err
}

// finishUpgrade cuts the answer of HTTP off data, and sends the greeting.
func (s *session) finishUpgrade(data []byte) ([]byte, error) {
	head, rest, ok := bytes.Cut(data, []byte("\r\n\r\n"))
	if !ok {
		return data, nil
	}
	line, _, _ := strings.Cut(string(head), "\r\n")
	version, status, _ := strings.Cut(line, " ")
	if code, err := strconv.Atoi(status[:min(len(status), 3)]); !strings.HasPrefix(version, "HTTP/1.") || err != nil {
		return nil, errors.New("the server does not speak HTTP")
	} else if code != 101 {
		return nil, &RefusedError{Status: code, Detail: status}
	}
	s.stage = stageGreeting
	greeting, err := s.greeting()
	if err == nil && greeting != "" {
		err = s.say(greeting)
	}
	return rest, err
}
