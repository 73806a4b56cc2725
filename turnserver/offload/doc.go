// Package offload forwards the packets of established TURN flows inside the Linux kernel, at a fraction of what a
// socket costs.
//
//	client ── ChannelData or Send ──> ingress of an interface ── data ──> peer
//	                                      bpf/forward.c
//	client <── ChannelData or Data ──                         <── data ── peer
//
// The program sees each packet that an interface receives before the IP stack does. Those that it knows everything of,
// it forwards to the neighbour that they go to next: those of bound channels, and indications in their usual layout, of
// the peer and the data. All others it passes up untouched: requests, fragments, IP options, what is longer than the
// next link takes, what belongs to no flow. They come to the sockets as if there were no program, and the sockets know
// all cases.
//
// Who writes what:
//
//	path_linux.go    Put and Remove make and end entries in the maps of flows; its expiry stops a flow even if nobody ends it
//	bpf/forward.c    counts in the entries, and totals for each CPU; user space reads them while they grow
//	attach_linux.go  follows the interfaces, and attaches the program to those that packets come to
//	route_linux.go   asks the kernel which interface a flow leaves by, and again when routes change
//
// The server's flow table is the only source of entries (kernelpath.go there). What bounds a flow's bandwidth is shared
// memory that both sides take from (meter_linux.go), so that no limit is one for each of them.
//
// Packets that are forwarded here pass before netfilter, connection tracking and reverse path filtering. So that
// address translation on this very host is not left out, a direction of a flow is forwarded only once the program has
// seen a packet of the other direction, with the addresses that user space knows.
//
// A wrong UDP checksum stays wrong, for the receiver to see, and an absent one over IPv4 stays absent, as with a
// router.
package offload
