package node

import (
	"encoding/json"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"example.org/turnpike/turnserver"
)

// TestAllocationsJSON holds that the busiest allocation stands first, and that an empty list is no null.
func TestAllocationsJSON(t *testing.T) {
	client := netip.MustParseAddrPort("192.0.2.1:1")
	w := httptest.NewRecorder()
	writeAllocations(w, []turnserver.Allocation{
		{User: "quiet", Client: client, Age: time.Minute},
		{
			Session: "S", TCP: true, Connections: []netip.AddrPort{client}, Pending: 3, Client: client, Up: turnserver.Traffic{Packets: 1, Bytes: 100}, Dropped: []turnserver.Counter{{Name: "packets_dropped", Reason: "bandwidth", Value: 7}},
			Offloaded: []turnserver.OffloadedFlow{{Peer: client, Up: turnserver.Traffic{Packets: 1, Bytes: 90}}},
		},
	}, turnserver.OffloadStatus{On: true, Flows: 1})
	var got struct {
		Offload struct {
			On    bool
			Flows int
		}
		Allocations []struct {
			Offloaded []struct {
				Peer    netip.AddrPort
				BytesUp uint64
			}
			Session, User         string
			BytesUp               uint64
			AgeSeconds            float64
			Dropped               map[string]uint64
			Permissions, Channels []string
			Relays                string
			Connections           []string
			PendingConnections    int
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	all := got.Allocations
	if len(all) != 2 || all[0].Session != "S" || all[0].BytesUp != 100 || all[0].Dropped["bandwidth"] != 7 || all[1].AgeSeconds != 60 {
		t.Errorf("%+v", all)
	}
	if !got.Offload.On || got.Offload.Flows != 1 || len(all[0].Offloaded) != 1 || all[0].Offloaded[0].Peer != client || all[0].Offloaded[0].BytesUp != 90 {
		t.Errorf("in the kernel: %s", w.Body)
	}
	if all[0].Relays != "tcp" || len(all[0].Connections) != 1 || all[0].PendingConnections != 3 || all[1].Relays != "udp" {
		t.Errorf("of TCP: %+v", all)
	}
	if all[1].Permissions == nil || all[1].Connections == nil || all[1].Channels == nil || all[1].Dropped == nil || all[1].Offloaded == nil {
		t.Errorf("empty lists are null: %s", w.Body)
	}
}
