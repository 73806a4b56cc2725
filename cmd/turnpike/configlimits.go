package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"turnpike/signal"
	"turnpike/turnserver"
)

// limits is the [limits] table.
type limits struct {
	turn   turnserver.Limits
	signal signal.Limits // rates are in the fields below until signaling() fills them in

	messagesPerSecond        int // of one session
	messagesPerSecondPerUser int
	joinsPerMinute           int // of one session
	joinsPerMinutePerUser    int
	joinsPerMinutePerAddress int
	hellosPerSecondPerAddr   int
	failedTicketsPerMinute   int // from one address
}

// signaling is what signal.New takes.
func (l *limits) signaling() signal.Limits {
	out := l.signal
	out.Messages = perSecond(l.messagesPerSecond)
	out.UserMessages = perSecond(l.messagesPerSecondPerUser)
	out.Joins = perMinute(l.joinsPerMinute)
	out.UserJoins = perMinute(l.joinsPerMinutePerUser)
	out.AddrJoins = perMinute(l.joinsPerMinutePerAddress)
	out.AddrHellos = perSecond(l.hellosPerSecondPerAddr)
	out.FailedHellos = perMinute(l.failedTicketsPerMinute)
	out.ScopeLinger = max(out.ScopeLinger, l.turn.AllocationMaxAge) // else a relay would outlive what it may refresh
	return out
}

// perSecond allows n a second, and four times as many at once.
func perSecond(n int) signal.Rate { return signal.Rate{PerSecond: float64(n), Burst: 4 * n} }

// perMinute allows n at once, and as many again each minute.
func perMinute(n int) signal.Rate { return signal.Rate{PerSecond: float64(n) / 60, Burst: n} }

// defaultLimits spells the defaults out, so that `turnpike config` can show them.
func defaultLimits() limits {
	return limits{
		turn: turnserver.Limits{
			AllocationsPerSession:    256,
			AllocationsPerUser:       256,
			AllocationsPerAddress:    1024,
			Allocations:              16384,
			PermissionsPerAllocation: 128,
			ChannelsPerAllocation:    128,
			Streams:                  16384,
			ConnectionsPerAddress:    1024,
			Openings:                 1024,
			AllocationMaxAge:         24 * time.Hour,

			PendingConnectionsPerAllocation: 16,
			PendingConnectionsPerUser:       64,
			ConnectsPerMinute:               120,
			ConnectTimeout:                  30 * time.Second,

			UnauthenticatedAnswersPerSecond: 100,
			FailedCredentialsPerMinute:      60,
		},
		signal: signal.Limits{
			Sessions: 20_000, SessionsPerAddr: 256, SessionsPerUser: 64, RoomsPerSession: 16, KeptBytes: 256 << 20,
			ScopeLinger: 24 * time.Hour,
		},
		messagesPerSecond:        50,
		messagesPerSecondPerUser: 200,
		joinsPerMinute:           20,
		joinsPerMinutePerUser:    60,
		joinsPerMinutePerAddress: 600,
		hellosPerSecondPerAddr:   100,
		failedTicketsPerMinute:   10,
	}
}

func (l *limits) keys() []key {
	count := func(name string, p *int, help string) key {
		return key{name: "limits." + name, value: number{p, 1}, help: help}
	}
	bandwidth := func(name string, p *int64, help string) key {
		return key{name: "limits." + name, value: scalar[int64]{p, parseBandwidth, showBandwidth, "20 Mbit/s"}, help: help}
	}
	return []key{
		count("allocations", &l.turn.Allocations, "relays at a time, of everybody"),
		count("allocations_per_session", &l.turn.AllocationsPerSession, "relays of one signaling session"),
		count("allocations_per_user", &l.turn.AllocationsPerUser, "relays of one user of shared_secrets or ice-servers"),
		count("allocations_per_address", &l.turn.AllocationsPerAddress, "relays of one IPv4 address or IPv6 /64"),
		count("permissions_per_allocation", &l.turn.PermissionsPerAllocation, "addresses that one relay may send to"),
		count("channels_per_allocation", &l.turn.ChannelsPerAllocation, "channels of one relay"),
		{name: "limits.allocation_max_age", value: scalar[time.Duration]{&l.turn.AllocationMaxAge, duration(time.Minute), showDuration, "24h"},
			help: "after this a relay ends, refreshed or not"},
		bandwidth("bandwidth", &l.turn.Bandwidth, "bits a second that all relays carry in each direction; datagrams over it are lost, TCP is slowed"),
		bandwidth("bandwidth_per_user", &l.turn.BandwidthPerUser, "likewise, the relays of one session or user"),
		bandwidth("bandwidth_per_allocation", &l.turn.BandwidthPerAllocation, "likewise, one relay"),
		count("turn_streams", &l.turn.Streams, "TURN connections over TCP, TLS and DTLS at a time"),
		count("connections_per_address", &l.turn.ConnectionsPerAddress, "TURN and HTTP connections at a time, from one IPv4 address or IPv6 /64"),
		count("half_open", &l.turn.Openings, "connections before the end of their TLS handshake or first message; over it the oldest is closed"),
		count("pending_connections_per_allocation", &l.turn.PendingConnectionsPerAllocation, "TCP connections with peers that one relay makes, or holds for its client, at a time"),
		count("pending_connections_per_user", &l.turn.PendingConnectionsPerUser, "likewise, the relays of one session or user; of all together there are at most half_open"),
		count("connects_per_minute", &l.turn.ConnectsPerMinute, "TCP connections to peers that one session or user may ask for"),
		{name: "limits.connect_timeout", value: scalar[time.Duration]{&l.turn.ConnectTimeout, duration(time.Second), showDuration, "30s"},
			help: "how long a peer may take to accept a TCP connection; RFC 6062 wants 30s at least"},
		count("unauthenticated_answers_per_second", &l.turn.UnauthenticatedAnswersPerSecond,
			"Binding and 401 answers over UDP to one address; four times that at once"),
		count("failed_credentials_per_minute", &l.turn.FailedCredentialsPerMinute, "wrong TURN credentials from one address"),
		count("sessions", &l.signal.Sessions, "signaling connections at a time"),
		count("sessions_per_address", &l.signal.SessionsPerAddr, "likewise, from one IPv4 address or IPv6 /64"),
		count("sessions_per_user", &l.signal.SessionsPerUser, "signaling sessions of one user at a time"),
		count("rooms_per_session", &l.signal.RoomsPerSession, "rooms that one session may be in, or wait to be let into"),
		count("unacknowledged_bytes", &l.signal.KeptBytes, "messages of all sessions, until the clients have acknowledged them"),
		count("messages_per_second", &l.messagesPerSecond, "signaling messages of one session; four times that at once"),
		count("messages_per_second_per_user", &l.messagesPerSecondPerUser, "likewise, of all sessions of one user"),
		count("hellos_per_second_per_address", &l.hellosPerSecondPerAddr, "sign-ins from one IPv4 address or IPv6 /64; four times that at once"),
		count("joins_per_minute", &l.joinsPerMinute, "joins and calls of one session"),
		count("joins_per_minute_per_user", &l.joinsPerMinutePerUser, "likewise, of all sessions of one user"),
		count("joins_per_minute_per_address", &l.joinsPerMinutePerAddress, "likewise, from one IPv4 address or IPv6 /64"),
		count("failed_tickets_per_minute", &l.failedTicketsPerMinute, "refused tickets and invites from one address; beyond, each wait is twice as long as the one before"),
	}
}

// bandwidthUnits are what parseBandwidth knows, the greatest first.
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
	return 0, fmt.Errorf("%q is no bandwidth; write a whole number of kbit/s, Mbit/s or Gbit/s, like %q, or %q", s, "20 Mbit/s", noLimit)
}

func showBandwidth(bits int64) string {
	for _, u := range bandwidthUnits() {
		if bits > 0 && bits%u.bits == 0 {
			return fmt.Sprintf("%d %s", bits/u.bits, u.name)
		}
	}
	return noLimit
}
