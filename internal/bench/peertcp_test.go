//go:build linux

package bench

import (
	"context"
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

const overTCP = "TCP CUBIC"

// tcpTransfer is what peers are compared with: a connection of the kernel's TCP for each stream, straight from host to host.
// Its congestion control is CUBIC, the default of most systems, whatever this machine's is.
type tcpTransfer struct {
	listener net.Listener // of the receiver
	to       string       // of the sender
}

func newTCPTransfer(ctx context.Context, j job, s signals) (transfer, error) {
	if j.Sends {
		t := &tcpTransfer{}
		return t, s.next(ctx, &t.to)
	}
	config := net.ListenConfig{Control: cubic}
	ln, err := config.Listen(ctx, "tcp", net.JoinHostPort(j.Address, "0"))
	if err != nil {
		return nil, err
	}
	s.send(ln.Addr().String())
	return &tcpTransfer{listener: ln}, nil
}

func (t *tcpTransfer) open(ctx context.Context) (stream, error) {
	dialer := net.Dialer{Control: cubic}
	return dialer.DialContext(ctx, "tcp", t.to)
}

func (t *tcpTransfer) accept(context.Context) (stream, error) { return t.listener.Accept() }

// cubic chooses the congestion control of a socket.
func cubic(_, _ string, c syscall.RawConn) error {
	var err error
	controlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
	})
	return errors.Join(controlErr, err)
}
