// Package wire reads and writes what travels between clients and the server: the parts of STUN, TURN and DTLS that the
// server handles itself. Everything here is pure: bytes in, values out, or the other way round. It opens no sockets and
// knows no allocations.
//
//	endpoint.go           addresses, transports and five-tuples as small comparable values
//	stun.go               STUN's header, attributes and addresses (RFC 8489)
//	frame.go              ChannelData, and the frames of a stream (RFC 8656 §12, RFC 8489 §6.2.2)
//	indication.go         Data indications, with data or with an ICMP message (RFC 8656 §11)
//	binding.go            answers to Binding requests
//	discovery.go          Binding requests and answers of RFC 5780
//	integrity.go          MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256
//	passwordalgorithm.go  PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS
//	nonce.go              nonces with their cookie, and what a nonce is worth
//	ticket.go             mobility tickets (RFC 8016)
//	clienthello.go        a DTLS ClientHello, and the cookie that its sender must bring back (RFC 6347)
//
// Requests are decoded by pion/stun. What stands here is read and written for each packet, without the heap, or decides
// whom to trust.
package wire
