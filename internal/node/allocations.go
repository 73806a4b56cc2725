package node

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"

	"example.org/turnpike/turnserver"
)

// allocationJSON is an element of what GET /allocations answers.
type allocationJSON struct {
	Session          string            `json:"session,omitempty"`
	User             string            `json:"user,omitempty"`
	Transport        string            `json:"transport"`
	Relays           string            `json:"relays"` // udp or tcp
	Client           netip.AddrPort    `json:"client"`
	Server           netip.AddrPort    `json:"server"`
	Relayed          []netip.AddrPort  `json:"relayed"`
	Permissions      []netip.Addr      `json:"permissions"`
	Channels         []netip.AddrPort  `json:"channels"`
	Offloaded        []offloadedJSON   `json:"offloaded"`   // flows that the kernel forwards: channels, and peers of indications
	Connections      []netip.AddrPort  `json:"connections"` // over TCP, with peers
	Pending          int               `json:"pendingConnections"`
	trafficJSON                        // includes the kernel's
	Dropped          map[string]uint64 `json:"dropped"` // packets by reason
	AgeSeconds       float64           `json:"ageSeconds"`
	ExpiresInSeconds float64           `json:"expiresInSeconds"`
}

type offloadedJSON struct {
	Peer netip.AddrPort `json:"peer"`
	trafficJSON
}

type trafficJSON struct {
	PacketsUp   uint64 `json:"packetsUp"`
	BytesUp     uint64 `json:"bytesUp"`
	PacketsDown uint64 `json:"packetsDown"`
	BytesDown   uint64 `json:"bytesDown"`
}

func trafficOf(up, down turnserver.Traffic) trafficJSON {
	return trafficJSON{up.Packets, up.Bytes, down.Packets, down.Bytes}
}

// offloadJSON is what GET /allocations says of forwarding in the kernel.
type offloadJSON struct {
	On     bool   `json:"on"`
	Flows  int    `json:"flows"`
	Reason string `json:"reason,omitempty"` // why it is off, although the configuration allows it
}

// writeAllocations lists the allocations, the one that has carried most first.
func writeAllocations(w http.ResponseWriter, all []turnserver.Allocation, offload turnserver.OffloadStatus) {
	out := make([]allocationJSON, 0, len(all))
	for _, a := range all {
		dropped := make(map[string]uint64)
		for _, c := range a.Dropped {
			dropped[c.Reason] = c.Value
		}
		offloaded := make([]offloadedJSON, 0, len(a.Offloaded))
		for _, c := range a.Offloaded {
			offloaded = append(offloaded, offloadedJSON{c.Peer, trafficOf(c.Up, c.Down)})
		}
		relays := "udp"
		if a.TCP {
			relays = "tcp"
		}
		out = append(out, allocationJSON{
			Session: a.Session, User: a.User, Transport: a.Transport, Relays: relays, Client: a.Client, Server: a.Server, Relayed: a.Relayed,
			Permissions: append([]netip.Addr{}, a.Peers...), Channels: append([]netip.AddrPort{}, a.Channels...),
			Connections: append([]netip.AddrPort{}, a.Connections...), Pending: a.Pending,
			Offloaded: offloaded, trafficJSON: trafficOf(a.Up, a.Down),
			Dropped: dropped, AgeSeconds: a.Age.Seconds(), ExpiresInSeconds: a.ExpiresIn.Seconds(),
		})
	}
	slices.SortStableFunc(out, func(a, b allocationJSON) int {
		switch x, y := a.BytesUp+a.BytesDown, b.BytesUp+b.BytesDown; {
		case x > y:
			return -1
		case x < y:
			return 1
		default:
			return a.Client.Compare(b.Client)
		}
	})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(map[string]any{"allocations": out, "offload": offloadJSON(offload)}) // on an error the client has gone away
}
