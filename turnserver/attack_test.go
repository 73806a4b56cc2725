package turnserver

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// attack is one way in which TURN servers were broken, or could be, with the test which shows that it fails here.
type attack struct {
	name string
	seen string // where: a CVE, an advisory, a study; empty if it was never seen
	fail func(*testing.T)
}

// attacks lists the attacks that this server must withstand, from the histories of coturn and pion/turn, and from
// Enable Security's studies of TURN servers. Attacks that need several hosts have tests of their own.
func attacks() []attack {
	return []attack{
		// Relaying to where the attacker could not go by himself.
		{"peers inside: loopback, private, link-local, metadata, in every disguise", "CVE-2018-4058, CVE-2020-26262, CVE-2026-27624; Slack's TURN servers, 2020", deniedPeersAreRefused},
		{"the host's own ports, by any of its addresses", "CVE-2018-4059", ownHostIsDenied},
		{"the host's own ports, at an address that is open to an SFU", "", TestOpenedHostOnly},
		{"an address that has moved to this host, by a permission of before", "", TestAddressMovesHere},
		{"an allowed peer beside a denied one", "", createPermissionIsAllOrNothing},
		{"data to a peer without a permission", "RFC 8656 §21.1.3", sendNeedsPermission},
		{"a stolen session credential as a proxy", "RFC 8656 §21.1.1", sessionScope},
		{"a stolen credential that may reach relays only", "", relayOnly},
		{"the same by an allocation's second relayed address", "", bothFamiliesAreJudged},
		{"a relayed address that ended and was given to another", "", deadRelayIsNotReached},
		{"the same peers by Connect, in every disguise", "Slack's TURN servers, 2020: TCP peers", deniedPeersByConnect},
		{"the host's own ports by Connect", "CVE-2018-4059", ownHostByConnect},
		{"a session's credential as a TCP proxy", "RFC 6062 §3", scopeOfConnect},
		{"scanning ports and networks by Connect", "Slack's TURN servers, 2020", connectSweep},

		// Somebody else's allocation.
		{"refresh, end, permit and bind on another user's five-tuple", "pion/turn up to 4.1.4", anotherUser},
		{"a port that another has reserved", "RFC 8656 §21.1", reservationTheft},
		{"a peer's connection that is another user's, by an ID that is known, guessed or used before", "", anothersConnection},
		{"connection IDs that can be guessed", "", connectionIDsAreRandom},
		{"a server behind the relay, for anybody to connect to", "RFC 6062 §3", strangersFlood},
		{"a nonce that was made for another client", "RFC 8489 §16.1.2", TestForeignNonce},
		{"a nonce for ever", "coturn #151", TestStaleNonce},
		{"nonces and ports that can be guessed", "CVE-2025-69217", nothingIsGuessed},
		{"telling which users exist", "RFC 8489 §16.1.2", TestRefusalsLookAlike},
		{"telling it by the time that a refusal takes", "", TestRefusalsCostTheSame},
		{"guessing passwords, or having another source locked out", "", TestFailedCredentials},
		{"the other algorithm's key, or another's USERHASH", "RFC 8489 §14.4", TestUserhashOfAnother},
		{"a challenge from which somebody has taken the better algorithm", "RFC 8489 §16.1.3", TestBidDown},

		{"another user's mobility ticket", "RFC 8016 §6", anothersTicket},
		{"a mobility ticket that was used before", "RFC 8016 §3.2.2", replayedTicket},
		{"a mobility ticket that is forged, cut or another server's", "RFC 8016 §6", forgedTicket},
		{"the mobility ticket of an allocation that has ended", "", endedTicket},
		{"a mobility ticket that was overheard, without the credential", "RFC 8016 §6", ticketWithoutCredential},
		{"a nonce that a client had before it moved", "RFC 8489 §16.1.2", nonceElsewhere},
		{"the place that a client meant to move to, and that another has by now", "", TestMoveExpires},

		// Connections that are not what they seem.
		{"a PROXY header from a stranger, or a second one from a client", "", TestProxySpoofed},
		{"no PROXY header, or a bad one, from a trusted proxy", "", TestBadProxyHeaders},
		{"anything but TLS where TLS is spoken", "ALPACA, 2021", TestNotTLS},
		{"a protocol that the other side did not agree to", "ALPACA, 2021", TestALPN},

		// Requests that are not what they seem.
		{"attributes after MESSAGE-INTEGRITY", "RFC 8489 §14.5", TestAfterIntegrity},
		{"the same attribute twice", "RFC 8489 §14", TestDuplicateAttributes},
		{"attributes that must be understood and are not, such as coturn's ACCESS-TOKEN", "CVE-2026-43994", unknownAttributes},
		{"HTTP on a TURN port", "CVE-2020-6061, CVE-2020-6062", httpOnTURN},
		{"lengths that lie, over TCP", "pion/turn up to 4.1.4: a frame of length 0xFFEC or 0xFFFC", TestFrameLengths},
		{"lengths that lie, over UDP", "", lyingLengths},
		{"a request as long as a datagram", "", TestLongRequest},
		{"thousands of peers in one request", "", manyPeersInOneRequest},
		{"what stands in the padding of answers", "CVE-2020-4067", paddingIsZero},

		// Taking more than one's share.
		{"a flood of requests from forged sources: memory stays flat", "coturn #1999", forgedSources},
		{"a flood that uses up what other sources may ask", "", TestForgedSources},
		{"challenges that are longer than they must be", "", TestChallengesAreShort},
		{"a victim's address as the sender, to have it flooded with answers", "coturn #1588", TestAnswersToAnybody},
		{"connections that say nothing, or a byte at a time", "slowloris", TestStreamWithoutAllocation},
		{"the same before TLS, in its handshake, before a PROXY header and on a port that is HTTP's too", "slowloris", TestSlowBeginnings},
		{"handshakes that are begun and left", "", TestHalfOpenFlood},
		{"DTLS hellos from forged sources: nothing is kept, and less is sent than came", "RFC 6347 §4.2.1", TestForgedHellos},
		{"DTLS cookies that are forged, old, or another's", "", TestCookie},
		{"DTLS handshakes that are begun and left, by clients with an address of their own", "", TestHalfOpenDTLS},
		{"ending another's DTLS association by a hello in its name", "RFC 6347 §4.2.8", TestBeginAnew},
		{"more connections than there may be", "", TestStreamLimit},
		{"connections that take all places and make no allocation", "", TestOldestWithoutAllocationGoes},
		{"a few bytes of a frame on each of many connections", "", TestPartialFrameIsSmall},
		{"more connections than there may be from one address", "", TestConnectionsPerAddress},
		{"a client that never reads while its peer floods", "tailscale's TestSendFreeze", TestClientThatNeverReads},
		{"either side of a TCP connection that never reads", "", slowReader},
		{"a side of a TCP connection that never reads again", "", TestStuck},
		{"connections with peers that nobody claims", "", pendingFlood},
		{"connections with peers without end", "", claimFlood},
		{"many clients of one user that never read", "", TestWaitingBytes},
		{"another client beside the flooded one", "", TestFloodedClient},
		{"allocations without end", "", TestQuotas},
		{"reserved ports without end", "", reservationFlood},
		{"moves without end", "", moveFlood},
		{"a relay that moves to a connection which carries the data of another", "", arrivalAmidData},
		{"what peers send while a client moves", "", lostInMove},
		{"permissions without end", "", TestPermissionLimit},
		{"requests without end, each of which changes something", "", TestRequestsPerSecond},
		{"requests of a session without a relay, to have signaling look for its user", "", TestUsersAreNotLookedUpForNothing},
		{"the kernel's table of flows, taken by one user", "", TestOffloadedShares},
		{"one request that names a peer a hundred times, or a hundred peers", "", TestPermissionsDoNotHoldTheLoop},
		{"a limit of bandwidth, again and again with new allocations", "", TestBudgetOutlives},
		{"relays of sessions and users that have ended", "", TestEndSessionAndUser},
		{"so many relays that packets wait while the server looks through them", "", TestShortHolds},
	}
}

// TestAttacks runs every attack. `go test -run TestAttacks -v` prints the list.
func TestAttacks(t *testing.T) {
	for _, a := range slices.Concat(attacks(), attacksOnLoops()) {
		name := a.name
		if a.seen != "" {
			name += " (" + a.seen + ")"
		}
		t.Run(name, a.fail)
	}
}

func sendNeedsPermission(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c, peer := dialREST(t, s, network, "alice"), newPeer(t)
		relayed := c.allocate()
		c.indicate(peer.addr, []byte("out"))
		c.sendChannel(wire.MinChannel, []byte("out"))
		c.barrier()
		peer.send(relayed, []byte("in"))
		waitCounted(t, s, "packets_dropped", "no_permission", 2)
		if up, down := counterOf(t, s, "packets_relayed", "up"), counterOf(t, s, "packets_relayed", "down"); up+down != 0 {
			t.Errorf("%d packets went up, %d down", up, down)
		}
	})
}

// deadRelayIsNotReached: a channel to a relayed address of this node leads nowhere once its allocation has ended.
func deadRelayIsNotReached(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		c, gone := dialREST(t, s, network, "alice"), dialREST(t, s, network, "bob")
		c.allocate()
		target := gone.allocate()
		c.bind(wire.MinChannel, target)
		gone.accept(stun.MethodRefresh, lifetime(0))
		waitFor(t, "the port to be free", func() bool { return s.relays.Load().udp[0].allocationAt(target.Port()) == nil })
		c.sendChannel(wire.MinChannel, []byte("anybody there?"))
		c.barrier()
		if got := counterOf(t, s, "packets_dropped", "no_such_relayed_address"); got != 1 {
			t.Errorf("%d packets were dropped", got)
		}
		c.refuse(403, stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(target)) // even to refresh it
	})
}

// nothingIsGuessed: nonces of two servers, or of two clients, have nothing in common but the time, and ports do not
// follow each other.
func nothingIsGuessed(t *testing.T) {
	nonces := make(map[string]bool)
	for range 2 {
		s := startServer(t, func(cfg *Config) { cfg.NonceKey = auth.NewSecret(binary.BigEndian.AppendUint64(nil, rand.Uint64())) })
		for range 20 {
			c := dialREST(t, s, "udp", "alice").challenged()
			mac := c.nonce[len(c.nonce)-8:]
			if nonces[mac] {
				t.Fatalf("the end of nonce %q was seen before", c.nonce)
			}
			nonces[mac] = true
		}
	}
	portsAreRandom(t)
}

// unknownAttributes: the server answers 420 with the attributes that it does not understand, and does nothing.
func unknownAttributes(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		const accessToken = stun.AttrType(0x001B) // RFC 7635 §6.2
		for _, size := range []int{0, 1, 2, 3, 255, 256, 257, 2000} {
			c := dialREST(t, s, network, "alice").challenged()
			res := c.refuse(420, stun.MethodAllocate, transport(transportUDP), attribute{accessToken, pattern(size)})
			var unknown stun.UnknownAttributes
			if err := unknown.GetFrom(res); err != nil || !slices.Contains(unknown, accessToken) {
				t.Errorf("%v, %v are named as unknown", unknown, err)
			}
		}
		if s.Allocations() != 0 {
			t.Error("an allocation was made")
		}
	})
}

// httpOnTURN: a stream that speaks HTTP is closed, a datagram dropped; both are counted, and nobody else notices.
func httpOnTURN(t *testing.T) {
	s := startServer(t, nil)
	other := dialREST(t, s, "tcp", "alice")
	other.allocate()
	for _, request := range []string{
		"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", strings.Repeat("A", 70000),
	} {
		c := dial(t, s, "tcp")
		c.write([]byte(request))
		c.wantClosed()
		if len(request) < 1000 {
			c = dial(t, s, "udp")
			c.write([]byte(request))
			if got := c.barrier(); len(got) != 0 {
				t.Errorf("%q was answered with %x", request, got)
			}
		}
	}
	other.accept(stun.MethodRefresh)
	waitCounted(t, s, "streams_closed", "bad_frame", 5)
	wantClosedFor(t, s, 5)
	waitCounted(t, s, "packets_dropped", "malformed", 4)
}

// lyingLengths: the server drops a datagram if any of its lengths does not fit its bytes.
func lyingLengths(t *testing.T) {
	s := startServer(t, allowLoopback)
	c, peer := dialREST(t, s, "udp", "alice"), newPeer(t)
	relayed := c.allocate()
	c.bind(wire.MinChannel, peer.addr)
	lengths := []uint16{1, 2, 3, 4, 5, 7, 8, 19, 20, 21, 0x7FFF, 0x8000, 0xFFEB, 0xFFEC, 0xFFED, 0xFFFB, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF}
	before := counterOf(t, s, "packets_dropped", "malformed")
	sent := uint64(0)
	for _, length := range lengths {
		for _, m := range [][]byte{
			channelMessage(wire.MinChannel, nil, false), buildMessage(t, stun.BindingRequest).Raw,
			sendIndication(t, peer.addr, nil), c.build(stun.MethodAllocate, transport(transportUDP)).Raw,
		} {
			m = slices.Clone(m)
			m[2], m[3] = byte(length>>8), byte(length)
			if int(length) == len(m)-wire.HeaderSize {
				continue // no lie
			}
			c.write(m)
			sent++
		}
		attr := buildMessage(t, stun.NewType(stun.MethodSend, stun.ClassIndication), attribute{stun.AttrData, []byte("data")}, peerAddr(peer.addr)).Raw
		attr[wire.HeaderSize+2], attr[wire.HeaderSize+3] = byte(length>>8), byte(length)
		if wire.Pad4(int(length)) != wire.Pad4(4) {
			c.write(attr)
			sent++
		}
		c.barrier()
	}
	if got := counterOf(t, s, "packets_dropped", "malformed") - before; got != sent {
		t.Errorf("%d of %d were dropped", got, sent)
	}
	c.sendChannel(wire.MinChannel, []byte("still there"))
	peer.want(relayed, []byte("still there"))
}

// paddingIsZero looks at every byte of answers that no attribute accounts for: none may be a leftover of the server's
// memory.
func paddingIsZero(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, func(cfg *Config) { allowLoopback(cfg); cfg.Software = "odd" })
		c, peer := dialREST(t, s, network, "alice"), newPeer(t)
		check := func(raw []byte) {
			t.Helper()
			for attrs := wire.AttributesOf(raw); ; {
				typ, _, to, more, bad := attrs.Next()
				if !more || bad {
					if bad {
						t.Errorf("% x does not parse", raw)
					}
					return
				}
				for at := to; at%4 != 0; at++ {
					if raw[at] != 0 {
						t.Errorf("attribute %#x is padded with %#x", typ, raw[at])
					}
				}
			}
		}
		relayed := c.allocate()
		for range 3 { // buffers that were used before
			check(c.roundTrip(buildMessage(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest))).Raw)
			check(c.do(stun.MethodRefresh).Raw)
			check(c.do(stun.MethodChannelBind).Raw)
			check(c.do(stun.MethodAllocate, attribute{stun.AttrType(0x7001), []byte{1}}).Raw)
			c.permit(peer.addr)
			peer.send(relayed, pattern(1001))
			check(c.next())
			peer.send(relayed, []byte("x"))
			check(c.next())
		}
	})
}

// forgedSources: requests without credentials, or with wrong ones, from addresses that were never seen, cost the server
// nothing that lasts.
func forgedSources(t *testing.T) {
	f := newFuzzServer(t)
	challenge := buildMessage(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest), transport(transportUDP)).Raw
	binding := buildMessage(t, stun.BindingRequest).Raw
	wrong := buildMessage(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest), transport(transportUDP), stun.NewUsername("nobody"),
		stun.NewRealm(testRealm), stun.NewNonce("0000000000000000"), stun.NewShortTermIntegrity("wrong")).Raw
	flood := func(n int) {
		c := f.client
		for i := range n {
			c.tuple.Client = wire.EndpointOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), uint16(1+i%60000)))
			for _, m := range [][]byte{challenge, binding, wrong} {
				end := headroom + copy(f.buf.bytes[headroom:], m)
				f.worker.handle(&c, f.buf.bytes[:], headroom, end)
			}
		}
	}
	flood(1000)
	before, _ := memoryInUse()
	const n = 50_000
	flood(n)
	after, _ := memoryInUse()
	if grown := after - before; grown > n {
		t.Errorf("%d forged sources took %d bytes", n, grown)
	}
}
