package udpio

// Classes is how many kinds of datagrams a sender counts apart.
const Classes = 16

// Uncounted is the size of a datagram that no class counts.
const Uncounted = -1

// Results says what became of a sender's datagrams. The sender adds to it, and its owner clears it.
type Results struct {
	Some     bool           // it may have something
	Sent     [Classes]Count // by Outgoing.Class
	LastHop  uint64         // not sent: the hop limit of the packet that they relay ends here
	TooLarge uint64
	Failed   uint64 // refused by the operating system for another reason
}

// Count is a number of datagrams and their sizes.
type Count struct{ Packets, Bytes uint64 }
