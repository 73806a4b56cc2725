// Package turnserver answers STUN (RFC 8489) and relays with TURN (RFC 8656) over UDP, TCP, TLS and DTLS.
//
// A packet from a client goes this way:
//
//	loop_linux.go             read a batch of datagrams
//	stream.go, streamread.go  cut frames from a stream
//	worker.go                 tell ChannelData, Send indications, Binding requests and other requests apart
//	topeer.go                 ChannelData and Send indications: look the flow up, send to the peer
//	worker.go                 answer Binding requests; discovery.go does so on addresses where clients find out about their NATs
//	request.go                decode every other request, authenticate it (auth.go), then by method:
//	                          allocate.go           Allocate and Refresh; request.go while the server drains
//	                          permission.go         CreatePermission and ChannelBind
//	                          mobility.go           Refresh with a ticket
//	                          tcprelay_requests.go  Connect and ConnectionBind
//	streambatch.go, udpio     write what the batch brought, to a stream in one piece
//
// and a packet from a peer this way:
//
//	loop_linux.go             read a batch from an allocation's relayed socket
//	toclient.go               look the flow up, put a ChannelData or Data header in front, send to the client
//	streambatch.go, udpio     write what the batch brought, to a stream in one piece
//
// Packages of their own know nothing of the server's state:
//
//	front        accepts connections and finds out what they carry: a PROXY header, TLS, STUN or HTTP (wired in listen.go)
//	wire         formats of messages: encoding and parsing
//	udpio        sockets that read and write datagrams in batches
//	peerpolicy   which addresses a relay may send to
//	tokenbucket  rates
//	offload      the packet path of established flows inside the kernel (wired in offloader.go)
//
// A shard (shard.go) owns the allocations, permissions and flows (flow.go) of one loop, or of one listener. Requests
// and the sweep write them, the packet path reads them without a lock. Nothing here logs or allocates for a relayed
// packet. A packet that is dropped is counted by reason (counters.go).
//
// If a peer is itself a relayed address of this node, its packets never leave the process: topeer.go hands them to the
// other allocation's half of toclient.go.
//
// On Linux a loop for each CPU (loop_linux.go) serves the UDP clients whose packets the kernel gives it, with all of
// their relayed sockets, and its share of the relayed sockets of clients on streams. An idle client costs it neither
// goroutine nor buffer. The kernel sorts what clients send into data, requests of those with an allocation, and the rest
// (looplistener_linux.go), and the loop serves them in this order. The portable path has a goroutine for each socket instead; it serves other systems. Both meet
// in the same worker, and pass the same tests.
//
// DTLS (dtls.go) begins with a cookie that only the owner of an address can learn; from there on pion/dtls has the
// association, and each record is a message as each datagram is.
//
// TCP (RFC 6062) is relayed beside the packet path. The relayed socket of such an allocation listens for peers, and
// connections to peers leave from its port (tcprelay.go). Each connection with a peer waits for a connection of the
// client's, which claims it (tcprelay_requests.go, tcprelay_conns.go). From then on the server copies each into the
// other (tcprelay_copy.go). Such an allocation costs a goroutine that accepts, and each connection with a peer one that
// reads the peer.
//
// A client that has changed networks takes its allocation along, with a ticket (mobility.go). The packet path then
// finds the same flows under another five-tuple, which may belong to another shard than the allocation does.
//
// An allocation has one relayed address, or one of each family (allocation.go, relayaddress.go), where
// reserved ports wait for their owners, too. The addresses are those that the host has now (relayset.go). The client is
// told what ICMP says of its peers (toclient.go).
//
// The kernel forwards established flows over UDP where it can (offloader.go): the packets of bound channels, and
// indications to and from a peer once the client has sent that peer one (conversation.go). It passes everything else up
// to the sockets. The flow table tells it of each change by a queue (flowqueue.go), because system calls would hold up
// packets. A port is free only once the kernel no longer forwards from it. Every total includes the kernel's counts, and
// a limit of bandwidth holds for it and the process together (offloader_meters.go).
//
// Rates of answers to clients that have shown nothing, and of failed log-ins, are limited by source: an IPv4 address or
// an IPv6 /64.
package turnserver
