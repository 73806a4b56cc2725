package udpio

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Outgoing says where a datagram goes, and how.
type Outgoing struct {
	FD     int
	To     netip.AddrPort
	Source []byte // control message of SendFrom, or nil
	Header Header // of the packet that the datagram relays
	Size   int    // that is counted once it has left, or Uncounted
	Class  uint8  // in which it is counted; less than Classes

	len int // of the datagram
}

// Sender gathers datagrams, and writes them with as few system calls as they allow. A run of datagrams from one socket
// takes one sendmmsg. In it, a run of equal length to one address takes one UDP_SEGMENT message, which the kernel
// carries as one packet down to the device. As in Reader, the memory that the kernel reads is allocated once. The data
// stay the caller's, and unchanged until Flush.
type Sender struct {
	Counters *Counters // that count what becomes of the datagrams

	system func(fd int, messages []mmsghdr) (sent int, errno unix.Errno) // tests set another

	unsegmented [unsegmentedSlots]unsegmented // by a hash of the destination
	remembers   bool                          // there has been one

	n       int
	waiting [BatchSize]Outgoing
	iovs    [BatchSize]unix.Iovec

	// Of one flush.
	headers  [BatchSize]mmsghdr
	names    [BatchSize][sockaddrSpace]byte
	controls [BatchSize][controlSpace]byte
	spans    [BatchSize]span
}

// span is the part of waiting that one message carries.
type span struct{ first, end int }

// NewSender makes a sender.
func NewSender(c *Counters) *Sender { return &Sender{Counters: c, system: sendmmsg} }

// Add queues a datagram, which must not change until Flush.
func (s *Sender) Add(o Outgoing, data []byte) {
	if o.Header.lastHop() {
		s.Counters.LastHop.Add(1)
		return
	}
	if s.n == BatchSize {
		s.Flush()
	}
	o.len = len(data)
	s.waiting[s.n] = o
	s.iovs[s.n].Base = unsafe.SliceData(data) // the collector sees this pointer, and keeps the data
	s.iovs[s.n].SetLen(len(data))
	s.n++
}

// Flush writes the waiting datagrams in order.
func (s *Sender) Flush() {
	for first := 0; first < s.n; {
		end := first + 1
		for end < s.n && s.waiting[end].FD == s.waiting[first].FD {
			end++
		}
		s.send(first, end, true)
		first = end
	}
	clear(s.iovs[:s.n]) // let go of the data
	s.n = 0
}

// send writes waiting[first:end], which leave from one socket.
func (s *Sender) send(first, end int, segment bool) {
	fd, messages := s.waiting[first].FD, 0
	for at := first; at < end; messages++ {
		next := at + 1
		if segment {
			next = s.runFrom(at, end)
		}
		s.spans[messages] = span{at, next}
		s.fill(messages, at, next)
		at = next
	}
	again := -1 // the message that gets a second try
	for sent := 0; sent < messages; {
		n, errno := s.system(fd, s.headers[sent:messages])
		switch {
		case errno == unix.EINTR:
		case errno == 0:
			for _, done := range s.spans[sent : sent+n] {
				s.count(done)
			}
			sent += n
		case errno == unix.EAGAIN: // the socket is full, and the rest would find it so
			s.Counters.NoRoom.Add(uint64(end - s.spans[sent].first))
			return
		case sent != again && mayBeICMP(errno):
			again = sent // the error may be an earlier packet's, which the kernel returns once
		default:
			failed := s.spans[sent]
			if failed.end-failed.first > 1 && s.cannotSegment(errno, failed) {
				// The messages that follow are built again.
				s.send(failed.first, failed.end, false)
				if failed.end < end {
					s.send(failed.end, end, true)
				}
				return
			}
			s.countFailed(errno, failed)
			sent++
		}
	}
}

// countFailed counts the datagrams of a message that the kernel has refused.
func (s *Sender) countFailed(errno unix.Errno, failed span) {
	n := uint64(failed.end - failed.first)
	switch {
	case errno == unix.ENOBUFS || errno == unix.ENOMEM: // a queue on the way to the device is full
		s.Counters.NoRoom.Add(n)
	case errno == unix.EMSGSIZE || s.waiting[failed.first].len > LargestPayload:
		s.Counters.TooLarge.Add(n)
	default:
		s.Counters.Failed.Add(n)
	}
}

// unsegmented is a destination to which the kernel has refused to send segments.
type unsegmented struct {
	to    netip.Addr
	above int    // segments longer than this are refused
	runs  uint16 // how often the sender believes it until it tries again: routes and devices change
}

const (
	unsegmentedSlots = 64      // remembered at once; one that takes another's slot costs that one a call that fails
	unsegmentedRuns  = 1 << 12 //
)

// cannotSegment reports whether a message failed because the way to its destination takes no segments of its length,
// and remembers that.
func (s *Sender) cannotSegment(errno unix.Errno, failed span) bool {
	above := 0
	switch errno {
	case unix.EIO, unix.EOPNOTSUPP: // no offload of checksums, or IPsec
	case unix.EINVAL, unix.EMSGSIZE: // longer than the path's MTU
		above = s.waiting[failed.first].len - 1
	default:
		return false
	}
	to := s.waiting[failed.first].To.Addr()
	*s.slot(to) = unsegmented{to: to, above: above, runs: unsegmentedRuns}
	s.remembers = true
	return true
}

// takesSegments reports whether datagrams of a length may go to an address in one message, as far as the sender knows.
func (s *Sender) takesSegments(to netip.Addr, size int) bool {
	if !s.remembers {
		return true
	}
	known := s.slot(to)
	if known.runs == 0 || known.to != to || size <= known.above {
		return true
	}
	known.runs--
	return false
}

// slot returns where an address is remembered.
func (s *Sender) slot(to netip.Addr) *unsegmented {
	b := to.As16()
	hash := binary.BigEndian.Uint64(b[:8])*31 ^ binary.BigEndian.Uint64(b[8:])
	return &s.unsegmented[hash*0x9E3779B97F4A7C15>>58%unsegmentedSlots]
}

func (s *Sender) count(done span) {
	packets, bytes := 0, 0
	for i := done.first; i < done.end; i++ {
		if size := s.waiting[i].Size; size != Uncounted {
			packets++
			bytes += size
		}
	}
	if packets > 0 {
		sent := &s.Counters.Sent[s.waiting[done.first].Class]
		sent.Packets.Add(uint64(packets))
		sent.Bytes.Add(uint64(bytes))
	}
}

// Bounds of UDP_SEGMENT: a segment must fit into a packet of the device, and the kernel takes so many segments and
// bytes.
const (
	maxSegment   = 1452
	maxSegments  = 64
	maxSegmented = 65000
)

// runFrom returns the end of the run at first that one UDP_SEGMENT message can carry. All its datagrams go to one
// address and have one length, but the last may be shorter.
func (s *Sender) runFrom(first, end int) int {
	head := &s.waiting[first]
	if head.len > maxSegment || head.len == 0 || first+1 == end || !s.takesSegments(head.To.Addr(), head.len) {
		return first + 1
	}
	total := head.len
	for i := first + 1; i < end && i-first < maxSegments; i++ {
		next := &s.waiting[i]
		total += next.len
		if next.To != head.To || next.len > head.len || next.len == 0 || total > maxSegmented ||
			unsafe.SliceData(next.Source) != unsafe.SliceData(head.Source) || next.Class != head.Class || !next.Header.alike(&head.Header) {
			return i
		}
		if next.len < head.len {
			return i + 1
		}
	}
	return min(end, first+maxSegments)
}

// fill makes message i of waiting[first:end].
func (s *Sender) fill(i, first, end int) {
	head, h := &s.waiting[first], &s.headers[i].hdr
	h.Name = &s.names[i][0]
	h.Namelen = encodeSockaddr(&s.names[i], head.To)
	h.Iov = &s.iovs[first]
	h.SetIovlen(end - first)
	n := copy(s.controls[i][:], head.Source)
	n += head.Header.put(s.controls[i][n:], head.To.Addr().Is4())
	if end-first > 1 {
		n += putSegmentSize(s.controls[i][n:], uint16(head.len))
	}
	h.Control = nil
	if n > 0 {
		h.Control = &s.controls[i][0]
	}
	h.SetControllen(n)
}

// putSegmentSize writes the control message of UDP_SEGMENT (udp(7)), and returns the room that it takes.
func putSegmentSize(b []byte, size uint16) int {
	putControlHeader(b, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
	binary.NativeEndian.PutUint16(b[unix.SizeofCmsghdr:], size)
	return unix.CmsgSpace(2)
}

// mayBeICMP reports whether a call may have failed because of an ICMP message for an earlier datagram.
func mayBeICMP(errno unix.Errno) bool {
	switch errno {
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENONET, unix.ENOPROTOOPT,
		unix.EOPNOTSUPP, unix.EPROTO, unix.EMSGSIZE, unix.EACCES:
		return true
	default:
		return false
	}
}
