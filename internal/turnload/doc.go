// Package turnload loads a TURN server with calls, and measures what becomes of their packets: any server's, from
// outside, by RFC 8656 alone. It is the engine of `turnpike bench` and of `make bench`.
//
//	generator_linux.go   Open: sockets, allocations, permissions or channels; Run: one load, measured
//	client_linux.go      the TURN client of one allocation: what it asks for, what it is told
//	transaction_linux.go requests and answers: retransmission, 401 and 438
//	profile.go           what calls send: sizes, bursts, intervals
//	pacer.go             which flow sends a frame next, and when
//	worker_linux.go      the loop that sends what is due and polls the receiving sockets
//	mmsg_linux.go        sendmmsg and recvmmsg
//	packet.go            what the packets say: flow, number, time sent
//	histogram.go         percentiles of latency
//	max.go               the search for the highest rate
//	options.go           what `turnpike bench` is asked for, checked; Bench: all of one bench
//	report.go            what it found, for people and for programs
//	proc_linux.go        what the kernel says of processor and memory
//
// A worker never sleeps on a socket. On one machine with the server, each wake-up would be paid for by the server's
// core, a datagram at a time; so it sleeps by the clock, and looks into its sockets as often as their rate asks for. Latency does
// not suffer: it ends with the time stamp that the kernel puts on a packet when it arrives (SO_TIMESTAMPNS), and begins
// when the frame is handed to the kernel. Both are the same machine's clock, as sockets of one process read it.
package turnload
