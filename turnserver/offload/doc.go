// Package offload forwards the packets of established TURN flows inside the Linux kernel, at a fraction of what a
// socket costs.
//
//	client ── ChannelData or Send ──> ingress of an interface ── data ──> peer
//	                                      bpf/forward.c
//	client <── ChannelData or Data ──                         <── data ── peer
//
// The program sees each packet that an interface receives before the IP stack does. It forwards packets to their next
// neighbour if it knows everything of them: packets of bound channels, and indications with nothing but the peer and
// the data in the usual order. It passes all others up untouched: requests, fragments, packets with IP options, packets
// that are too long for the next link, and packets of no flow. They come to the sockets as if there were no program,
// and the sockets know all cases.
//
// The files, and what each part writes:
//
//	path_linux.go    Put and Remove make and end entries in the maps of flows; an expiry stops a flow that nobody ends
//	bpf/forward.c    counts in the entries, and totals for each CPU; user space reads them while they grow
//	attach_linux.go  follows the interfaces, and attaches the program to those that packets come to
//	route_linux.go   asks the kernel by which interface a flow leaves, and again when routes change
//	ipsec_linux.go   detaches the program while IPsec policies are in force
//	watch_linux.go   hears of such changes (events_linux.go), and looks by itself now and then
//
// Only the server's flow table makes entries (offloader.go there). A limit of bandwidth is shared memory that both the
// program and user space take from (meter_linux.go), so that the limit does not hold for each of them apart.
//
// Packets that the program forwards do not pass netfilter, connection tracking, reverse path filtering or IPsec. This host
// itself may translate addresses, and the program must not bypass that. So it forwards a direction of a flow only once
// it has seen a packet of the other direction, with the addresses that user space knows.
//
// A wrong UDP checksum stays wrong, for the receiver to see. An absent one over IPv4 stays absent, as with a router.
package offload
