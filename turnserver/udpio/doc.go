// Package udpio is what the server asks of sockets beyond package net: batched UDP input and output on Linux, the packet
// information and header fields that come with datagrams, and the socket options that differ between systems.
//
//	Reader   one recvmmsg: datagrams with their senders, IP headers and destination, or a socket's error queue as ICMP messages
//	Sender   datagrams wait until Flush, which writes each socket's run with one sendmmsg, equal lengths to one address as UDP_SEGMENT
//	Burst    header and payload of a connected socket's datagrams, for a load generator
//
// Readers and senders belong to one goroutine each. Their memory is allocated once; reading and sending need no heap. The raw system calls
// stand in syscalls_linux.go.
//
// The portable path uses package net, with PacketInfo, DestinationAddr and SendFrom to answer from the address that was asked.
package udpio
