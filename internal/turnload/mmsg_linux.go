package turnload

import (
	"errors"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of recvmmsg(2), which golang.org/x/sys/unix lacks. golang.org/x/net has the calls, but
// makes an address on the heap for each datagram received, and the loader shares its core with what it measures.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32 // bytes sent or received
}

// mmsg makes one of the two calls without waiting.
func mmsg(trap uintptr, fd int, msgs []mmsghdr) (int, error) {
	// The call reads and writes msgs, and what its pointers lead to, and keeps none of them. All are typed Go
	// pointers, so that the collector keeps what they lead to. RawSyscall does not tell the scheduler, which need not
	// know of a call that does not wait.
	n, _, errno := unix.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// outbox sends frames: up to maxBurst datagrams by one call. It belongs to one worker.
type outbox struct {
	msgs     [maxBurst]mmsghdr
	parts    [maxBurst][2]unix.Iovec // header and payload
	payloads [maxBurst][maxPayload]byte
}

func newOutbox() *outbox {
	o := new(outbox)
	for i := range o.msgs {
		o.parts[i][1].Base = &o.payloads[i][0]
		o.msgs[i].hdr.Iov = &o.parts[i][0]
		o.msgs[i].hdr.SetIovlen(len(o.parts[i]))
	}
	return o
}

// send sends the next frame of a flow and returns how many of its datagrams the kernel took.
func (o *outbox) send(f *flow, run uint32) int {
	for i := range f.stream.Burst {
		header := &o.parts[i][0]
		header.Base = unsafe.SliceData(f.header)
		header.SetLen(len(f.header))
		o.parts[i][1].SetLen(f.stream.Size)
	}
	sent := time.Now().UnixNano()
	for i := range f.stream.Burst {
		packet{run, f.id, f.number + uint32(i), sent}.put(o.payloads[i][:])
	}
	n, err := mmsg(unix.SYS_SENDMMSG, f.from.fd, o.msgs[:f.stream.Burst])
	if errors.Is(err, unix.ECONNREFUSED) { // an earlier datagram's; this one was not tried
		n, _ = mmsg(unix.SYS_SENDMMSG, f.from.fd, o.msgs[:f.stream.Burst])
	}
	f.number += uint32(n)
	return n
}

const (
	inboxBatch   = 32
	inboxBytes   = 2048
	inboxControl = 128 // room for a time stamp and a count of drops
)

// inbox receives up to inboxBatch datagrams by one call. It belongs to one worker.
type inbox struct {
	msgs     [inboxBatch]mmsghdr
	parts    [inboxBatch]unix.Iovec
	buffers  [inboxBatch][inboxBytes]byte
	controls [inboxBatch][inboxControl / 8]uint64 // not bytes: the kernel's structures are aligned
}

func newInbox() *inbox {
	in := new(inbox)
	for i := range in.msgs {
		in.parts[i].Base = &in.buffers[i][0]
		in.parts[i].SetLen(inboxBytes)
		hdr := &in.msgs[i].hdr
		hdr.Iov = &in.parts[i]
		hdr.SetIovlen(1)
		// The array has inboxControl bytes, and its uint64s have no pointers.
		hdr.Control = (*byte)(unsafe.Pointer(&in.controls[i]))
	}
	return in
}

// receive reads what has come to a socket, and returns how many datagrams that was. An error is an ICMP message's.
func (in *inbox) receive(s *socket) (int, error) {
	for i := range in.msgs {
		in.msgs[i].hdr.SetControllen(inboxControl)
	}
	n, err := mmsg(unix.SYS_RECVMMSG, s.fd, in.msgs[:])
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		err = nil
	}
	return n, err
}

// datagram returns what the last receive put at i, and what the kernel said with it: when it came, in
// nanoseconds since 1970, and how many the socket has ever dropped because nobody read them in time, zero if it does not say.
func (in *inbox) datagram(i int) (data []byte, came int64, dropped uint32) {
	// The kernel has written Controllen bytes, at most the array's.
	control := unsafe.Slice(in.msgs[i].hdr.Control, in.msgs[i].hdr.Controllen)
	for len(control) >= unix.SizeofCmsghdr {
		hdr, value, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		switch {
		case hdr.Level != unix.SOL_SOCKET:
		case hdr.Type == unix.SO_TIMESTAMPNS_NEW && len(value) >= 16:
			// struct __kernel_timespec has 64 bits for each on every architecture; value is where the kernel aligned it.
			t := (*[2]int64)(unsafe.Pointer(&value[0]))
			came = t[0]*int64(time.Second) + t[1]
		case hdr.Type == unix.SO_RXQ_OVFL && len(value) >= 4:
			dropped = *(*uint32)(unsafe.Pointer(&value[0])) // aligned likewise
		}
		control = rest
	}
	return in.buffers[i][:in.msgs[i].n], came, dropped
}

// nap sleeps for a time that is short, or less if a signal comes. The scheduler is not told: to take the thread's processor
// away and to give it back would cost more than the packets.
func nap(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	// The call reads t while it lasts, and keeps no pointer to it.
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
}
