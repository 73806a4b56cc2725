// Package forward carries TCP connections and UDP datagrams to and from the network of a peer, by ssh's syntax. It knows no client: a
// stream to a peer is any [Stream].
//
//	program ── TCP ──▶ Client ── tcp/HOST:PORT ──▶ Server ── TCP ──▶ service      -L; -D after what SOCKS5 asks for
//	program ── UDP ──▶ Client ── udp/HOST:PORT ──▶ Server ── UDP ──▶ service      -L udp/; -D
//	service ◀── TCP ── Client ◀── back/ID ─────── Server ◀── TCP ── program       -R, once "listen" has asked for it
//
// [Server] is the side that allows: [Allow] says what may be reached from there, [AllowRemote] where it may listen. Its caller has found
// out before which machine the other side is.
package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// Stream is a stream to a peer, whose two directions end on their own. Reset gives up both.
type Stream interface {
	net.Conn
	CloseWrite() error
	Reset()
	Name() string
}

// Open opens a stream to the peer, and waits for the path. It returns before the peer has accepted.
type Open func(ctx context.Context, name string) (Stream, error)

// The names of streams. Behind the first two stands the destination, or nothing if it is too long for a name: then the opener sends it in
// a line.
const (
	TCPPrefix  = "tcp/"
	UDPPrefix  = "udp/"
	BackPrefix = "back/"
	ListenName = "listen"

	maxName        = 64
	maxDestination = maxHost + len("[]:65535")
)

// The side that accepts a stream says accepted first, or refused and why not, in one line.
const (
	accepted   = "ok\n"
	refused    = "error: "
	maxRefusal = 256
)

// A Refusal is why the other side does not take a stream, in its own words: print it as a stranger's.
type Refusal struct{ Why string }

func (r *Refusal) Error() string { return r.Why }

// Accept tells the other side that it has the stream.
func Accept(stream io.Writer) error {
	_, err := io.WriteString(stream, accepted)
	return err
}

// Refuse tells the other side why it does not get the stream, and ends it.
func Refuse(stream Stream, why string) {
	line := refused + strings.Map(oneLine, why)
	if len(line) >= maxRefusal {
		line = strings.ToValidUTF8(line[:maxRefusal-len("…\n")], "") + "…"
	}
	_ = stream.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(stream, line+"\n") // or it has gone, which needs no reason
	_ = stream.Close()
}

func oneLine(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

// Answer reads what the other side says first. A [*Refusal] is its answer; any other error means that there was none.
func Answer(stream io.Reader) error {
	line, err := readLine(stream, maxRefusal)
	switch why, isRefusal := strings.CutPrefix(line, refused); {
	case err != nil:
		return err
	case line+"\n" == accepted:
		return nil
	case isRefusal && strings.TrimSpace(why) != "":
		return &Refusal{strings.TrimSpace(why)}
	}
	return errors.New("the answer is none of the protocol")
}

// readLine reads a line without its end, and not one byte more: those belong to what follows.
func readLine(r io.Reader, most int) (string, error) {
	line := make([]byte, 0, 64)
	var one [1]byte
	for len(line) < most {
		if _, err := io.ReadFull(r, one[:]); err != nil {
			return "", err
		}
		if one[0] == '\n' {
			return string(line), nil
		}
		line = append(line, one[0])
	}
	return "", fmt.Errorf("a line is longer than %d bytes", most)
}

// Ask asks the peer for a stream: it opens one, sends what begins it, and waits for the answer. An answer against it is a [*Refusal].
type Ask func(ctx context.Context, name, begin string) (Stream, error)

// Asking is an [Ask] of one peer. The end of ctx resets the stream.
func Asking(ctx context.Context, open Open, name, begin string) (Stream, error) {
	stream, err := open(ctx, name)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, stream.Reset)
	if begin != "" {
		_, err = io.WriteString(stream, begin)
	}
	if refusal := Answer(stream); err == nil || errors.As(refusal, new(*Refusal)) { // a side that refuses may read nothing
		err = refusal
	}
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		stream.Reset()
		return nil, err
	}
	return stream, nil
}

// to asks for a stream to a destination beside the peer.
func (ask Ask) to(ctx context.Context, prefix string, d Destination) (Stream, error) {
	if name := prefix + d.String(); len(name) <= maxName {
		return ask(ctx, name, "")
	}
	return ask(ctx, prefix, d.String()+"\n")
}

// Reason is the last part of a network error, which says why.
func Reason(err error) error {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return errors.New(e.Err)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return number
	}
	return err
}
