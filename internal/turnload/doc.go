// Package turnload loads a TURN server with calls, and measures what becomes of their packets. It works with any
// server, since it knows nothing but RFC 8656. It is the engine of `turnpike bench` and of `make bench`.
//
//	generator_linux.go   Open: sockets, allocations, permissions or channels; Run: one load, measured
//	client_linux.go      the TURN client of one allocation: its requests, and what it learns from answers
//	transaction_linux.go sends requests and waits for answers: retransmission, 401 and 438
//	profile.go           what calls send: sizes, bursts, intervals
//	pacer.go             the flow that sends a frame next, and when
//	worker_linux.go      the loop that sends the frames that are due and polls the receiving sockets
//	socket_linux.go      a socket: ports, buffers, time stamps; package udpio reads and writes it in batches
//	carrier_linux.go     a connection over TCP, TLS or DTLS between a client's socket and the server
//	binding.go           Binding requests in the place of calls
//	packet.go            the contents of packets: flow, number, time sent
//	histogram.go         percentiles of latency
//	max.go               the search for the highest rate
//	options.go           the options of `turnpike bench`, and their checks; Bench: a whole bench
//	report.go            the results, for people and for programs
//	proc_linux.go        processor time and memory, as the kernel tells
//
// A worker never sleeps on a socket. On one machine with the server, the server's core would pay for each wake-up, a
// datagram at a time. So a worker sleeps by the clock, and polls its sockets as often as their rate demands. This does
// not lengthen latencies. A latency begins when the frame is due, so that a worker which falls behind hides nothing. It
// ends with the time stamp that the kernel gives a packet on arrival (SO_TIMESTAMPNS), by the clock of the same machine.
package turnload
