package turnserver

import "net/netip"

// client is where a packet came from, and how answers go back.
type client struct {
	tuple  fiveTuple
	remote netip.AddrPort // with the zone, if the client is link-local
	sock   *udpSocket     // nil on a stream
	source []byte         // control message that names the address to answer from; nil where the socket has one address
	stream *stream        // nil on UDP
}

// send passes one STUN message or, already padded on a stream, one ChannelData message to the client, or reports false if that
// was not possible, which it counts. It never blocks.
func (c *client) send(srv *Server, b []byte) bool {
	if c.stream != nil {
		if !c.stream.send(b) {
			srv.counters.drop(dropSlowClient)
			return false
		}
		return true
	}
	if _, _, err := c.sock.conn.WriteMsgUDPAddrPort(b, c.source, c.remote); err != nil {
		srv.counters.drop(sendFailure(len(b)))
		return false
	}
	return true
}

// largestPayload is the most that a UDP datagram over IPv4 carries.
const largestPayload = 65507

func sendFailure(size int) reason {
	if size > largestPayload {
		return dropTooLarge
	}
	return dropSendFailed
}
