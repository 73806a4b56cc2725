// Package turnserver answers STUN (RFC 8489) and relays with TURN (RFC 8656) over UDP, TCP, TLS and DTLS.
//
// A packet from a client goes this way:
//
//	loop_linux.go, stream.go  read a batch of datagrams, or cut frames from a stream
//	worker.go                 tell ChannelData, Send, Binding and requests apart
//	up.go                     ChannelData and Send indications: look the flow up, send to the peer
//	binding.go                Binding requests, answered from the worker; discovery.go where clients find out about their NATs
//	request.go                everything else: decode, authenticate (auth.go; integrity.go, nonce.go,
//	                          passwordalgorithms.go), then by method:
//	                          allocate.go (alternate.go while draining), permission.go (CreatePermission, ChannelBind)
//	batch_linux.go, gather.go write what the batch brought, to a stream in one piece
//
// and a packet from a peer this way:
//
//	loop_linux.go             read a batch from an allocation's relayed socket
//	down.go                   look the flow up, add a ChannelData or Data header in front, send to the client
//	batch_linux.go, gather.go write what the batch brought, to a stream in one piece
//
// What is answered to those who have not authenticated themselves, and who fails to, is limited by source (sourcelimit.go).
//
// Before a stream begins, accept.go reads what stands in front of it: a PROXY header (proxyproto.go), TLS (tls.go), and on a port
// that is shared with HTTP as much of the first frame as tells the two apart. DTLS (dtls.go) begins with a cookie
// (dtlshello.go); from there on pion/dtls has it, and each record is a message as each datagram is. What is not past its beginning
// is bounded, in time and in number (admission.go).
//
// A peer that is itself a relayed address of this node is reached in memory: up.go hands the packet to
// the other allocation's half of down.go.
//
// On Linux a loop a CPU (loop_linux.go, batch_linux.go) serves the UDP clients whose packets the kernel gives it, with all of
// their relayed sockets, and its share of those of clients on streams. It wastes neither goroutine nor buffer on what is idle.
// The portable path (socket.go, relay.go) has a goroutine a socket instead; it serves other systems. Both meet in the same
// worker, and pass the same tests.
//
// TCP (RFC 6062) is relayed beside all that. An allocation's relayed socket then listens for peers, and connections to them leave from
// its port (tcprelay.go). Each waits for a connection of the client's, which claims it (connect.go, peerconn.go); from there on the two are
// copied into each other (carry.go). An allocation costs a goroutine that accepts, and a connection one that reads the peer, beside the one
// that reads the client's stream.
//
// A client that has changed networks takes its allocation along, with a ticket (ticket.go, mobility.go). The packet path finds the same
// flows under another five-tuple, which may belong to another shard than the allocation does.
//
// An allocation has one relayed address or two, one of each family (allocation.go). Ports that wait for their owner are in reservation.go; what
// ICMP says of a peer comes from its relayed socket (icmp.go, icmp_linux.go).
//
// Where the kernel can forward, it does so with established flows over UDP (kernelpath.go, package offload): the packets of a bound
// channel, and indications to and from a peer once the client has sent it one, never come here, and everything else comes here as ever. The flow table tells the kernel of each change (flow.go), and what
// the kernel has counted is in every total; limits of bandwidth are held together (kernelmeters.go).
//
// A shard (shard.go) owns the allocations, permissions and flows (flow.go) of one loop, or of one listener. Requests and the sweep
// write them, the packet path reads them without a lock. Nothing here logs or allocates for a relayed packet; what is
// dropped is counted by reason (counters.go).
package turnserver
