// Package filetransfer sends files and folders to peers, and receives them, as docs/file-protocol.md says. It knows no network: streams
// with names come from its caller, also new ones after a break.
//
//	sender                                            receiver
//	walk.go: the list of what there is                receiver.go: attempts, until all is there or nothing can come
//	session.go: a receiver's lines      ◀── files ──▶ attempt.go, plan.go: what comes, and whether it may
//	serve.go: bytes of files            ◀─ blocks/N ─ fetch.go: asks for what schedule.go says
//	live.go: standard input                           target.go: part files, finish.go: their final names; sink.go: standard output
//	source.go: what a receiver has      ◀─ have/same ─ resume.go: what is right in files that were begun
//
// follower.go hashes whole files beside both. line.go and frame.go are all that is read from a peer.
package filetransfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Stream is a stream to a peer. Close ends writing in order and gives up reading; Reset gives up both directions at once.
type Stream interface {
	io.ReadWriteCloser
	CloseWrite() error
	Reset()
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Opener opens streams to the sender. After a break it is asked again, and may wait until the sender can be reached. Its error ends the
// transfer.
type Opener interface {
	Open(ctx context.Context, name string) (Stream, error)
}

// Acceptor returns streams that the receiver has opened, with their names. Its caller has made sure that they are from the
// receiver that was proved. Its error ends the transfer.
type Acceptor interface {
	Accept(ctx context.Context) (name string, s Stream, err error)
}

// The names of streams.
const (
	StreamFiles  = "files"
	StreamBlocks = "blocks/" // and a number
)

// What the side that accepts a stream says first.
const (
	streamAccepted = "ok\n"
	streamRefused  = "error: "
)

const (
	version = 1

	blockSize = 1 << 20
	pieceSize = 64 << 10 // what is looked at in blocks that did not come as a whole
	chunkSize = 64 << 10 // what is read, hashed and written at once

	maxLine      = 65_536
	maxEntries   = 100_000
	maxPathBytes = 16 << 20
	maxSize      = 1<<53 - 1
	maxStreams   = 8
	maxHashes    = 512
	maxSums      = 64
	maxText      = 256
	maxSession   = 64

	liveWindow = 8 // blocks of a file without a size that the sender keeps
)

// unknownSize is the size of a file that is as long as it turns out.
const unknownSize = -1

// Entry is a file or folder of a transfer.
type Entry struct {
	Path    string // relative, with slashes
	Folder  bool
	Size    int64 // -1 for standard input, whose end is not known
	Mode    fs.FileMode
	ModTime time.Time
	hasMode bool
}

// ErrDeclined says that the receiver did not want the files.
var ErrDeclined = errors.New("the receiver has declined")

// RemoteError is the other side's reason for ending the transfer. Its text is one line without control characters.
// Code is a word for programs, or empty: "disk-full", or "stopped" if its user has ended it.
type RemoteError struct{ Code, Text string }

func (e *RemoteError) Error() string { return "the other side says: " + e.Text }

// ProtocolError says that the other side does not follow the protocol.
type ProtocolError struct{ What string }

func (e *ProtocolError) Error() string { return "the other side breaks the protocol: " + e.What }

func violation(format string, args ...any) error {
	return &ProtocolError{fmt.Sprintf(format, args...)}
}

// brokenError is the failure of a stream: the transfer may go on by others.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return "the connection broke: " + e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

func broken(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the stream ended early")
	}
	return &brokenError{err}
}

// blocksOf returns how many blocks a file has.
func blocksOf(size int64) int64 { return (size + blockSize - 1) / blockSize }
