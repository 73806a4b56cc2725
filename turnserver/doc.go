// Package turnserver answers STUN (RFC 8489) and relays with TURN (RFC 8656) over UDP and TCP.
//
// A packet from a client goes this way:
//
//	socket.go, stream.go   read a datagram or cut a frame from a TCP stream
//	worker.go              tell ChannelData, Send, Binding and requests apart
//	up.go                  ChannelData and Send indications: look the flow up, send to the peer
//	binding.go             Binding requests, answered from the stack
//	request.go             everything else: decode, authenticate (auth.go), then by method:
//	                       allocate.go, permission.go (CreatePermission, ChannelBind)
//
// and a packet from a peer this way:
//
//	relay.go               read from an allocation's relayed socket
//	down.go                look the flow up, add a ChannelData or Data header in front, send to the client
//
// A peer that is itself a relayed address of this node is reached in memory: up.go hands the packet to
// the other allocation's half of down.go.
//
// A shard (shard.go) owns the allocations, permissions and flows of the clients that reach one listener.
// Requests and the sweep write them, the packet path only reads them. Nothing here logs, locks for long or
// allocates for a relayed packet; what is dropped is counted by reason (counters.go).
package turnserver
