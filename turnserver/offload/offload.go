package offload

import (
	"errors"
	"log/slog"
	"net/netip"
	"time"
)

// Flow is an established flow as plain data: a bound channel, or a peer that the client sends indications to, with
// everything that forwarding takes.
type Flow struct {
	Client, Local netip.AddrPort // the five-tuple, over UDP; Local is the address of this host that the client sends to
	Channel       uint16         // 0: the data comes in Send indications and leaves in Data indications
	Relayed, Peer netip.AddrPort // the relayed address as bound on this host, and the peer

	// PeerRelay is set if the peer is a relayed address of this node. It is that address as bound on this host. Packets
	// then go straight to the client of that allocation, if it has a channel to External: Relayed as others know it.
	PeerRelay, External netip.AddrPort

	Expires time.Time

	// UpMeters and DownMeters bound the flow's bandwidth by direction. They are ids that SetMeter got, or 0.
	UpMeters, DownMeters [3]uint32
}

// Config is what Open needs.
type Config struct {
	// Addresses are those of listeners, and relayed addresses. An unspecified one stands for all addresses.
	Addresses []netip.Addr

	MaxFlows int          // default 65536 channels, and as many flows without; more flows go through user space
	Meters   int          // at most so many, with ids from 1 on
	Log      *slog.Logger // default: nothing is logged
	Fault    func()       // is called whenever something fails that the path goes on without; it may be nil
}

// Key is the part of a flow that packets of one direction show.
type Key struct {
	Remote, Local netip.AddrPort // client and listener, or peer and relayed address
	Channel       uint16         // of ChannelData from the client
	Peer          netip.AddrPort // named by Send indications from the client
}

// Up is the key of packets from the client.
func (f *Flow) Up() Key {
	k := Key{Remote: f.Client, Local: f.Local, Channel: f.Channel}
	if f.Channel == 0 {
		k.Peer = f.Peer
	}
	return k
}

// Down is the key of packets from the peer.
func (f *Flow) Down() Key { return Key{Remote: f.Peer, Local: f.Relayed} }

// Entry is one direction of a flow, with the traffic that the kernel has forwarded in it.
type Entry struct {
	Key
	Usage
}

// Usage is traffic that the kernel has forwarded.
type Usage struct {
	Packets, Bytes uint64    // data, without ChannelData headers
	Dropped        uint64    // packets over a meter's bandwidth, modulo 1<<32
	Seen           time.Time // when the last packet came, forwarded or not; zero: no packet yet
}

// Totals are sums over all flows since Open, with those that have ended.
type Totals struct {
	PacketsUp, PacketsDown uint64 // from clients, to clients
	BytesUp, BytesDown     uint64 // data, without ChannelData headers
	Hops                   uint64 // packets from client to client; they are in up and down, too

	// Dropped.
	OverRate uint64 // over the bandwidth of a meter
	Failed   uint64 // the kernel had no memory

	// Passed up to user space, though they are of a flow.
	Expired     uint64
	Unconfirmed uint64 // nothing has come from the other direction yet
	Unrouted    uint64 // the kernel has no route that the program could take
	TooLong     uint64 // too long for the next link, or, between virtual interfaces, longer than 2048 bytes
	Untypical   uint64 // with other lengths than they have as a rule, or on their last hop
	Aggregated  uint64 // several in one, as network cards and other virtual machines pass them on
}

// Errors of Put.
var (
	ErrFull   = errors.New("offload: the table of flows is full")
	ErrClosed = errors.New("offload: closed")
)
