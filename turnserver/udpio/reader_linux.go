package udpio

import (
	"encoding/binary"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// BatchSize is how many datagrams one system call of a server reads or writes at most.
const BatchSize = 64

// controlSpace is the room for the control messages of one datagram: packet information, traffic class and hop limit.
// To these come UDP_SEGMENT on the way out, or for a load generator a time stamp and a count of drops.
const controlSpace = 128

// Reader reads datagrams with recvmmsg. NewReader allocates all the memory that the kernel writes to. The garbage
// collector does not move heap objects, so the pointers in the headers stay valid for as long as the reader.
//
// Buffers for large datagrams are a mapping of their own. Of that only the pages take memory that datagrams have come
// to: few have more than one page, and any may have sixteen.
type Reader struct {
	headers  []mmsghdr
	iovs     []unix.Iovec
	names    [][sockaddrSpace]byte // nil: the kernel is not asked for senders
	controls [][controlSpace]byte
	buffers  [][]byte
	headroom int
	filled   int // how many headers the last read filled; the kernel has changed their lengths
	last     lastAddr

	mapping []byte // the buffers, if they are large
	touched bool   // a datagram was longer than a page
	reads   int    // since then
}

// lastAddr remembers a decoded address, because one sender's packets come in bursts.
type lastAddr struct {
	raw  [sockaddrSpace]byte
	addr netip.AddrPort
}

// Buffers describes the memory of a reader. Sizes are in bytes.
type Buffers struct {
	Batch     int  // datagrams
	Headroom  int  // before each
	Size      int  // of the longest
	Tailroom  int  // after that
	Connected bool // each socket has one sender: its address need not be read
}

// NewReader makes a reader.
func NewReader(b Buffers) *Reader {
	r := &Reader{
		headers: make([]mmsghdr, b.Batch), iovs: make([]unix.Iovec, b.Batch), controls: make([][controlSpace]byte, b.Batch),
		buffers: make([][]byte, b.Batch), headroom: b.Headroom,
	}
	if !b.Connected {
		r.names = make([][sockaddrSpace]byte, b.Batch)
	}
	r.allocate(b.Headroom + b.Size + b.Tailroom)
	for i := range r.headers {
		r.iovs[i].Base = &r.buffers[i][b.Headroom]
		r.iovs[i].SetLen(b.Size)
		h := &r.headers[i].hdr
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Control = &r.controls[i][0]
		if r.names != nil {
			h.Name = &r.names[i][0]
		}
		r.resetLengths(i)
	}
	return r
}

// page is at most a page of memory, in bytes.
const page = 4096

// allocate makes the buffers, of so many bytes each.
func (r *Reader) allocate(size int) {
	if size > page {
		stride := (size + os.Getpagesize() - 1) / os.Getpagesize() * os.Getpagesize()
		mapping, err := unix.Mmap(-1, 0, stride*len(r.buffers), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err == nil {
			_ = unix.Madvise(mapping, unix.MADV_NOHUGEPAGE) // a kernel without large pages does not know it
			r.mapping = mapping
			for i := range r.buffers {
				r.buffers[i] = mapping[i*stride:][:size:size]
			}
			return
		}
	}
	for i := range r.buffers {
		r.buffers[i] = make([]byte, size)
	}
}

// Close gives the buffers back. Nothing that was read is valid any more.
func (r *Reader) Close() {
	if r.mapping != nil {
		_ = unix.Munmap(r.mapping)
	}
	r.mapping, r.buffers, r.headers = nil, nil, nil
}

// trimAfter is how many reads without a large datagram pass before the memory for those is given back.
const trimAfter = 1 << 12

// trim gives the memory of large datagrams back once none has come for a while.
func (r *Reader) trim() {
	for i := range r.filled {
		if int(r.headers[i].size) > page-r.headroom {
			r.touched, r.reads = true, 0
		}
	}
	if r.reads++; r.touched && r.reads >= trimAfter {
		r.touched = false
		_ = unix.Madvise(r.mapping, unix.MADV_DONTNEED) // or they stay, which harms nothing
	}
}

// Read reads up to a batch of the datagrams that have come. It returns their number, and whether there may be more.
// After an error, such as an ICMP message that the socket reports, it has read nothing and there may be more.
func (r *Reader) Read(fd int) (n int, more bool) { return r.receive(fd, len(r.headers), 0) }

// ReadUpTo reads likewise, and no more datagrams than most.
func (r *Reader) ReadUpTo(fd, most int) (n int, more bool) {
	return r.receive(fd, min(most, len(r.headers)), 0)
}

// ReadErrors reads up to a batch of the messages in a socket's error queue (recvmsg(2)).
func (r *Reader) ReadErrors(fd int) (n int, more bool) {
	return r.receive(fd, len(r.headers), unix.MSG_ERRQUEUE)
}

func (r *Reader) receive(fd, most, flags int) (n int, more bool) {
	n, errno := r.call(fd, most, flags)
	if errno != 0 {
		return 0, errno != unix.EAGAIN
	}
	return n, n == most
}

// Receive reads as Read does, and returns the error, if there is one. That nothing has come is no error.
func (r *Reader) Receive(fd int) (int, error) {
	switch n, errno := r.call(fd, len(r.headers), 0); errno {
	case 0:
		return n, nil
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	default:
		return 0, errno
	}
}

func (r *Reader) call(fd, most, flags int) (int, unix.Errno) {
	if r.mapping != nil {
		r.trim()
	}
	for i := range r.filled {
		r.resetLengths(i)
	}
	r.filled = 0
	n, errno := recvmmsg(fd, r.headers[:most], flags)
	if errno == 0 {
		r.filled = n
	}
	return n, errno
}

// resetLengths tells the kernel how much room there is for an address and control messages.
func (r *Reader) resetLengths(i int) {
	h := &r.headers[i].hdr
	if r.names != nil {
		h.Namelen = sockaddrSpace
	}
	h.SetControllen(controlSpace)
}

// Datagram is a datagram that was read. It is valid until the next read.
type Datagram struct {
	Buf       []byte // with headroom and tailroom around the packet
	Size      int    // of the packet
	From      netip.AddrPort
	Header    Header
	Truncated bool
}

// Message returns the datagram that the last Read put at i.
func (r *Reader) Message(i int) Datagram {
	h := &r.headers[i]
	if r.names[i] != r.last.raw {
		r.last = lastAddr{r.names[i], decodeSockaddr(&r.names[i])}
	}
	return Datagram{
		Buf:       r.buffers[i],
		Size:      int(h.size),
		From:      r.last.addr,
		Header:    ParseHeader(r.control(i)),
		Truncated: h.hdr.Flags&unix.MSG_TRUNC != 0,
	}
}

// Data returns the bytes of the datagram that the last Read put at i.
func (r *Reader) Data(i int) []byte {
	return r.buffers[i][r.headroom : r.headroom+int(r.headers[i].size)]
}

// control returns the control messages that came with datagram i.
func (r *Reader) control(i int) []byte { return r.controls[i][:r.headers[i].hdr.Controllen] }

// StampArrivals asks the kernel to say with each datagram of a socket when it came, and how many were dropped; see
// Reader.Arrival.
func StampArrivals(fd int) error {
	for _, option := range []int{unix.SO_TIMESTAMPNS_NEW, unix.SO_RXQ_OVFL} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1); err != nil {
			return err
		}
	}
	return nil
}

// Arrival returns when datagram i came, in nanoseconds since 1970, and how many datagrams the socket has ever dropped
// because nobody read them in time. Each is zero if the kernel did not say it.
func (r *Reader) Arrival(i int) (came int64, dropped uint32) {
	for control := r.control(i); len(control) >= unix.SizeofCmsghdr; {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		control = rest
		switch {
		case header.Level != unix.SOL_SOCKET:
		case header.Type == unix.SO_TIMESTAMPNS_NEW && len(data) >= 16:
			// struct __kernel_timespec has 64 bits for each on every architecture.
			came = int64(binary.NativeEndian.Uint64(data))*int64(time.Second) + int64(binary.NativeEndian.Uint64(data[8:]))
		case header.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
			dropped = binary.NativeEndian.Uint32(data)
		}
	}
	return came, dropped
}
