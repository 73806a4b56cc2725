// Package signalload loads a signaling server from outside. It holds sessions over real WebSockets, which send each other
// messages, and measures loss and latency. It is the engine of `turnpike bench signal` and of `make bench-signal`.
//
//	generator_linux.go  Open: sockets, log-ins, rooms; Run: one load, measured; Max; Close
//	steps_linux.go      takes many sessions at once through a step: log in, enter a room
//	session_linux.go    the WebSocket client of one session: upgrade, frames, unsent bytes
//	socket_linux.go     non-blocking sockets, epoll, TLS
//	worker_linux.go     the loop that sends messages that are due and reads those that have come
//	return_linux.go     brings all sessions back after a restart of the server
//	frame.go            the frames of RFC 6455
//	dialect.go          the protocol of one kind of server: turnpike.go, peerjs.go
//	message.go          the messages: a description of the size asked for, with flow, number and time in it
//	options.go          the options of `turnpike bench signal`; Bench runs it
//	report.go           the results, for people and for programs
//
// Server and loader have one core each, so a message may cost the loader no more than a write and a read: no goroutine, no
// heap object, no JSON. The loader never sleeps on a socket, because the server's core would pay for waking it. Latency
// begins when the message is due, so that a loader which falls behind hides nothing, or with Load.AsSent when it is sent. It ends with the kernel's time stamp of
// the last byte's arrival (SO_TIMESTAMPNS), by the clock of the same machine.
package signalload
