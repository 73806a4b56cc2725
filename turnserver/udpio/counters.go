package udpio

import "sync/atomic"

// Classes is how many kinds of datagrams are counted apart.
const Classes = 16

// Uncounted is the size of a datagram that no class counts.
const Uncounted = -1

// Counters count what became of datagrams. A sender adds to them as soon as it knows. Any goroutine may read them, or
// add to them.
type Counters struct {
	Sent     [Classes]Count // by Outgoing.Class
	LastHop  atomic.Uint64  // not sent: the hop limit of the packet that they relay ends here
	TooLarge atomic.Uint64
	NoRoom   atomic.Uint64 // the socket's send buffer, or a queue behind it, was full
	Failed   atomic.Uint64 // refused by the operating system for another reason
}

// Count is a number of datagrams and the sum of their sizes.
type Count struct{ Packets, Bytes atomic.Uint64 }
