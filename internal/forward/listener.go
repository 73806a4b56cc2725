package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"sync"
	"syscall"
	"time"
)

// ListenTCP makes the listener of a forward over TCP. Its errors say what to do.
func (s Spec) ListenTCP(ctx context.Context) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.Listen())
	return listener, s.explain(err)
}

// ListenUDP makes the socket of a forward over UDP.
func (s Spec) ListenUDP(ctx context.Context) (*net.UDPConn, error) {
	conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", s.Listen())
	if err != nil {
		return nil, s.explain(err)
	}
	return conn.(*net.UDPConn), nil
}

func (s Spec) explain(err error) error {
	network := "TCP"
	if s.UDP {
		network = "UDP"
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, wsaInUse):
		return fmt.Errorf("%s %s is taken by another program; choose another port", network, s.Listen())
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s %s needs more privileges than this program has; choose a port from 1024 on", network, s.Listen())
	case errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, wsaNotAvailable):
		return fmt.Errorf("%s %s: this machine has no such address", network, s.Listen())
	}
	return fmt.Errorf("listen on %s %s: %w", network, s.Listen(), Reason(err))
}

// The numbers of Windows for what syscall calls by other numbers there.
const (
	wsaInUse        = syscall.Errno(10048)
	wsaNotAvailable = syscall.Errno(10049)
)

// Places bounds how many connections are open at once, of all forwards together.
type Places chan struct{}

// eachConn serves every connection of a listener, until ctx ends. While all places are taken, others wait in the kernel. It closes the
// listener, and returns once all connections have ended.
func eachConn(ctx context.Context, listener net.Listener, places Places, serve func(ctx context.Context, conn net.Conn)) {
	var serving sync.WaitGroup
	defer serving.Wait()
	defer closeWith(ctx, listener)()
	for {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		conn, err := listener.Accept()
		if err != nil {
			<-places
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			if !pause(ctx, 100*time.Millisecond) { // such as too many open files: it passes
				return
			}
			continue
		}
		serving.Go(func() {
			defer func() { <-places }()
			serve(ctx, conn)
		})
	}
}

// closeWith closes c when ctx ends, or when the function that it returns is called. After that call the port is free.
func closeWith(ctx context.Context, c io.Closer) (end func()) {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = c.Close()
	})
	return func() {
		if stop() {
			_ = c.Close()
		} else {
			<-closed
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
