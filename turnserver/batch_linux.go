//go:build linux && (amd64 || arm64)

package turnserver

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"turnpike/turnserver/wire"
)

// The calls here do not block, or only for as long as loop.wait says, so they are raw: each that the runtime is told of wakes its monitor thread, which then looks every
// 20 µs whether the call got stuck. Under a steady load that took more time than the packets.

// batchSize is how many datagrams one system call reads or writes at most.
const batchSize = 64

// mmsghdr is struct mmsghdr of recvmmsg(2) on 64-bit systems. Go has no type for it.
type mmsghdr struct {
	hdr  unix.Msghdr
	size uint32
	_    [4]byte
}

// controlSpace holds the control messages of one datagram: packet information, traffic class and hop limit, and on the
// way out UDP_SEGMENT.
const controlSpace = 128

// sockaddrSpace holds a sockaddr_in6, the longer of the two kinds.
const sockaddrSpace = unix.SizeofSockaddrInet6

// recvBatch reads datagrams with recvmmsg. All that the kernel writes to is allocated once and stays where it is: the garbage
// collector does not move heap objects, so the pointers in the headers hold for as long as the batch does.
type recvBatch struct {
	headers  [batchSize]mmsghdr
	iovs     [batchSize]unix.Iovec
	names    [batchSize][sockaddrSpace]byte
	controls [batchSize][controlSpace]byte
	buffers  [batchSize]*buffer
	filled   int // how many the last read filled, whose lengths the kernel has changed
	last     lastAddr
}

// lastAddr remembers a decoded address, because packets come in bursts from one sender.
type lastAddr struct {
	raw  [sockaddrSpace]byte
	addr netip.AddrPort
}

// epollWaitRaw is epoll_wait(2) without telling the Go runtime; see loop.wait. The events' memory is the caller's, and the kernel is
// done with it when the call returns.
func epollWaitRaw(epoll int, events []unix.EpollEvent, timeout int) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(timeout), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	default:
		return 0, os.NewSyscallError("epoll_pwait", errno)
	}
}

// datagram is one that was read; it is valid until the next read.
type datagram struct {
	buf       []byte // the packet is at headroom, and is size bytes long
	size      int
	from      netip.AddrPort
	header    ipHeader
	truncated bool
}

func newRecvBatch() *recvBatch {
	b := new(recvBatch)
	for i := range b.headers {
		b.buffers[i] = new(buffer)
		b.iovs[i].Base = &b.buffers[i].bytes[headroom]
		b.iovs[i].SetLen(maxDatagram)
		h := &b.headers[i].hdr
		h.Iov = &b.iovs[i]
		h.SetIovlen(1)
		h.Name = &b.names[i][0]
		h.Control = &b.controls[i][0]
		b.resetLengths(i)
	}
	return b
}

// read reads what there is, up to a batch, and returns how many datagrams that are, and whether there may be more. An error other
// than that there are none, such as an ICMP message that a socket reports, takes the place of a datagram.
func (b *recvBatch) read(fd int) (n int, more bool) { return b.receive(fd, unix.MSG_DONTWAIT) }

// readErrors reads as many messages of a socket's error queue (recvmsg(2)).
func (b *recvBatch) readErrors(fd int) (n int, more bool) {
	return b.receive(fd, unix.MSG_DONTWAIT|unix.MSG_ERRQUEUE)
}

func (b *recvBatch) receive(fd, flags int) (n int, more bool) {
	for i := range b.filled {
		b.resetLengths(i)
	}
	b.filled = 0
	// The pointer is to memory that b keeps alive, and the kernel is done with it when the call returns.
	got, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[0])), batchSize, uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno != unix.EAGAIN
	}
	b.filled = int(got)
	return b.filled, b.filled == batchSize
}

// resetLengths says how much room the kernel has for an address and control messages.
func (b *recvBatch) resetLengths(i int) {
	h := &b.headers[i].hdr
	h.Namelen = sockaddrSpace
	h.SetControllen(controlSpace)
}

func (b *recvBatch) message(i int) datagram {
	h := &b.headers[i]
	if b.names[i] != b.last.raw {
		b.last = lastAddr{b.names[i], decodeSockaddr(&b.names[i])}
	}
	return datagram{
		buf:       b.buffers[i].bytes[:],
		size:      int(h.size),
		from:      b.last.addr,
		header:    parseHeader(b.controls[i][:h.hdr.Controllen]),
		truncated: h.hdr.Flags&unix.MSG_TRUNC != 0,
	}
}

// decodeSockaddr reads a sockaddr_in or sockaddr_in6. The family is in the machine's byte order, the port in the network's.
func decodeSockaddr(raw *[sockaddrSpace]byte) netip.AddrPort {
	port := binary.BigEndian.Uint16(raw[2:])
	if binary.NativeEndian.Uint16(raw[:]) == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw[4:8])), port)
	}
	ip := netip.AddrFrom16([16]byte(raw[8:24]))
	if zone := binary.NativeEndian.Uint32(raw[24:]); zone != 0 {
		ip = ip.WithZone(strconv.Itoa(int(zone)))
	}
	return netip.AddrPortFrom(ip, port)
}

// encodeSockaddr is the inverse, and returns the length.
func encodeSockaddr(raw *[sockaddrSpace]byte, addr netip.AddrPort) uint32 {
	binary.BigEndian.PutUint16(raw[2:], addr.Port())
	ip := addr.Addr()
	if ip.Is4() {
		binary.NativeEndian.PutUint16(raw[:], unix.AF_INET)
		v4 := ip.As4()
		copy(raw[4:], v4[:])
		clear(raw[8:])
		return unix.SizeofSockaddrInet4
	}
	binary.NativeEndian.PutUint16(raw[:], unix.AF_INET6)
	clear(raw[4:8])
	v6 := ip.As16()
	copy(raw[8:], v6[:])
	binary.NativeEndian.PutUint32(raw[24:], zoneIndex(ip.Zone()))
	return unix.SizeofSockaddrInet6
}

// zoneIndex is the number of the interface that a link-local address belongs to.
func zoneIndex(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}

// outgoing is a datagram that waits in a sendBatch.
type outgoing struct {
	fd     int
	to     netip.AddrPort
	source []byte // control message, or nil
	len    int
	size   int // of what is relayed, or control
	way    direction
	client wire.Protocol // over which the client is served
	header ipHeader      // of the packet that is relayed
}

// sendBatch gathers datagrams and writes them with as few system calls as they allow: a run from one socket with sendmmsg, and
// within it a run of equal length to one address as one UDP_SEGMENT message, which the kernel carries as one packet down to the
// device. As in recvBatch, all that the kernel reads stays where it is; the data are the caller's until flush.
type sendBatch struct {
	counters *counters
	n        int
	waiting  [batchSize]outgoing
	iovs     [batchSize]unix.Iovec

	// Of one flush.
	headers  [batchSize]mmsghdr
	names    [batchSize][sockaddrSpace]byte
	controls [batchSize][controlSpace]byte
	spans    [batchSize]span
}

// span is the part of waiting that one message carries.
type span struct{ first, end int }

func newSendBatch(c *counters) *sendBatch { return &sendBatch{counters: c} }

// add queues a datagram, which must not change until flush.
func (b *sendBatch) add(o outgoing, data []byte) {
	if o.size == control {
		o.header = ipHeader{} // nothing is relayed
	}
	if o.header.lastHop() {
		b.counters.drop(dropHopLimit)
		return
	}
	if b.n == batchSize {
		b.flush()
	}
	o.len = len(data)
	b.waiting[b.n] = o
	b.iovs[b.n].Base = unsafe.SliceData(data) // kept alive by the iovec, which is a pointer that the collector sees
	b.iovs[b.n].SetLen(len(data))
	b.n++
}

// flush writes all that waits, in order.
func (b *sendBatch) flush() {
	for first := 0; first < b.n; {
		end := first + 1
		for end < b.n && b.waiting[end].fd == b.waiting[first].fd {
			end++
		}
		b.send(first, end, true)
		first = end
	}
	clear(b.iovs[:b.n]) // let go of the data
	b.n = 0
}

// send writes waiting[first:end], which go out of one socket.
func (b *sendBatch) send(first, end int, segment bool) {
	fd, messages := b.waiting[first].fd, 0
	for at := first; at < end; messages++ {
		next := at + 1
		if segment {
			next = b.runFrom(at, end)
		}
		b.spans[messages] = span{at, next}
		b.fill(messages, at, next)
		at = next
	}
	again := -1 // the message that is tried a second time
	for sent := 0; sent < messages; {
		// The pointer is to memory that b keeps alive, and the kernel is done with it when the call returns.
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[sent])), uintptr(messages-sent), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno == 0:
			for _, s := range b.spans[sent : sent+int(n)] {
				b.count(s)
			}
			sent += int(n)
		case sent != again && mayBeICMP(errno):
			again = sent // perhaps it is about a packet before, and said once
		default:
			failed := b.spans[sent]
			if failed.end-failed.first > 1 {
				// The device or the path does not take segments of this length. What follows is rebuilt after it.
				b.send(failed.first, failed.end, false)
				if failed.end < end {
					b.send(failed.end, end, true)
				}
				return
			}
			if errno == unix.EMSGSIZE {
				b.counters.drop(dropTooLarge)
			} else {
				b.counters.drop(sendFailure(b.waiting[failed.first].len))
			}
			sent++
		}
	}
}

func (b *sendBatch) count(s span) {
	packets, bytes := 0, 0
	for i := s.first; i < s.end; i++ {
		if b.waiting[i].size != control {
			packets++
			bytes += b.waiting[i].size
		}
	}
	if packets > 0 {
		head := &b.waiting[s.first]
		b.counters.packets[head.client][head.way].Add(uint64(packets))
		b.counters.bytes[head.client][head.way].Add(uint64(bytes))
	}
}

// Bounds of UDP_SEGMENT: segments have to fit the device's packets, and the kernel takes so many of them, in so many bytes.
const (
	maxSegment   = 1452
	maxSegments  = 64
	maxSegmented = 65000
)

// runFrom returns the end of the run at first that one UDP_SEGMENT message can carry: to one address, all of one length but the last,
// which may be shorter.
func (b *sendBatch) runFrom(first, end int) int {
	head := &b.waiting[first]
	if head.len > maxSegment || head.len == 0 {
		return first + 1
	}
	total := head.len
	for i := first + 1; i < end && i-first < maxSegments; i++ {
		next := &b.waiting[i]
		total += next.len
		if next.to != head.to || next.len > head.len || next.len == 0 || total > maxSegmented ||
			unsafe.SliceData(next.source) != unsafe.SliceData(head.source) || next.way != head.way || !next.header.alike(&head.header) {
			return i
		}
		if next.len < head.len {
			return i + 1
		}
	}
	return min(end, first+maxSegments)
}

// fill writes message i, of waiting[first:end].
func (b *sendBatch) fill(i, first, end int) {
	head, h := &b.waiting[first], &b.headers[i].hdr
	h.Name = &b.names[i][0]
	h.Namelen = encodeSockaddr(&b.names[i], head.to)
	h.Iov = &b.iovs[first]
	h.SetIovlen(end - first)
	n := copy(b.controls[i][:], head.source)
	n += head.header.put(b.controls[i][n:], head.to.Addr().Is4())
	if end-first > 1 {
		n += putSegmentSize(b.controls[i][n:], uint16(head.len))
	}
	h.Control = nil
	if n > 0 {
		h.Control = &b.controls[i][0]
	}
	h.SetControllen(n)
}

// putSegmentSize writes the control message of UDP_SEGMENT (udp(7)), and returns the room that it takes.
func putSegmentSize(b []byte, size uint16) int {
	putControlHeader(b, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
	binary.NativeEndian.PutUint16(b[cmsgHeaderSize:], size)
	return unix.CmsgSpace(2)
}
