package turnserver

import (
	"net/netip"

	"turnpike/turnserver/udpio"
	"turnpike/turnserver/wire"
)

// client is where a packet came from, and how answers go back.
type client struct {
	tuple  wire.FiveTuple
	remote netip.AddrPort    // with the zone, if the client is link-local
	sock   clientSocket      // nil on a stream
	source []byte            // control message that names the address to answer from; nil where the socket has one address
	stream *stream           // nil where a message is a datagram: on UDP and DTLS
	conn   *clientConnection // that the client's allocation lives and dies with; nil on UDP
	origin *origin           // the address that it sent to, if that is one of a DiscoveryPair
}

// home is where an allocation's client is. It never changes; an allocation whose client moves gets another.
type home struct {
	client
	via *shard // that the client's packets come to, if it is another than the allocation's; else nil
}

// clientSocket is the UDP socket, or the DTLS association, that a client's packets come to.
type clientSocket interface {
	// sendTo sends b to the client, now or when w's batch is flushed. Whatever becomes of it, it is counted: b carries size bytes
	// that a peer sent, or none.
	sendTo(w *worker, c *client, b []byte, size int)
}

// notRelayed is the size of what no peer sent.
const notRelayed = -1

// deliver passes one STUN message or, already padded on a stream, one ChannelData message to the client. It never blocks.
// b leaves when w's batch is flushed, if not before, and it is then counted what becomes of it.
func (c *client) deliver(w *worker, b []byte, size int) {
	if c.stream == nil {
		c.sock.sendTo(w, c, b, size)
		return
	}
	w.streams.queue(c.stream, b, size)
}

func sendFailure(size int) reason {
	if size > udpio.LargestPayload {
		return dropTooLarge
	}
	return dropSendFailed
}
