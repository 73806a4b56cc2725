package rtclink

import (
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"example.org/turnpike/client/internal/link"
)

// pathOf returns the path that packets take at this moment.
func pathOf(pc *webrtc.PeerConnection) (link.Path, bool) {
	transport := pc.SCTP().Transport().ICETransport()
	pair, err := transport.GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return link.Path{}, false
	}
	local, remote := pair.Local, pair.Remote
	path := link.Path{
		Transport: link.WebRTC,
		Relayed:   local.Typ == webrtc.ICECandidateTypeRelay || remote.Typ == webrtc.ICECandidateTypeRelay,
		Protocol:  local.Protocol.String(),
		Local:     addrPort(local.Address, local.Port),
		Remote:    addrPort(remote.Address, remote.Port),
	}
	if local.RelatedAddress != "" { // The address of the socket; the candidate's own is what others see.
		path.Local = addrPort(local.RelatedAddress, local.RelatedPort)
	}
	stats, _ := transport.GetSelectedCandidatePairStats()
	path.RTT = time.Duration(stats.CurrentRoundTripTime * float64(time.Second))
	if path.RTT == 0 {
		path.RTT = time.Duration(pc.SCTP().Stats().SmoothedRoundTripTime * float64(time.Second))
	}
	if local.Typ == webrtc.ICECandidateTypeRelay {
		path.Protocol = relayProtocol(pc, stats.LocalCandidateID)
		path.Relay = relayHost(pc.GetConfiguration().ICEServers, path.Protocol)
	}
	return path, true
}

func addrPort(address string, port uint16) netip.AddrPort {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return netip.AddrPort{} // The name of a browser that hides its address.
	}
	return netip.AddrPortFrom(a, port)
}

// relayProtocol returns how packets get to our relay.
func relayProtocol(pc *webrtc.PeerConnection, candidate string) string {
	for _, s := range pc.GetStats() {
		if c, ok := s.(webrtc.ICECandidateStats); ok && c.ID == candidate && c.RelayProtocol != "" {
			return c.RelayProtocol
		}
	}
	return "udp"
}

// relayHost returns the host of the first TURN server that is reached that way. pion does not say which one it was.
func relayHost(servers []webrtc.ICEServer, protocol string) string {
	host := ""
	for _, s := range servers {
		for _, text := range s.URLs {
			u, err := stun.ParseURI(text)
			if err != nil || u.Scheme != stun.SchemeTypeTURN && u.Scheme != stun.SchemeTypeTURNS {
				continue
			}
			if host == "" {
				host = u.Host
			}
			if protocolOf(u) == protocol {
				return u.Host
			}
		}
	}
	return host
}

func protocolOf(u *stun.URI) string {
	switch secure := u.Scheme == stun.SchemeTypeTURNS; {
	case secure && u.Proto == stun.ProtoTypeUDP:
		return "dtls"
	case secure:
		return "tls"
	}
	return u.Proto.String()
}
