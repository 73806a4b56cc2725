// Package udpio is what the server asks of sockets beyond package net: batched UDP input and output on Linux, the
// packet information and header fields that come with datagrams, and what differs between systems.
//
//	Reader      reads a batch with one recvmmsg: datagrams with sender, destination and IP header, or ICMP errors
//	Sender      keeps datagrams until Flush; then it writes the run of each socket with one sendmmsg
//	            and the datagrams of equal length to one address as one UDP_SEGMENT message
//	Counters    count what became of the datagrams of a Sender
//	Burst       writes the datagrams of a load generator, which must leave one by one
//	ReadWaiter  waits on a socket of package net without holding a buffer
//	LazyReader  reads one into a buffer that it borrows once something has come
//
// A Reader, Sender or Burst belongs to one goroutine. It allocates its memory once: reading and sending need no heap.
// All raw system calls stand in syscalls_linux.go.
//
// The portable path uses package net. There, PacketInfo says whether a listener on the unspecified address can answer
// from the address that a client asked.
package udpio
