package signaling

import "example.org/turnpike/signal/wire"

// maxUnacked is how many bytes of messages a client leaves unacknowledged.
const maxUnacked = 64 << 10

// inbox is how far the server's numbered messages were handled: each counts once, and none is left out. It outlives sockets.
type inbox struct {
	received, acked uint64
	unacked         int // bytes since acked
}

type arrival int

const (
	next  arrival = iota // handle it
	known                // it came before
	gap                  // messages before it are lost
)

// receive judges a message. Those that have no number are not part of the stream.
func (in *inbox) receive(seq uint64, length int) arrival {
	switch {
	case seq == 0:
		return next
	case seq <= in.received:
		return known
	case seq != in.received+1:
		return gap
	}
	in.received = seq
	in.unacked += length
	return next
}

// due reports whether an acknowledgement is due now, even if no other message can carry it.
func (in *inbox) due() bool {
	return in.received-in.acked >= wire.AckEvery || in.unacked >= maxUnacked
}

// ack returns received for a message that is about to be sent, zero if the server has it.
func (in *inbox) ack() uint64 {
	if in.acked == in.received {
		return 0
	}
	in.acked, in.unacked = in.received, 0
	return in.received
}
