package turnserver

import (
	"strconv"
	"sync/atomic"

	"turnpike/turnserver/offload"
	"turnpike/turnserver/wire"
)

// reason says why a packet was dropped or a peer refused.
type reason uint8

const (
	dropMalformed      reason = iota // neither STUN nor ChannelData, or inconsistent lengths
	dropUnexpected                   // well-formed, but of a kind that no client sends to a server
	dropNoAllocation                 // data on a five-tuple that has no allocation
	dropNoChannel                    // ChannelData on a channel that is not bound
	dropNoPermission                 // no permission for the peer, in either direction
	dropNoRelay                      // sent to one of our relay addresses, at a port nobody holds
	dropTooLarge                     // does not fit a datagram once the header is changed
	dropSendFailed                   // the operating system refused to send
	dropSlowClient                   // the client does not read its TCP stream fast enough
	dropClientAway                   // the client, which can come by another connection, has lost the one it had
	dropHopLimit                     // its hop limit ends here
	dropBandwidth                    // over a limit of bandwidth
	dropICMP                         // an ICMP message of a kind that clients are not told of, or about no peer of theirs
	dropICMPLimit                    // more ICMP messages than a client is told of
	dropListener                     // reading from a listener failed
	dropAnswerLimit                  // a request whose answer could serve to flood its apparent sender
	dropLoginLimit                   // a request from where log-ins have failed too often
	dropNoAssociation                // no DTLS association, nor the beginning of one
	dropSlowServer                   // a DTLS client sends faster than it is served
	dropBadCookie                    // a DTLS ClientHello with a cookie that is not good, or no longer
	denyUnspecified                  // peer policy, by the range that the address is in
	denyLoopback                     //
	denyLinkLocal                    //
	denyPrivate                      //
	denyMulticast                    //
	denyReserved                     //
	denyOwnHost                      // an address of this host that relays nothing
	denyConfigured                   // in deny_peers
	denyScope                        // not signalled to this session
	denyFamily                       // not of the relayed address's family
	streamBadFrame                   // a stream was closed: neither STUN nor ChannelData, or too long
	streamNoAllocation               // a stream was closed: no allocation within the time allowed
	streamTooMany                    // a stream was closed at once: there are as many as there may be
	streamTooManyFrom                // or as many from its address
	streamCrowdedOut                 // closed before it was known what it carries, to make room for another
	streamSilent                     // its first frame, or the PROXY header before it, did not come in time
	streamLeft                       // the client left before that
	streamTURNOff                    // STUN on a listener that is for HTTP alone
	streamReserved                   // the client asked for a protocol that is spoken to nobody here
	streamStranger                   // not from a trusted proxy, where all come from those
	streamProxyHeader                // no PROXY header from a trusted proxy, or a bad one
	tlsNotTLS                        // a TLS handshake failed: what came was not TLS
	tlsTimeout                       // it was not done in time
	tlsByClient                      // the client ended it
	tlsFailed                        // no common version, cipher suite or protocol, or a broken message
	dtlsTimeout                      // and the same of DTLS
	dtlsCrowdedOut                   //
	dtlsFailed                       //
	peerNoPermission                 // a peer's TCP connection was closed at once: no permission
	peerOwnHost                      // it came from this host, and from no relayed address
	peerTooMany                      // as many connections with peers wait as may, of this allocation, session or user
	peerCrowdedOut                   // one with a peer was closed, to make room for another
	peerUnclaimed                    // the client has not taken it over in time
	peerTimeout                      // a peer has not accepted one in time
	peerFailed                       // a peer has refused one, or cannot be reached
	peerTooOften                     // a Connect was refused: too many in this minute
	limitSession                     // an allocation was refused, by the limit that stood against it
	limitUser                        //
	limitAddress                     //
	limitTotal                       //
	limitPermissions                 // a permission was refused, because its allocation had as many as it may
	limitChannels                    // and a channel
	limitAge                         // an allocation has ended because of its age
	limitMoves                       // a move was refused: its allocation has moved too often
	reasonCount
)

// goesOn is no reason: nothing ends.
const goesOn = reasonCount

// reasonNames are label values of metrics: they do not change once published.
func reasonNames() [reasonCount]string {
	return [reasonCount]string{
		dropMalformed:      "malformed",
		dropUnexpected:     "unexpected",
		dropNoAllocation:   "no_allocation",
		dropNoChannel:      "no_channel",
		dropNoPermission:   "no_permission",
		dropNoRelay:        "no_such_relayed_address",
		dropTooLarge:       "too_large",
		dropSendFailed:     "send_failed",
		dropSlowClient:     "slow_client",
		dropClientAway:     "client_away",
		dropHopLimit:       "hop_limit",
		dropBandwidth:      "bandwidth",
		dropICMP:           "icmp",
		dropICMPLimit:      "icmp_limit",
		dropListener:       "listener_read_failed",
		dropAnswerLimit:    "unauthenticated_answers",
		dropLoginLimit:     "failed_credentials",
		dropNoAssociation:  "no_dtls_association",
		dropSlowServer:     "slow_server",
		dropBadCookie:      "bad_dtls_cookie",
		denyUnspecified:    "unspecified",
		denyLoopback:       "loopback",
		denyLinkLocal:      "link_local",
		denyPrivate:        "private",
		denyMulticast:      "multicast",
		denyReserved:       "reserved",
		denyOwnHost:        "own_host",
		denyConfigured:     "deny_peers",
		denyScope:          "not_signalled",
		denyFamily:         "address_family",
		streamBadFrame:     "bad_frame",
		streamNoAllocation: "no_allocation",
		streamTooMany:      "too_many",
		streamTooManyFrom:  "too_many_from_address",
		streamCrowdedOut:   "crowded_out",
		streamSilent:       "silent",
		streamLeft:         "left",
		streamTURNOff:      "turn_off",
		streamReserved:     "reserved_protocol",
		streamStranger:     "not_a_trusted_proxy",
		streamProxyHeader:  "proxy_header",
		tlsNotTLS:          "not_tls",
		tlsTimeout:         "timeout",
		tlsByClient:        "client",
		tlsFailed:          "failed",
		dtlsTimeout:        "timeout",
		dtlsCrowdedOut:     "crowded_out",
		dtlsFailed:         "failed",
		peerNoPermission:   "no_permission",
		peerOwnHost:        "own_host",
		peerTooMany:        "too_many",
		peerCrowdedOut:     "crowded_out",
		peerUnclaimed:      "unclaimed",
		peerTimeout:        "timeout",
		peerFailed:         "failed",
		peerTooOften:       "too_often",
		limitSession:       "allocations_per_session",
		limitUser:          "allocations_per_user",
		limitAddress:       "allocations_per_address",
		limitTotal:         "allocations",
		limitPermissions:   "permissions_per_allocation",
		limitChannels:      "channels_per_allocation",
		limitAge:           "allocation_max_age",
		limitMoves:         "moves_per_allocation",
	}
}

func (r reason) group() string {
	switch {
	case r >= limitSession:
		return "limits_reached"
	case r >= peerNoPermission:
		return "peer_connections_failed"
	case r >= dtlsTimeout:
		return "dtls_handshakes_failed"
	case r >= tlsNotTLS:
		return "tls_handshakes_failed"
	case r >= streamBadFrame:
		return "streams_closed"
	case r >= denyUnspecified:
		return "peers_denied"
	default:
		return "packets_dropped"
	}
}

// authOutcome is what became of a request that needs a credential.
type authOutcome uint8

const (
	authAccepted   authOutcome = iota
	authChallenged             // had no credential yet
	authMalformed              // lacked what a credential needs, or chose an algorithm that it was not offered
	authRefused                // wrong password, unknown or expired username
	authStaleNonce             // the nonce was too old, or another client's
	authLimited                // not looked at, because too many from that source have failed
	authOutcomeCount
)

// authOutcomeNames are label values of metrics, as reasonNames are.
func authOutcomeNames() [authOutcomeCount]string {
	return [authOutcomeCount]string{
		authAccepted:   "accepted",
		authChallenged: "challenged",
		authMalformed:  "malformed",
		authRefused:    "refused",
		authStaleNonce: "stale_nonce",
		authLimited:    "limited",
	}
}

// Counter is one total since the server started.
type Counter struct {
	Name      string // what is counted, plural, in snake case
	Reason    string // why or which; empty if there is no more to say
	Transport string // between client and server: "udp", "tcp", "tls" or "dtls"; empty if it is not counted by that
	Value     uint64
}

// errorCodes are those that this server answers with.
func errorCodes() []int {
	return []int{300, 400, 401, 403, 405, 420, 437, 438, 440, 441, 442, 443, 446, 447, 486, 500, 508}
}

// counters are totals that any goroutine may add to. Each loop has its own, so that no two CPUs write to the same.
type counters struct {
	reasons     [reasonCount]atomic.Uint64
	auth        [authOutcomeCount]atomic.Uint64
	errors      [512]atomic.Uint64 // by STUN error code
	bindings    atomic.Uint64
	allocations atomic.Uint64
	packets     [wire.ProtocolCount][2]atomic.Uint64 // by the transport between client and server, and by direction
	bytes       [wire.ProtocolCount][2]atomic.Uint64
	verifies    atomic.Uint64 // DTLS clients that were asked for a cookie
	moves       atomic.Uint64 // allocations whose client has moved
	hops        atomic.Uint64 // packets that went from one allocation to another in memory
	icmp        atomic.Uint64 // ICMP messages that clients were told of

	peerConns [2]atomic.Uint64 // TCP connections with peers: up those that clients asked for, down those that peers made
}

// direction of relayed data, as seen by the client.
type direction uint8

const (
	clientToPeer direction = iota // client to peer
	peerToClient                  // peer to client
)

func (d direction) String() string { return [...]string{clientToPeer: "up", peerToClient: "down"}[d] }

func (c *counters) count(r reason) { c.reasons[r].Add(1) }

// countSent counts what has left to a client: size bytes that are relayed, or control.
func (c *counters) countSent(to wire.Protocol, size int) {
	if size != notRelayed {
		c.countRelayed(to, peerToClient, size)
	}
}

// countRelayed counts a packet of a client over a transport.
func (c *counters) countRelayed(p wire.Protocol, d direction, n int) {
	c.packets[p][d].Add(1)
	c.bytes[p][d].Add(uint64(n))
}

// sum lists the totals of all, and what the kernel has forwarded besides. It goes on while they are added to.
func sum(all []*counters, below offload.Totals) []Counter {
	total := func(pick func(*counters) *atomic.Uint64) (n uint64) {
		for _, c := range all {
			n += pick(c).Load()
		}
		return n
	}
	out := []Counter{
		{Name: "binding_responses", Value: total(func(c *counters) *atomic.Uint64 { return &c.bindings })},
		{Name: "allocations_made", Value: total(func(c *counters) *atomic.Uint64 { return &c.allocations })},
		{Name: "allocations_moved", Value: total(func(c *counters) *atomic.Uint64 { return &c.moves })},
		{Name: "packets_relayed_in_memory", Value: below.Hops + total(func(c *counters) *atomic.Uint64 { return &c.hops })},
		{Name: "icmp_messages_relayed", Value: total(func(c *counters) *atomic.Uint64 { return &c.icmp })},
		{Name: "dtls_hello_verify_requests", Value: total(func(c *counters) *atomic.Uint64 { return &c.verifies })},
	}
	for _, d := range []direction{clientToPeer, peerToClient} {
		inKernel := [...]offload.Usage{clientToPeer: {Packets: below.PacketsUp, Bytes: below.BytesUp}, peerToClient: {Packets: below.PacketsDown, Bytes: below.BytesDown}}[d]
		for _, p := range wire.Protocols() {
			packets := total(func(c *counters) *atomic.Uint64 { return &c.packets[p][d] })
			bytes := total(func(c *counters) *atomic.Uint64 { return &c.bytes[p][d] })
			if p == wire.UDP { // the kernel serves no others
				packets, bytes = packets+inKernel.Packets, bytes+inKernel.Bytes
			}
			out = append(out, Counter{"packets_relayed", d.String(), p.String(), packets}, Counter{"relayed_bytes", d.String(), p.String(), bytes})
		}
		out = append(out, Counter{Name: "peer_connections_made", Reason: d.String(), Value: total(func(c *counters) *atomic.Uint64 { return &c.peerConns[d] })})
	}
	out = append(out, offloadCounters(below)...)
	names := reasonNames()
	dropped := map[reason]uint64{dropBandwidth: below.OverRate, dropSendFailed: below.Failed}
	for r := range reasonCount {
		n := dropped[r] + total(func(c *counters) *atomic.Uint64 { return &c.reasons[r] })
		out = append(out, Counter{Name: r.group(), Reason: names[r], Value: n})
	}
	for o, name := range authOutcomeNames() {
		out = append(out, Counter{Name: "authentications", Reason: name, Value: total(func(c *counters) *atomic.Uint64 { return &c.auth[o] })})
	}
	for _, code := range errorCodes() {
		n := total(func(c *counters) *atomic.Uint64 { return &c.errors[code] })
		out = append(out, Counter{Name: "error_responses", Reason: strconv.Itoa(code), Value: n})
	}
	return out
}
