package udpio

const (
	// ListenerBuffer is the room for bursts, in bytes, that a UDP listener asks of the kernel. The kernel gives what
	// its limits allow.
	ListenerBuffer = 4 << 20

	// RelayedBuffer is the room for bursts that a relayed socket asks of the kernel: a key frame and more, while the
	// process does not run for some milliseconds. Only what waits takes memory.
	RelayedBuffer = 1 << 20

	// LargestPayload is the most that a UDP datagram over IPv4 carries, in bytes.
	LargestPayload = 65507
)
