package rtclink

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"

	"example.org/turnpike/client/internal/link"
)

const (
	// maxChatMessage is more than the longest message of the SDK: 65,536 UTF-16 units, of three bytes each.
	maxChatMessage = 256 << 10
	// maxChatBacklog bounds what waits to be sent. Later acknowledgements cover those that are left out.
	maxChatBacklog = 1 << 20
	maxLine        = 64 // characters
	maxTopic       = 64
	chatTopic      = "turnpike.chat"
)

// incoming is what the other side says, once and in order, over as many connections as the link takes. A page says chat and data
// on a line each, see signal/PROTOCOL.md.
type incoming struct {
	take func(link.Message) // nil: nobody listens

	mu    sync.Mutex // also while take runs, so that it is one call at a time
	lines map[string]line
}

type line struct {
	id       string
	received int64
}

// said is a message of the SDK. What is of another type than here makes the whole message nothing.
type said struct {
	Type  string          `json:"type"`
	Line  string          `json:"line"`
	N     int64           `json:"n"`
	Text  *string         `json:"text"`
	At    string          `json:"at"`
	Topic string          `json:"topic"`
	Data  json.RawMessage `json:"data"`
	Bytes *string         `json:"bytes"`
}

// receive hands a message to the program, and returns the answer that the other side waits for.
func (in *incoming) receive(text []byte) (answer []byte) {
	var m said
	if json.Unmarshal(text, &m) != nil || m.Type != "chat" && m.Type != "data" {
		// Whatever has a number must be acknowledged, or it waits at the sender for ever.
		if m = numbered(text); m.Type == "" {
			return nil
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	isNew := true
	if m.Line != "" && len(m.Line) <= 4*maxLine {
		l := in.lines[m.Type]
		if l.id != m.Line {
			l = line{id: m.Line}
		}
		isNew = m.N > l.received
		l.received = max(l.received, m.N)
		if in.lines == nil {
			in.lines = map[string]line{}
		}
		in.lines[m.Type] = l
		answer, _ = json.Marshal(map[string]any{"type": m.Type + "-ack", "line": m.Line, "n": l.received})
	}
	if message, ok := m.message(); ok && isNew && in.take != nil {
		in.take(message)
	}
	return answer
}

// numbered returns the type, line and number of a message whose other fields make no sense.
func numbered(text []byte) said {
	var m struct {
		Type string `json:"type"`
		Line string `json:"line"`
		N    int64  `json:"n"`
	}
	if json.Unmarshal(text, &m) != nil || m.Type != "chat" && m.Type != "data" {
		return said{}
	}
	return said{Type: m.Type, Line: m.Line, N: m.N}
}

// message returns what a program gets of it.
func (m *said) message() (link.Message, bool) {
	switch {
	case m.Type == "chat" && m.Text != nil:
		data, err := json.Marshal(map[string]string{"text": *m.Text, "at": m.At}) // As it comes by way of the server.
		return link.Message{Topic: chatTopic, Data: data}, err == nil
	case m.Type == "data" && len(m.Topic) > 4*maxTopic || strings.HasPrefix(m.Topic, link.ReservedName):
		return link.Message{}, false
	case m.Type == "data" && m.Bytes != nil:
		decoded, err := base64.StdEncoding.DecodeString(*m.Bytes)
		return link.Message{Topic: m.Topic, Bytes: decoded}, err == nil
	case m.Type == "data" && m.Data != nil:
		return link.Message{Topic: m.Topic, Data: m.Data}, true
	}
	return link.Message{}, false
}

// beginChat takes the channel on which the SDK says everything but streams, and says that we send no media.
func (c *carrier) beginChat(raw rawChannel) bool {
	c.mu.Lock()
	c.chat = raw
	c.mu.Unlock()
	// Without "sources", a page sends no further sections for a screen.
	c.say(map[string]any{"type": "media", "audio": false, "video": false, "data": c.link.incoming.take != nil})
	return c.link.spawn(func() { c.readChat(raw) })
}

// readChat reads a channel with messages of the SDK to its end.
func (c *carrier) readChat(raw rawChannel) {
	buffer := make([]byte, writtenMessage)
	for {
		n, isText, err := raw.ReadDataChannel(buffer)
		if errors.Is(err, io.ErrShortBuffer) && len(buffer) < maxChatMessage {
			buffer = make([]byte, maxChatMessage) // The message is still there.
			continue
		}
		if errors.Is(err, io.ErrShortBuffer) {
			c.abandon("a message of the SDK is longer than any may be")
		}
		if err != nil {
			return
		}
		if !isText {
			continue
		}
		if answer := c.link.incoming.receive(bytes.Clone(buffer[:n])); answer != nil {
			c.write(answer)
		}
	}
}

// sayClosed tells the SDK that a channel is closed for good, unless there is another of the same name: there, one takes the
// place of the other.
func (c *carrier) sayClosed(s *Stream) {
	c.mu.Lock()
	for other := range c.streams {
		if other != s && other.name == s.name {
			c.mu.Unlock()
			return
		}
	}
	c.mu.Unlock()
	c.say(map[string]any{"type": "channel-closed", "label": s.name})
}

func (c *carrier) say(message map[string]any) {
	if text, err := json.Marshal(message); err == nil {
		c.write(text)
	}
}

// write sends a text on the channel of the SDK, if it is open and the other side reads it.
func (c *carrier) write(text []byte) {
	c.mu.Lock()
	chat := c.chat
	c.mu.Unlock()
	if chat != nil && chat.BufferedAmount() < maxChatBacklog {
		_, _ = chat.WriteDataChannel(text, true) // A channel that is gone takes nothing.
	}
}
