package turnserver

import (
	"strconv"
	"sync/atomic"

	"turnpike/turnserver/offload"
	"turnpike/turnserver/wire"
)

// reason says why a packet was dropped, a peer refused, a connection closed or a request denied.
type reason uint8

const (
	noReason reason = iota // nothing was dropped, refused or ended

	dropMalformed     // neither STUN nor ChannelData, or inconsistent lengths
	dropUnexpected    // well-formed, but of a kind that no client sends to a server
	dropNoAllocation  // data on a five-tuple that has no allocation
	dropNoChannel     // ChannelData on a channel that is not bound
	dropNoPermission  // no permission for the peer, in either direction
	dropNoRelay       // sent to one of our relay addresses, at a port nobody holds
	dropTooLarge      // does not fit a datagram once the header is changed
	dropSendFailed    // the operating system refused to send
	dropSlowClient    // the client does not read its TCP stream fast enough
	dropClientAway    // the client, which can come by another connection, has lost the one it had
	dropHopLimit      // its hop limit ends here
	dropBandwidth     // over a limit of bandwidth
	dropICMP          // an ICMP message of a kind that clients are not told of, or about no peer of theirs
	dropICMPLimit     // more ICMP messages than a client is told of
	dropListener      // reading from a listener failed
	dropAnswerLimit   // a request whose answer could serve to flood its apparent sender
	dropLoginLimit    // a request from where log-ins have failed too often
	dropNoAssociation // no DTLS association, nor the beginning of one
	dropSlowServer    // a DTLS client sends faster than it is served
	dropBadCookie     // a DTLS ClientHello with a cookie that is not good, or no longer

	denyUnspecified // peer policy, by the range that the address is in
	denyLoopback
	denyLinkLocal
	denyPrivate
	denyMulticast
	denyReserved
	denyOwnHost    // an address of this host that relays nothing
	denyConfigured // in deny_peers
	denyScope      // not signalled to this session
	denyFamily     // not of the relayed address's family

	streamBadFrame     // a stream was closed: neither STUN nor ChannelData, or too long
	streamNoAllocation // a stream was closed: no allocation within the time allowed
	streamTooMany      // a stream was closed at once: there are as many as there may be
	streamTooManyFrom  // or as many from its address
	streamCrowdedOut   // closed before it was known what it carries, to make room for another
	streamSilent       // its first frame, or the PROXY header before it, did not come in time
	streamLeft         // the client left before that
	streamTURNOff      // STUN on a listener that is for HTTP alone
	streamReserved     // the client asked for a protocol that is spoken to nobody here
	streamStranger     // not from a trusted proxy, where all come from those
	streamProxyHeader  // no PROXY header from a trusted proxy, or a bad one

	tlsNotTLS   // a TLS handshake failed: what came was not TLS
	tlsTimeout  // it was not done in time
	tlsByClient // the client ended it
	tlsFailed   // no common version, cipher suite or protocol, or a broken message

	dtlsTimeout // and the same of DTLS
	dtlsCrowdedOut
	dtlsFailed

	peerNoPermission // a peer's TCP connection was closed at once: no permission
	peerOwnHost      // it came from this host, and from no relayed address
	peerTooMany      // as many connections with peers wait as may, of this allocation, session or user
	peerCrowdedOut   // one with a peer was closed, to make room for another
	peerUnclaimed    // the client has not taken it over in time
	peerTimeout      // a peer has not accepted one in time
	peerFailed       // a peer has refused one, or cannot be reached
	peerTooOften     // a Connect was refused: too many in this minute

	limitSession // an allocation was refused, by the limit that stood against it
	limitUser
	limitAddress
	limitTotal
	limitPermissions // a permission was refused, because its allocation had as many as it may
	limitChannels    // and a channel
	limitAge         // an allocation has ended because of its age
	limitMoves       // a move was refused: its allocation has moved too often

	reasonCount
)

// label is what a reason is counted as in metrics. It does not change once published.
type label struct{ counter, reason string }

// reasonLabels lists the labels of all reasons but noReason.
func reasonLabels() [reasonCount]label {
	return [reasonCount]label{
		dropMalformed:      {"packets_dropped", "malformed"},
		dropUnexpected:     {"packets_dropped", "unexpected"},
		dropNoAllocation:   {"packets_dropped", "no_allocation"},
		dropNoChannel:      {"packets_dropped", "no_channel"},
		dropNoPermission:   {"packets_dropped", "no_permission"},
		dropNoRelay:        {"packets_dropped", "no_such_relayed_address"},
		dropTooLarge:       {"packets_dropped", "too_large"},
		dropSendFailed:     {"packets_dropped", "send_failed"},
		dropSlowClient:     {"packets_dropped", "slow_client"},
		dropClientAway:     {"packets_dropped", "client_away"},
		dropHopLimit:       {"packets_dropped", "hop_limit"},
		dropBandwidth:      {"packets_dropped", "bandwidth"},
		dropICMP:           {"packets_dropped", "icmp"},
		dropICMPLimit:      {"packets_dropped", "icmp_limit"},
		dropListener:       {"packets_dropped", "listener_read_failed"},
		dropAnswerLimit:    {"packets_dropped", "unauthenticated_answers"},
		dropLoginLimit:     {"packets_dropped", "failed_credentials"},
		dropNoAssociation:  {"packets_dropped", "no_dtls_association"},
		dropSlowServer:     {"packets_dropped", "slow_server"},
		dropBadCookie:      {"packets_dropped", "bad_dtls_cookie"},
		denyUnspecified:    {"peers_denied", "unspecified"},
		denyLoopback:       {"peers_denied", "loopback"},
		denyLinkLocal:      {"peers_denied", "link_local"},
		denyPrivate:        {"peers_denied", "private"},
		denyMulticast:      {"peers_denied", "multicast"},
		denyReserved:       {"peers_denied", "reserved"},
		denyOwnHost:        {"peers_denied", "own_host"},
		denyConfigured:     {"peers_denied", "deny_peers"},
		denyScope:          {"peers_denied", "not_signalled"},
		denyFamily:         {"peers_denied", "address_family"},
		streamBadFrame:     {"streams_closed", "bad_frame"},
		streamNoAllocation: {"streams_closed", "no_allocation"},
		streamTooMany:      {"streams_closed", "too_many"},
		streamTooManyFrom:  {"streams_closed", "too_many_from_address"},
		streamCrowdedOut:   {"streams_closed", "crowded_out"},
		streamSilent:       {"streams_closed", "silent"},
		streamLeft:         {"streams_closed", "left"},
		streamTURNOff:      {"streams_closed", "turn_off"},
		streamReserved:     {"streams_closed", "reserved_protocol"},
		streamStranger:     {"streams_closed", "not_a_trusted_proxy"},
		streamProxyHeader:  {"streams_closed", "proxy_header"},
		tlsNotTLS:          {"tls_handshakes_failed", "not_tls"},
		tlsTimeout:         {"tls_handshakes_failed", "timeout"},
		tlsByClient:        {"tls_handshakes_failed", "client"},
		tlsFailed:          {"tls_handshakes_failed", "failed"},
		dtlsTimeout:        {"dtls_handshakes_failed", "timeout"},
		dtlsCrowdedOut:     {"dtls_handshakes_failed", "crowded_out"},
		dtlsFailed:         {"dtls_handshakes_failed", "failed"},
		peerNoPermission:   {"peer_connections_failed", "no_permission"},
		peerOwnHost:        {"peer_connections_failed", "own_host"},
		peerTooMany:        {"peer_connections_failed", "too_many"},
		peerCrowdedOut:     {"peer_connections_failed", "crowded_out"},
		peerUnclaimed:      {"peer_connections_failed", "unclaimed"},
		peerTimeout:        {"peer_connections_failed", "timeout"},
		peerFailed:         {"peer_connections_failed", "failed"},
		peerTooOften:       {"peer_connections_failed", "too_often"},
		limitSession:       {"limits_reached", "allocations_per_session"},
		limitUser:          {"limits_reached", "allocations_per_user"},
		limitAddress:       {"limits_reached", "allocations_per_address"},
		limitTotal:         {"limits_reached", "allocations"},
		limitPermissions:   {"limits_reached", "permissions_per_allocation"},
		limitChannels:      {"limits_reached", "channels_per_allocation"},
		limitAge:           {"limits_reached", "allocation_max_age"},
		limitMoves:         {"limits_reached", "moves_per_allocation"},
	}
}

// authOutcome is what became of a request that needs a credential.
type authOutcome uint8

const (
	authAccepted   authOutcome = iota
	authChallenged             // had no credential yet
	authMalformed              // lacked what a credential needs, or chose an algorithm that it was not offered
	authRefused                // wrong password or unknown username
	authExpired                // Allocate with a username that has expired: nobody is guessing
	authStaleNonce             // the nonce was too old, or another client's
	authLimited                // not looked at, because too many from that source have failed
	authOutcomeCount
)

// authOutcomeNames are label values of metrics, as reasonLabels are.
func authOutcomeNames() [authOutcomeCount]string {
	return [authOutcomeCount]string{
		authAccepted:   "accepted",
		authChallenged: "challenged",
		authMalformed:  "malformed",
		authRefused:    "refused",
		authExpired:    "expired",
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
	dropped := map[reason]uint64{dropBandwidth: below.OverRate, dropSendFailed: below.Failed}
	for r, l := range reasonLabels() {
		if reason(r) == noReason {
			continue
		}
		n := dropped[reason(r)] + total(func(c *counters) *atomic.Uint64 { return &c.reasons[r] })
		out = append(out, Counter{Name: l.counter, Reason: l.reason, Value: n})
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
