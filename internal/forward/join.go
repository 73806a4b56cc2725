package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// tcpConn is a TCP connection of this machine.
type tcpConn interface {
	net.Conn
	CloseWrite() error
	SetLinger(seconds int) error
}

// The size of a copying buffer: it begins small, for connections that wait or chat, and grows with what comes at once.
const (
	smallBuffer = 4 << 10
	joinBuffer  = 32 << 10 // of one of many connections
	largeBuffer = 128 << 10
)

// Copy copies until from has ended, in pieces as large as what comes at once.
func Copy(to io.Writer, from io.Reader) error { return copyUpTo(largeBuffer, to, from) }

func copyUpTo(largest int, to io.Writer, from io.Reader) error {
	buffer := make([]byte, smallBuffer)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n == len(buffer) && n < largest {
			buffer = make([]byte, 2*n)
		}
	}
}

// Join carries bytes between a stream and a connection of this machine, until both directions have ended, or one breaks: then the other
// side of each learns of it by a reset. The end of ctx breaks both. Join closes both.
func Join(ctx context.Context, stream Stream, local net.Conn) {
	stop := context.AfterFunc(ctx, func() { broken(stream, local) })
	defer stop()
	var back error
	var sending sync.WaitGroup
	sending.Go(func() {
		if back = copyUpTo(joinBuffer, stream, local); back == nil {
			back = stream.CloseWrite()
		}
		if back != nil {
			broken(stream, local) // the other side may wait for an answer, and send nothing that would find the connection gone
		}
	})
	err := copyUpTo(joinBuffer, local, stream)
	if err == nil {
		err = closeWrite(local)
	}
	if err != nil {
		broken(stream, local)
	}
	sending.Wait()
	if err != nil || back != nil || ctx.Err() != nil {
		broken(stream, local)
		return
	}
	_ = stream.Close() // both directions have ended
	_ = local.Close()
}

// closeWrite ends writing in order. A connection that the other end has closed in both directions is no failure: all that was read of it
// has gone on.
func closeWrite(local net.Conn) error {
	tcp, ok := local.(tcpConn)
	if !ok {
		return errors.ErrUnsupported
	}
	if err := tcp.CloseWrite(); err != nil && !errors.Is(err, syscall.ENOTCONN) {
		return err
	}
	return nil
}

// broken gives up both.
func broken(stream Stream, local net.Conn) {
	stream.Reset()
	ResetTCP(local)
}

// ResetTCP closes a connection such that the other end sees it break, and takes nothing for the whole.
func ResetTCP(local net.Conn) {
	if tcp, ok := local.(tcpConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = local.Close()
}
