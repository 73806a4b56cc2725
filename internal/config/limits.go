package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Limits is the [limits] table. An address is an IPv4 address or an IPv6 /64; a /56 and a /48 may use 4 and 16 times as much. The help of each key says more.
type Limits struct {
	// Relays.
	Allocations              int
	AllocationsPerSession    int
	AllocationsPerUser       int
	AllocationsPerAddress    int
	PermissionsPerAllocation int
	ChannelsPerAllocation    int
	AllocationMaxAge         time.Duration

	// Bits a second in each direction; 0: no limit.
	Bandwidth              int64
	BandwidthPerUser       int64
	BandwidthPerAllocation int64

	RequestsPerSecond int

	// Connections.
	TURNStreams           int
	HTTPConnections       int
	ConnectionsPerAddress int
	HalfOpen              int
	UnreadBytes           int
	UnreadBytesPerUser    int

	// TCP connections between relays and peers.
	PendingConnectionsPerAllocation int
	PendingConnectionsPerUser       int
	PeerConnectionsPerUser          int
	ConnectsPerMinute               int
	ConnectTimeout                  time.Duration

	UnauthenticatedAnswersPerSecond int
	FailedCredentialsPerMinute      int

	// Signaling.
	Sessions                  int
	SessionsPerAddress        int
	BeforeHello               int // 0: an eighth of Sessions
	SessionsPerUser           int
	RoomsPerSession           int
	UnacknowledgedBytes       int
	MessagesPerSecond         int
	MessagesPerSecondPerUser  int
	HellosPerSecondPerAddress int
	JoinsPerMinute            int
	JoinsPerMinutePerUser     int
	JoinsPerMinutePerAddress  int
	FailedTicketsPerMinute    int
	FailedKeysPerMinute       int
	TicketsPerMinute          int
	InvitesPerUser            int
	InviteRequestsPerMinute   int
	Machines                  int // 0: none may join
	Codes                     int // 0: nobody makes any
	CodesPerUser              int
	CodesPerAddress           int
	CodeRequestsPerMinute     int
	CodeTriesPerMinute        int
	APIRequestsPerSecond      int
}

// defaultLimits spells the defaults out, so that `turnpike config` can show them.
func defaultLimits() Limits {
	return Limits{
		Allocations:              131072,
		AllocationsPerSession:    256,
		AllocationsPerUser:       256,
		AllocationsPerAddress:    1024,
		PermissionsPerAllocation: 128,
		ChannelsPerAllocation:    128,
		AllocationMaxAge:         24 * time.Hour,
		RequestsPerSecond:        256,

		TURNStreams:           16384,
		HTTPConnections:       8192,
		ConnectionsPerAddress: 1024,
		HalfOpen:              1024,
		UnreadBytes:           256 << 20,
		UnreadBytesPerUser:    8 << 20,

		PendingConnectionsPerAllocation: 16,
		PendingConnectionsPerUser:       64,
		PeerConnectionsPerUser:          256,
		ConnectsPerMinute:               120,
		ConnectTimeout:                  30 * time.Second,

		UnauthenticatedAnswersPerSecond: 100,
		FailedCredentialsPerMinute:      60,

		Sessions:                  20_000,
		SessionsPerAddress:        256,
		SessionsPerUser:           64,
		RoomsPerSession:           16,
		UnacknowledgedBytes:       256 << 20,
		MessagesPerSecond:         50,
		MessagesPerSecondPerUser:  200,
		HellosPerSecondPerAddress: 100,
		JoinsPerMinute:            20,
		JoinsPerMinutePerUser:     60,
		JoinsPerMinutePerAddress:  600,
		FailedTicketsPerMinute:    600,
		FailedKeysPerMinute:       10,
		TicketsPerMinute:          600,
		InvitesPerUser:            64,
		InviteRequestsPerMinute:   60,
		Machines:                  1024,
		Codes:                     4096,
		CodesPerUser:              16,
		CodesPerAddress:           64,
		CodeRequestsPerMinute:     60,
		CodeTriesPerMinute:        60,
		APIRequestsPerSecond:      100,
	}
}

func (l *Limits) keys() []key {
	count := func(name string, p *int, help string) key {
		return key{name: "limits." + name, value: number{p, 1}, help: help}
	}
	bandwidth := func(name string, p *int64, help string) key {
		return key{name: "limits." + name, value: scalar[int64]{p, parseBandwidth, showBandwidth, "20 Mbit/s"}, help: help}
	}
	return []key{
		count("allocations", &l.Allocations, "relays at a time; each takes a port of a relay address, and a socket"),
		count("allocations_per_session", &l.AllocationsPerSession, "relays of one signaling session"),
		count("allocations_per_user", &l.AllocationsPerUser, "relays of one user of ice-servers, or of shared_secrets at one address; [[turn.apps]] may have another number"),
		count("allocations_per_address", &l.AllocationsPerAddress, "relays of one IPv4 address or IPv6 /64"),
		count("permissions_per_allocation", &l.PermissionsPerAllocation, "addresses that one relay may send to"),
		count("channels_per_allocation", &l.ChannelsPerAllocation, "channels of one relay"),
		{name: "limits.allocation_max_age", value: scalar[time.Duration]{&l.AllocationMaxAge, duration(time.Minute), showDuration, "24h"},
			help: "after this time a relay ends, even if the client refreshes it"},
		count("requests_per_second", &l.RequestsPerSecond, "TURN requests that change something, of one user with all sessions; an eighth of it for one relay; 32 times that at once"),
		bandwidth("bandwidth", &l.Bandwidth, "bits a second that all relays carry in each direction; beyond it datagrams are lost and TCP connections slow down"),
		bandwidth("bandwidth_per_user", &l.BandwidthPerUser, "likewise, for the relays of one user with all sessions; of shared_secrets: of one user at one address"),
		bandwidth("bandwidth_per_allocation", &l.BandwidthPerAllocation, "likewise, for one relay"),
		count("turn_streams", &l.TURNStreams, "TURN connections over TCP, TLS and DTLS at a time; beyond it the server closes the oldest that has no relay"),
		count("http_connections", &l.HTTPConnections, "HTTP connections at a time, without signaling; beyond it the server closes the one that has been idle, or at one request, the longest"),
		count("connections_per_address", &l.ConnectionsPerAddress, "TURN and HTTP connections at a time, from one IPv4 address or IPv6 /64; a /56 and a /48 may have 4 and 16 times as many"),
		count("half_open", &l.HalfOpen, "connections before the end of their TLS handshake or first message; beyond it the server closes the oldest"),
		count("unread_bytes", &l.UnreadBytes, "bytes that wait for TURN clients over TCP, TLS and DTLS that read slowly; 16 KB for each client are not counted"),
		count("unread_bytes_per_user", &l.UnreadBytesPerUser, "likewise, for the clients of one user; beyond either, packets for such clients are lost"),
		count("pending_connections_per_allocation", &l.PendingConnectionsPerAllocation, "TCP connections with peers that one relay makes, or holds for its client, at a time"),
		count("pending_connections_per_user", &l.PendingConnectionsPerUser, "likewise, for the relays of one user; all relays together have at most half_open"),
		count("peer_connections_per_user", &l.PeerConnectionsPerUser, "TCP connections with peers that carry data of one user, at a time"),
		count("connects_per_minute", &l.ConnectsPerMinute, "TCP connections to peers that one user may ask for"),
		{name: "limits.connect_timeout", value: scalar[time.Duration]{&l.ConnectTimeout, duration(time.Second), showDuration, "30s"},
			help: "how long a peer may take to accept a TCP connection; RFC 6062 requires at least 30s"},
		count("unauthenticated_answers_per_second", &l.UnauthenticatedAnswersPerSecond,
			"Binding and 401 answers over UDP to one address; four times that at once"),
		count("failed_credentials_per_minute", &l.FailedCredentialsPerMinute, "wrong TURN credentials from one address"),
		count("sessions", &l.Sessions, "signaling connections at a time that have said hello; an eighth more may resume a session"),
		count("sessions_per_address", &l.SessionsPerAddress, "likewise, from one IPv4 address or IPv6 /64"),
		{name: "limits.sockets_before_hello", value: number{&l.BeforeHello, 0},
			help: "signaling connections at a time that have not said hello; beyond it the server closes the oldest; 0: an eighth of limits.sessions"},
		count("sessions_per_user", &l.SessionsPerUser, "signaling sessions of one user at a time"),
		count("rooms_per_session", &l.RoomsPerSession, "rooms that one session may be in or wait for"),
		count("unacknowledged_bytes", &l.UnacknowledgedBytes, "bytes of messages that the server keeps for all sessions, until the clients acknowledge them"),
		count("messages_per_second", &l.MessagesPerSecond, "signaling messages of one session; four times that at once"),
		count("messages_per_second_per_user", &l.MessagesPerSecondPerUser, "likewise, for all sessions of one user"),
		count("hellos_per_second_per_address", &l.HellosPerSecondPerAddress, "sign-ins from one IPv4 address or IPv6 /64; four times that at once"),
		count("joins_per_minute", &l.JoinsPerMinute, "joins, calls and new names of one session"),
		count("joins_per_minute_per_user", &l.JoinsPerMinutePerUser, "likewise, for all sessions of one user"),
		count("joins_per_minute_per_address", &l.JoinsPerMinutePerAddress, "likewise, from one IPv4 address or IPv6 /64"),
		count("failed_tickets_per_minute", &l.FailedTicketsPerMinute, "bad tickets and invites from one address; beyond it the server looks at no more of them for a moment"),
		count("failed_api_keys_per_minute", &l.FailedKeysPerMinute, "wrong API keys from one address; beyond it each wait is twice as long as the one before"),
		count("tickets_per_minute_per_address", &l.TicketsPerMinute, "tickets and ICE servers that one address gets over HTTP"),
		count("invites_per_user", &l.InvitesPerUser, "invites that one user has made and that are good, at a time; four times as many with those of a day before, and 64 times as many with those of users who came by them"),
		count("invite_requests_per_minute_per_user", &l.InviteRequestsPerMinute, "requests about invites, from one user"),
		{name: "limits.machines", value: number{&l.Machines, 0}, help: "machines that have joined (turnpike join); 0: none may join"},
		{name: "limits.codes", value: number{&l.Codes, 0}, help: "codes at a time, those that ended within the last minute included; 0: nobody makes any"},
		count("codes_per_user", &l.CodesPerUser, "codes of one user at a time"),
		count("codes_per_address", &l.CodesPerAddress, "codes at a time that were made from one IPv4 address or IPv6 /64"),
		count("code_requests_per_minute_per_user", &l.CodeRequestsPerMinute, "requests that make, renew or burn codes, from one user"),
		count("code_tries_per_minute_per_address", &l.CodeTriesPerMinute, "codes that one address comes by, right and wrong"),
		count("api_requests_per_second_per_address", &l.APIRequestsPerSecond, "requests of backends, with one of auth.api_keys, from one address; sixty times that at once, and a tenth of it for long lists"),
	}
}

// bandwidthUnits returns the units that parseBandwidth knows, the greatest first.
func bandwidthUnits() []bandwidthUnit {
	return []bandwidthUnit{{"Gbit/s", 1e9}, {"Mbit/s", 1e6}, {"kbit/s", 1e3}}
}

type bandwidthUnit struct {
	name string
	bits int64
}

const noLimit = "unlimited"

// parseBandwidth reads a rate in bits a second; 0 is no limit.
func parseBandwidth(s string) (int64, error) {
	if s == noLimit {
		return 0, nil
	}
	for _, u := range bandwidthUnits() {
		number, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err == nil && n > 0 && n <= 1e12/u.bits {
			return n * u.bits, nil
		}
	}
	return 0, fmt.Errorf("%q is not a bandwidth; write a whole number of kbit/s, Mbit/s or Gbit/s, like %q, or %q", s, "20 Mbit/s", noLimit)
}

func showBandwidth(bits int64) string {
	for _, u := range bandwidthUnits() {
		if bits > 0 && bits%u.bits == 0 {
			return fmt.Sprintf("%d %s", bits/u.bits, u.name)
		}
	}
	return noLimit
}
