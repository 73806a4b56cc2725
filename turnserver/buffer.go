package turnserver

import (
	"sync"

	"turnpike/turnserver/wire"
)

const (
	// maxDatagram is more than any UDP payload, so that a read that fills it cannot happen.
	maxDatagram = 65536
	// headroom before a packet takes the largest header that is put in front of it in place: a Data
	// indication's 20 bytes, an IPv6 XOR-PEER-ADDRESS of 24 and the header of DATA, 4.
	headroom = 64
	// tailroom after a packet takes the padding to a multiple of four.
	tailroom = 64
)

// buffer holds one packet, or a batch of stream frames, between headroom and tailroom. Of both kinds the longest is a STUN message.
type buffer struct {
	bytes [headroom + wire.MaxMessage + tailroom]byte
}

// bufferPool lends buffers to readers for as long as they have something in hand.
type bufferPool struct{ pool sync.Pool }

func newBufferPool() *bufferPool {
	return &bufferPool{sync.Pool{New: func() any { return new(buffer) }}}
}

func (p *bufferPool) get() *buffer  { return p.pool.Get().(*buffer) }
func (p *bufferPool) put(b *buffer) { p.pool.Put(b) }
