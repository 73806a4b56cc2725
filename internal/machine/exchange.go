package machine

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"example.org/turnpike/auth"
)

// StreamName is the name of the streams on which machines prove who they are.
const StreamName = "machine"

// Role is a side of an exchange.
type Role string

const (
	Opener   Role = "opener" // it has opened the stream
	Accepter Role = "accepter"
)

// Stream is what Exchange needs of a stream. A client.Conn is one.
type Stream interface {
	io.ReadWriter
	SetDeadline(time.Time) error
	// ChannelBinding returns 32 bytes that the two ends of the stream know, and nobody in between.
	ChannelBinding() ([]byte, error)
}

// Proven is what the other side of an exchange has proved: that it has a key. The name is only what it says; see Known.Check.
// The zero value says that it is no machine.
type Proven struct {
	Name string
	Key  ed25519.PublicKey
}

// IsMachine reports whether the other side has proved anything.
func (p Proven) IsMachine() bool { return p.Key != nil }

// ErrBadProof says that the other side's signature is not one of this stream by that key: somebody may be in between.
var ErrBadProof = errors.New("the proof of its key is wrong; somebody may stand in between")

// RefusedError says that the other side takes no such stream.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return "it proves nothing: " + e.Why }

const (
	accepted  = "ok\n"
	refused   = "error: "
	maxProof  = 512 // bytes of a line
	maxBefore = 256 // bytes of the line before it

	exchangeTime = 10 * time.Second
)

// proof is the line of a side. An empty object says that it is no machine.
type proof struct {
	Name      string `json:"name,omitempty"`
	Key       string `json:"key,omitempty"`
	Signature string `json:"signature,omitempty"`
}

// signedText is what a machine signs to prove its key on a stream.
func signedText(role Role, binding []byte) []byte {
	return append([]byte("turnpike machine 1\x00"+string(role)+"\x00"), binding...)
}

// Exchange speaks a whole stream of StreamName: the accepter's "ok", the opener's line and the accepter's line. It tells the other
// side who we are, nothing if me is nil, and returns what the other side has proved. It closes nothing. An accepter must note the
// result before it closes the stream: the opener's Exchange waits for that end, so that its next stream finds itself known.
func Exchange(ctx context.Context, stream Stream, role Role, me *Machine) (Proven, error) {
	deadline := time.Now().Add(exchangeTime)
	if limit, ok := ctx.Deadline(); ok && limit.Before(deadline) {
		deadline = limit
	}
	_ = stream.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = stream.SetDeadline(time.Now()) })
	defer func() {
		if stop() {
			_ = stream.SetDeadline(time.Time{})
		}
	}()
	proven, err := exchange(stream, role, me)
	if err != nil && ctx.Err() != nil {
		return Proven{}, ctx.Err()
	}
	return proven, err
}

func exchange(stream Stream, role Role, me *Machine) (Proven, error) {
	binding, err := stream.ChannelBinding()
	if err != nil {
		return Proven{}, fmt.Errorf("the binding of the stream: %w", err)
	}
	mine, err := ownLine(role, binding, me)
	if err != nil {
		return Proven{}, err
	}
	lines := bufio.NewReaderSize(stream, maxProof)
	if role == Accepter {
		theirs, err := readProof(lines, Opener, binding)
		if err != nil {
			return Proven{}, err
		}
		_, err = stream.Write(append([]byte(accepted), mine...))
		return theirs, err
	}
	if _, err := stream.Write(mine); err != nil {
		return Proven{}, err
	}
	answer, err := lines.ReadSlice('\n')
	switch {
	case err != nil:
		return Proven{}, err
	case string(answer) != accepted:
		why := strings.TrimSpace(strings.TrimPrefix(string(answer[:min(len(answer), maxBefore)]), refused))
		return Proven{}, &RefusedError{strings.ToValidUTF8(why, "\uFFFD")}
	}
	theirs, err := readProof(lines, Accepter, binding)
	if err != nil {
		return Proven{}, err
	}
	switch _, err := lines.ReadByte(); {
	case err == nil:
		return Proven{}, fmt.Errorf("something follows its proof: %w", ErrBadProof)
	case !errors.Is(err, io.EOF):
		return Proven{}, err
	}
	return theirs, nil
}

// ownLine is what this side says.
func ownLine(role Role, binding []byte, me *Machine) ([]byte, error) {
	var p proof
	if me != nil {
		signature := ed25519.Sign(me.key, signedText(role, binding))
		p = proof{me.Name, auth.EncodeMachineKey(me.Key()), base64.RawURLEncoding.EncodeToString(signature)}
	}
	line, err := json.Marshal(p)
	return append(line, '\n'), err
}

// readProof reads the line of the side that has a role, and judges it.
func readProof(lines *bufio.Reader, role Role, binding []byte) (Proven, error) {
	line, err := lines.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			err = fmt.Errorf("its proof is longer than %d bytes", maxProof)
		}
		return Proven{}, err
	}
	return parseProof(line, role, binding)
}

func parseProof(line []byte, role Role, binding []byte) (Proven, error) {
	var p proof
	d := json.NewDecoder(bytes.NewReader(line))
	if err := d.Decode(&p); err != nil {
		return Proven{}, fmt.Errorf("its proof is no line of JSON: %w", ErrBadProof)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Proven{}, fmt.Errorf("something follows its proof: %w", ErrBadProof)
	}
	if p == (proof{}) {
		return Proven{}, nil
	}
	key, err := auth.ParseMachineKey(p.Key)
	if err != nil || !auth.IsMachineName(p.Name) {
		return Proven{}, ErrBadProof
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(p.Signature)
	if err != nil || !ed25519.Verify(key, signedText(role, binding), signature) {
		return Proven{}, ErrBadProof
	}
	return Proven{p.Name, key}, nil
}
