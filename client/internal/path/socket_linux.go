package path

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// DiscoverMTU tells whether QUIC may look for the path MTU: a later path may be narrower, and only here that is mended.
const DiscoverMTU = true

const (
	readMessages = 8
	controlSize  = 128
	ecnMask      = 3
)

type message struct {
	hdr unix.Msghdr
	n   uint32
}

// reader reads datagrams in batches, several of one source in each, as the kernel has put them together (UDP_GRO).
type reader struct {
	raw      syscall.RawConn
	read     func(fd uintptr) bool
	messages [readMessages]message
	iovs     [readMessages]unix.Iovec
	names    [readMessages]unix.RawSockaddrInet6
	control  [readMessages][controlSize]byte
	buffers  [readMessages][]byte
	ecn      [ecnMask + 1][]byte // The control message for each value.
	n        int                 // Messages of this batch.
	errno    syscall.Errno

	// The message in hand.
	next    int
	rest    []byte
	segment int
	from    netip.AddrPort
	bits    byte
}

func (r *reader) init(s *Socket) error {
	raw, err := s.udp.SyscallConn()
	if err != nil {
		return err
	}
	r.raw = raw
	// Kernels without it give each datagram on its own.
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) })
	for i := range r.messages {
		r.buffers[i] = make([]byte, bufferSize)
		r.iovs[i].Base = &r.buffers[i][0]
		r.iovs[i].SetLen(bufferSize)
		h := &r.messages[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Control = &r.control[i][0]
	}
	for bits := range r.ecn {
		r.ecn[bits] = appendECN(nil, byte(bits), true)
	}
	r.read = func(fd uintptr) bool {
		for {
			n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.messages[0])), readMessages, unix.MSG_DONTWAIT, 0, 0)
			r.n, r.errno = int(n), errno
			if errno != unix.EINTR {
				return errno != unix.EAGAIN
			}
		}
	}
	return nil
}

// fill waits for the next batch.
func (r *reader) fill() error {
	r.n, r.next, r.rest = 0, 0, nil
	for i := range r.messages {
		r.messages[i].hdr.Namelen = uint32(unsafe.Sizeof(r.names[i]))
		r.messages[i].hdr.SetControllen(controlSize)
	}
	if err := r.raw.Read(r.read); err != nil {
		r.n = 0
		return err
	}
	if r.errno != 0 {
		r.n = 0
		return r.errno
	}
	return nil
}

// datagram returns the next datagram that was read, without waiting.
func (r *reader) datagram() (b []byte, ok bool) {
	for len(r.rest) == 0 {
		if r.next == r.n {
			return nil, false
		}
		m := &r.messages[r.next]
		r.rest = r.buffers[r.next][:m.n]
		r.from = sourceOf(&r.names[r.next])
		r.segment, r.bits = controls(r.control[r.next][:m.hdr.Controllen])
		if r.segment == 0 {
			r.segment = len(r.rest)
		}
		r.next++
	}
	n := min(r.segment, len(r.rest))
	b = r.rest[:n]
	r.rest = r.rest[n:]
	return b, true
}

func sourceOf(n *unix.RawSockaddrInet6) netip.AddrPort {
	if n.Family == unix.AF_INET {
		n4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(n))
		return netip.AddrPortFrom(netip.AddrFrom4(n4.Addr), bigEndian(n4.Port))
	}
	return netip.AddrPortFrom(netip.AddrFrom16(n.Addr).Unmap(), bigEndian(n.Port))
}

func bigEndian(port uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&port))
	return binary.BigEndian.Uint16(b[:])
}

// controls reads the length of segments, and ECN, from control messages. It is used on both ways.
func controls(b []byte) (segment int, ecn byte) {
	for len(b) >= unix.CmsgSpace(0) {
		h, body, rest, err := unix.ParseOneSocketControlMessage(b)
		if err != nil {
			break
		}
		switch {
		case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && len(body) >= 4:
			segment = int(binary.NativeEndian.Uint32(body))
		case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_SEGMENT && len(body) >= 2:
			segment = int(binary.NativeEndian.Uint16(body))
		case (h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TOS || h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_TCLASS) && len(body) > 0:
			ecn = body[0] & ecnMask
			if len(body) >= 4 {
				ecn = byte(binary.NativeEndian.Uint32(body)) & ecnMask
			}
		}
		b = rest
	}
	return segment, ecn
}

// ReadBatch fills messages with what is for QUIC, and hands on the rest.
func (s *Socket) ReadBatch(ms []ipv4.Message, _ int) (int, error) {
	r := &s.reader
	n := 0
	into := func(b []byte) bool { return n < len(ms) && s.give(&ms[n], b, 0, &n) }
	for {
		for n < len(ms) {
			b, ok := r.datagram()
			if !ok {
				break
			}
			if data, ok := s.judge(r.from, b); ok {
				s.give(&ms[n], data, r.bits, &n)
			}
		}
		if n < len(ms) {
			s.takeInjected(into)
		}
		if n > 0 {
			s.heard.Store(time.Now().UnixNano())
			return n, nil
		}
		if err := r.fill(); err != nil {
			if err := s.awake(err); err != nil {
				return 0, err
			}
		}
	}
}

// give copies a packet to a message. One that is too long for QUIC's buffer is none of QUIC's.
func (s *Socket) give(m *ipv4.Message, b []byte, ecn byte, n *int) bool {
	if len(b) <= len(m.Buffers[0]) {
		m.N = copy(m.Buffers[0], b)
		m.Addr = &virtualPeer
		m.NN = copy(m.OOB, s.reader.ecn[ecn])
		*n++
	}
	return true
}

// ReadFrom is not used: there is ReadBatch.
func (s *Socket) ReadFrom([]byte) (int, net.Addr, error) { return 0, nil, errors.ErrUnsupported }

// ReadMsgUDP is not used: there is ReadBatch.
func (s *Socket) ReadMsgUDP([]byte, []byte) (int, int, int, *net.UDPAddr, error) {
	return 0, 0, 0, nil, errors.ErrUnsupported
}

// WriteMsgUDP sends packets of QUIC, with the segments and the ECN bits that oob says.
func (s *Socket) WriteMsgUDP(b, oob []byte, _ *net.UDPAddr) (int, int, error) {
	segment, ecn := controls(oob)
	if segment == 0 {
		segment = len(b)
	}
	if err := s.send(b, segment, ecn); err != nil {
		return 0, 0, err
	}
	return len(b), len(oob), nil
}

func (s *Socket) sendTo(b []byte, segment int, ecn byte, to netip.AddrPort) error {
	to = s.address(to)
	p := s.oobs.Get().(*[]byte)
	defer s.oobs.Put(p)
	oob := (*p)[:0]
	if segment < len(b) {
		oob = appendSegment(oob, segment)
	}
	if ecn != 0 {
		oob = appendECN(oob, ecn, to.Addr().Is4() || to.Addr().Is4In6())
	}
	_, _, err := s.udp.WriteMsgUDPAddrPort(b, oob, to)
	switch {
	case err == nil:
		return nil
	case segment < len(b) && (errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.EINVAL)):
		return s.sendSingly(b, segment, to)
	case segment < len(b) && errors.Is(err, unix.EIO):
		// The interface cannot do it. QUIC knows this error, and goes on without.
		return os.NewSyscallError("sendmsg", unix.EIO)
	case errors.Is(err, net.ErrClosed), errors.Is(err, unix.EMSGSIZE):
		return err
	}
	return nil
}

func appendControl(b []byte, level, typ int32, size int) []byte {
	start := len(b)
	for range unix.CmsgSpace(size) {
		b = append(b, 0)
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[start]))
	h.Level, h.Type = level, typ
	h.SetLen(unix.CmsgLen(size))
	return b
}

func appendSegment(b []byte, size int) []byte {
	body := len(b) + unix.CmsgLen(0)
	b = appendControl(b, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
	binary.NativeEndian.PutUint16(b[body:], uint16(size))
	return b
}

func appendECN(b []byte, ecn byte, v4 bool) []byte {
	body := len(b) + unix.CmsgLen(0)
	if v4 {
		b = appendControl(b, unix.IPPROTO_IP, unix.IP_TOS, 1)
		b[body] = ecn
		return b
	}
	b = appendControl(b, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 4)
	binary.NativeEndian.PutUint32(b[body:], uint32(ecn))
	return b
}

// allowFragments lets packets of the size that a former path took through a narrower one.
func allowFragments(udp *net.UDPConn) {
	raw, err := udp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT)
	})
}
