package turnload

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"example.org/turnpike/turnserver/udpio"
)

const (
	receiveBuffer = 2 << 20
	// The ports of the sockets are below those that relays have by default (49152 to 65535). So 10,000 calls leave a
	// server on this machine its ports.
	firstPort, lastPort = 16384, 49151
)

// socket is a UDP socket that the runtime's poller does not know, since each datagram would wake the poller.
type socket struct {
	fd    int
	local netip.AddrPort

	carrier *carrier // to the server; nil: over UDP

	dropped uint32 // by the kernel, when the worker last read; owned by the worker
}

// openSocket opens a socket at a local address.
func openSocket(local netip.AddrPort) (*socket, error) {
	family := unix.AF_INET6
	if local.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	s := &socket{fd: fd}
	if err := s.setUp(local); err != nil {
		s.close()
		return nil, fmt.Errorf("set up a socket at %v: %w", local, err)
	}
	return s, nil
}

func (s *socket) setUp(local netip.AddrPort) error {
	ports := uint32(lastPort)<<16 | firstPort
	// Kernels before 6.3 do not know the option, and take any port.
	_ = unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_LOCAL_PORT_RANGE, int(ports))
	if err := unix.Bind(s.fd, udpio.Sockaddr(local)); err != nil {
		return err
	}
	// Only root may exceed net.core.rmem_max.
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
			return err
		}
	}
	if err := udpio.StampArrivals(s.fd); err != nil {
		return err
	}
	return s.readLocal()
}

func (s *socket) readLocal() (err error) {
	s.local, err = udpio.BoundTo(s.fd)
	return err
}

// connect lets the socket send to, and receive from, one address only.
func (s *socket) connect(to netip.AddrPort) error {
	if err := unix.Connect(s.fd, udpio.Sockaddr(to)); err != nil {
		return fmt.Errorf("connect to %v: %w", to, err)
	}
	return s.readLocal()
}

func (s *socket) send(b []byte) error {
	for {
		_, err := unix.Write(s.fd, b)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (s *socket) close() {
	if s.carrier != nil {
		s.carrier.close()
	}
	_ = unix.Close(s.fd)
}
