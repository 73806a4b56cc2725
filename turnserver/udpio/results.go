package udpio

// LargestPayload is the most that a UDP datagram over IPv4 carries, in bytes.
const LargestPayload = 65507

// Classes is how many kinds of datagrams a sender counts apart.
const Classes = 16

// Uncounted is the size of a datagram that no class counts.
const Uncounted = -1

// Results says what became of a sender's datagrams. Its owner adds it up and clears it.
type Results struct {
	Some     bool // there is something in it
	Sent     [Classes]Count
	LastHop  uint64 // not sent, because the hop limit of the packet that they relay ends here
	TooLarge uint64
	Failed   uint64 // refused by the operating system for another reason
}

// Count is a number of datagrams and their sizes.
type Count struct{ Packets, Bytes uint64 }
