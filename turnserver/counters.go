package turnserver

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"example.org/turnpike/turnserver/offload"
	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
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
	dropNoRelay       // sent to a relay address of this node, at a port that no allocation holds
	dropTooLarge      // does not fit a datagram once the header is changed
	dropSendFailed    // the operating system refused to send
	dropNoRoom        // a send buffer of the system, or a queue behind it, was full
	dropSlowClient    // the client does not read its TCP stream fast enough
	dropClientAway    // the client has lost its connection, and can still come by another
	dropHopLimit      // its hop limit ends here
	dropBandwidth     // over a limit of bandwidth
	dropICMP          // an ICMP message that is not for clients, or is about no peer of theirs
	dropICMPLimit     // an ICMP message beyond a client's share
	dropListener      // reading from a listener failed
	dropAnswerLimit   // a request whose answer could serve to flood its apparent sender
	dropRequestLimit  // a request of a user or allocation that changes too much
	dropStrangers     // a request of a client without an allocation, amid so many that they hold up calls
	dropLoginLimit    // a request from a source whose log-ins have failed too often
	dropNoAssociation // a datagram of no DTLS association, and no beginning of one
	dropSlowServer    // a DTLS client sends faster than the server serves it
	dropBadCookie     // a DTLS ClientHello whose cookie is forged or too old

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
	streamTooMany      // a stream was closed at once: the server has as many as it may
	streamTooManyFrom  // a stream was closed at once: its address has as many as it may
	streamCrowdedOut   // from here to tlsFailed: see front.Reason
	streamSilent
	streamLeft
	streamTURNOff
	streamReserved
	streamStranger
	streamProxyHeader

	tlsNotTLS
	tlsTimeout
	tlsByClient
	tlsFailed

	dtlsTimeout    // a DTLS handshake was not done in time
	dtlsCrowdedOut // a DTLS handshake was ended to make room for another
	dtlsFailed     // a DTLS handshake failed

	peerNoPermission // a peer's TCP connection was closed at once: no permission
	peerOwnHost      // a peer's TCP connection came from this host, and from no relayed address
	peerTooMany      // an allocation or user has as many connections with peers as it may
	peerCrowdedOut   // a connection with a peer was closed to make room for another
	peerUnclaimed    // the client has not claimed a connection with a peer in time
	peerTimeout      // a peer has not accepted a connection in time
	peerFailed       // a peer has refused a connection, or cannot be reached
	peerTooOften     // a Connect was refused: too many in this minute

	limitSession     // an allocation was refused: its session has as many as it may
	limitUser        // its user has
	limitAddress     // its source has
	limitTotal       // the server has
	limitPermissions // a permission was refused: its allocation has as many as it may
	limitChannels    // a channel was refused: its allocation has as many as it may
	limitAge         // an allocation has ended because of its age
	limitMoves       // a move was refused: its allocation has moved too often

	endAddressGone // a relayed address has ended because the host has lost the address

	failedOffload    // of forwarding in the kernel, which the process makes up for
	failedHostWatch  // the kernel no longer tells of changes of addresses
	failedRelayOpen  // no relayed socket could be opened, though there are ports
	failedRelayWatch // a relayed socket was opened and cannot be read
	failedLoop       // a loop could not wait for packets
	failedListener   // a UDP listener could not be read for a while
	failedAccept     // accepting a connection failed, most likely for want of descriptors

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
		dropNoRoom:         {"packets_dropped", "no_room"},
		dropSlowClient:     {"packets_dropped", "slow_client"},
		dropClientAway:     {"packets_dropped", "client_away"},
		dropHopLimit:       {"packets_dropped", "hop_limit"},
		dropBandwidth:      {"packets_dropped", "bandwidth"},
		dropICMP:           {"packets_dropped", "icmp"},
		dropICMPLimit:      {"packets_dropped", "icmp_limit"},
		dropListener:       {"packets_dropped", "listener_read_failed"},
		dropAnswerLimit:    {"packets_dropped", "unauthenticated_answers"},
		dropRequestLimit:   {"packets_dropped", "requests_per_second"},
		dropStrangers:      {"packets_dropped", "strangers"},
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
		endAddressGone:     {"relayed_addresses_ended", "address_gone"},
		failedOffload:      {"faults", "offload"},
		failedHostWatch:    {"faults", "host_watch"},
		failedRelayOpen:    {"faults", "relay_open"},
		failedRelayWatch:   {"faults", "relay_watch"},
		failedLoop:         {"faults", "loop"},
		failedListener:     {"faults", "listener"},
		failedAccept:       {"faults", "accept"},
	}
}

// authOutcome is what became of a request that needs a credential.
type authOutcome uint8

const (
	authAccepted   authOutcome = iota
	authChallenged             // had no credential yet
	authMalformed              // lacked a part of the credential, or chose an algorithm that the server had not offered
	authRefused                // wrong password or unknown username
	authExpired                // Allocate with a username that has expired: nobody is guessing
	authStaleNonce             // the nonce was too old, or another client's
	authLimited                // ignored, because too many from that source have failed
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
	Name      string // plural, in snake case
	Reason    string // why or which; empty if there is no more to say
	Transport string // between client and server: "udp", "tcp", "tls" or "dtls"; empty if it does not matter
	Value     uint64
}

// errorCodes are the STUN error codes that this server answers with.
func errorCodes() []int {
	return []int{300, 400, 401, 403, 405, 420, 437, 438, 440, 441, 442, 443, 446, 447, 486, 500, 508}
}

// counters are totals that any goroutine may add to. Each loop has its own, so that no two CPUs write to the same.
type counters struct {
	reasons      [reasonCount]atomic.Uint64
	auth         [authOutcomeCount]atomic.Uint64
	errors       [512]atomic.Uint64 // by STUN error code
	bindings     atomic.Uint64
	allocations  atomic.Uint64
	verifies     atomic.Uint64 // DTLS clients that were asked for a cookie
	moves        atomic.Uint64 // allocations whose client has moved
	hops         atomic.Uint64 // packets that went from one allocation to another in memory
	icmp         atomic.Uint64 // ICMP messages that clients were told of
	relayChanges atomic.Uint64 // times that the relay addresses have changed

	relayed udpio.Counters // by classOf; senders of datagrams count in it themselves

	peerConns [2]atomic.Uint64 // TCP connections with peers, by the direction in which they were made
}

// direction of relayed data.
type direction uint8

const (
	clientToPeer direction = iota
	peerToClient
)

func (d direction) String() string { return [...]string{clientToPeer: "up", peerToClient: "down"}[d] }

func (c *counters) count(r reason) { c.reasons[r].Add(1) }

// countSent counts a message that has left to a client. It carries size bytes of relayed data, or is notRelayed.
func (c *counters) countSent(to wire.Protocol, size int) {
	if size != notRelayed {
		c.countRelayed(to, peerToClient, size)
	}
}

// countRelayed counts a packet of a client over a transport.
func (c *counters) countRelayed(p wire.Protocol, d direction, n int) {
	relayed := &c.relayed.Sent[classOf(p, d)]
	relayed.Packets.Add(1)
	relayed.Bytes.Add(uint64(n))
}

// Each class has a counter, or this does not compile.
var _ [udpio.Classes - int(wire.ProtocolCount)<<1]struct{}

// classOf is the class that counts a client's relayed packets, by transport and direction.
func classOf(p wire.Protocol, d direction) uint8 { return uint8(p)<<1 | uint8(d) }

// sum lists the totals of all, with what the kernel has forwarded. Other goroutines may go on counting meanwhile.
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
		{Name: "relay_address_changes", Value: total(func(c *counters) *atomic.Uint64 { return &c.relayChanges })},
		{Name: "dtls_hello_verify_requests", Value: total(func(c *counters) *atomic.Uint64 { return &c.verifies })},
	}
	for _, d := range []direction{clientToPeer, peerToClient} {
		inKernel := [...]offload.Usage{clientToPeer: {Packets: below.PacketsUp, Bytes: below.BytesUp}, peerToClient: {Packets: below.PacketsDown, Bytes: below.BytesDown}}[d]
		for _, p := range wire.Protocols() {
			packets := total(func(c *counters) *atomic.Uint64 { return &c.relayed.Sent[classOf(p, d)].Packets })
			bytes := total(func(c *counters) *atomic.Uint64 { return &c.relayed.Sent[classOf(p, d)].Bytes })
			if p == wire.UDP { // the kernel serves no others
				packets, bytes = packets+inKernel.Packets, bytes+inKernel.Bytes
			}
			out = append(out, Counter{"packets_relayed", d.String(), p.String(), packets}, Counter{"relayed_bytes", d.String(), p.String(), bytes})
		}
		out = append(out, Counter{Name: "peer_connections_made", Reason: d.String(), Value: total(func(c *counters) *atomic.Uint64 { return &c.peerConns[d] })})
	}
	out = append(out, offloadCounters(below)...)
	dropped := map[reason]uint64{
		dropBandwidth:  below.OverRate,
		dropHopLimit:   total(func(c *counters) *atomic.Uint64 { return &c.relayed.LastHop }),
		dropTooLarge:   total(func(c *counters) *atomic.Uint64 { return &c.relayed.TooLarge }),
		dropNoRoom:     total(func(c *counters) *atomic.Uint64 { return &c.relayed.NoRoom }),
		dropSendFailed: below.Failed + total(func(c *counters) *atomic.Uint64 { return &c.relayed.Failed }),
	}
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

// faults are what has failed and what has been said of it.
type faults struct {
	stuck atomic.Int32 // parts that have failed, and try again
	deaf  atomic.Bool  // the host has lost the addresses of all UDP listeners

	mu     sync.Mutex
	warned map[string]clock // guarded by mu; when each warning was last logged
}

// warnInterval is how often the same warning is logged.
const warnInterval = time.Minute

// warnFull logs what many clients can bring about, such as that capacity is used up: each message at most once a
// minute. There are as many messages as there are calls.
func (s *Server) warnFull(msg string, args ...any) {
	if s.faults.mayWarn(msg, s.now()) {
		s.log.Warn(msg, args...)
	}
}

func (f *faults) mayWarn(msg string, now clock) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	last, ok := f.warned[msg]
	if ok && now-last < clock(warnInterval) {
		return false
	}
	if f.warned == nil {
		f.warned = make(map[string]clock)
	}
	f.warned[msg] = now
	return true
}

// Unready says why clients should rather go to another server, or returns "".
func (s *Server) Unready() string {
	if s.faults.stuck.Load() > 0 {
		return "a part that serves UDP has failed and tries again; the log has more"
	}
	if s.faults.deaf.Load() {
		return "this host has none of the addresses that the server listens on for UDP"
	}
	if !s.relays.Load().ready() {
		return "this host has none of its relay addresses"
	}
	return ""
}

// hintBuffers logs once how to give bursts more room.
func (s *Server) hintBuffers() {
	if s.hinted.CompareAndSwap(false, true) {
		s.log.Info("turn: the system's limit of socket buffers is small for bursts of packets; raise net.core.rmem_max and net.core.wmem_max with sysctl",
			"wanted", udpio.ListenerBuffer)
	}
}
