package udpio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Burst writes datagrams to a connected socket with one sendmmsg. Each has a header and a payload, and leaves by
// itself, without segmentation. A burst belongs to one goroutine.
type Burst struct {
	msgs     []mmsghdr
	parts    [][2]unix.Iovec // header and payload
	payloads [][]byte
}

// NewBurst makes a burst of up to n datagrams with payloads of up to size bytes.
func NewBurst(n, size int) *Burst {
	b := &Burst{msgs: make([]mmsghdr, n), parts: make([][2]unix.Iovec, n), payloads: make([][]byte, n)}
	memory := make([]byte, n*size)
	for i := range b.msgs {
		b.payloads[i] = memory[i*size : (i+1)*size]
		b.parts[i][1].Base = &b.payloads[i][0]
		b.msgs[i].hdr.Iov = &b.parts[i][0]
		b.msgs[i].hdr.SetIovlen(len(b.parts[i]))
	}
	return b
}

// Set makes datagram i of a header, which must not change until it is sent, and a payload of size bytes.
func (b *Burst) Set(i int, header []byte, size int) {
	b.parts[i][0].Base = unsafe.SliceData(header)
	b.parts[i][0].SetLen(len(header))
	b.parts[i][1].SetLen(size)
}

// Payload returns the memory of datagram i's payload, for the caller to fill.
func (b *Burst) Payload(i int) []byte { return b.payloads[i] }

// Send writes the first n datagrams to a socket, and returns how many of them the kernel took.
func (b *Burst) Send(fd, n int) int {
	sent, errno := sendmmsg(fd, b.msgs[:n])
	if errno == unix.ECONNREFUSED { // of an earlier datagram: the kernel has not tried this one
		sent, errno = sendmmsg(fd, b.msgs[:n])
	}
	if errno != 0 {
		return 0
	}
	return sent
}
