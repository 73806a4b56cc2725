package udpio

// ListenerBuffer is what a UDP listener asks of the kernel for bursts, in bytes; the kernel gives what its limits allow.
const ListenerBuffer = 4 << 20
