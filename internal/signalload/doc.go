// Package signalload loads a signaling server with sessions that send each other messages, over real WebSockets and from
// outside, and measures what becomes of them. It is the engine of `turnpike bench signal` and of `make bench-signal`.
//
//	generator_linux.go  Open: sockets, log-ins, rooms; Run: one load, measured; Max; Close
//	steps_linux.go      many sessions at once through a step: log in, enter
//	session_linux.go    the WebSocket client of one session: upgrade, frames, what the socket did not take
//	socket_linux.go     sockets that never wait, epoll, TLS on them
//	worker_linux.go     the loop that sends what is due and reads what has come
//	frame.go            RFC 6455's frames
//	dialect.go          what a server of a kind wants to hear: turnpike.go, peerjs.go
//	text.go             the messages: a description of the size asked for, with flow, number and time in it
//
// One core is the server's and one the loader's, so a message may cost the loader no more than a write and a read: no
// goroutine, no heap object, no JSON, and no sleep on a socket, whose wake-up the server's core would pay for. Latency begins
// before the write and ends with the kernel's time stamp of the last byte's arrival (SO_TIMESTAMPNS). Both are the same
// machine's clock.
package signalload
