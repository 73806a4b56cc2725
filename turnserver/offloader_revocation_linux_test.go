package turnserver

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

// TestOffloadedRevocation floods flows through the kernel, and ends them in every way. No packet arrives that was sent
// after that. An answer to a client does not wait for the kernel, so the test does.
func TestOffloadedRevocation(t *testing.T) {
	if !offloaded {
		return // it is for the run with flows in the kernel
	}
	for name, end := range map[string]func(*Server, *testClock, *testClient){
		"session": func(s *Server, _ *testClock, _ *testClient) { s.EndSession("S1") },
		"refresh": func(_ *Server, _ *testClock, c *testClient) { c.accept(stun.MethodRefresh, lifetime(0)) },
		"expiry": func(s *Server, clock *testClock, _ *testClient) {
			clock.ahead.Add(int64(time.Hour))
			s.sweep()
			s.flowQueue.settle()
		},
		"close": func(s *Server, _ *testClock, _ *testClient) { _ = s.Close() },
	} {
		for _, channel := range []uint16{wire.MinChannel, 0} {
			t.Run(fmt.Sprintf("%s, channel %#x", name, channel), func(t *testing.T) {
				s, clock := startClocked(t, func(cfg *Config) { allowLoopback(cfg); cfg.Scope = everyone{} })
				for range 3 {
					startFlood(callOffloaded(t, s, dialREST(t, s, "udp", "bob"), channel))
				}
				call := callOffloaded(t, s, dialAs(t, s, "udp", testCredentials().MintSession("S1", "alice", time.Hour)), channel)
				flood := startFlood(call)
				waitFor(t, "the flood to arrive", func() bool { return flood.arrived.Load() > 5000 })
				end(s, clock, call.testClient)
				last := flood.sent.Load() + 1 // which may have been under way
				waitFor(t, "more of the flood", func() bool { return flood.sent.Load() > last+1000 })
				flood.stop()
				if got := flood.arrived.Load(); got > last {
					t.Errorf("packet %d arrived, and %d was the last before the end", got, last)
				}
			})
		}
	}
}

// everyone is a Scope that allows all.
type everyone struct{}

func (everyone) MayRelay(string, netip.Addr) bool { return true }
func (everyone) SessionLive(string) bool          { return true }
func (everyone) UserOf(string) string             { return "" }

// flood is a client that sends numbered packets as fast as it can, and its peer.
type flood struct {
	call          offloadedCall
	sent, arrived atomic.Uint64 // the highest numbers
	stopping      atomic.Bool
	stop          func() // waits until all packets have arrived that ever will
}

func startFlood(call offloadedCall) *flood {
	f := &flood{call: call}
	_ = call.peer.conn.SetReadDeadline(time.Time{})
	var sending, receiving sync.WaitGroup
	sending.Go(func() {
		for n := uint64(1); !f.stopping.Load(); n++ {
			_, _ = call.conn.Write(call.message(binary.BigEndian.AppendUint64(nil, n))) // refused, once the server is closed
			f.sent.Store(n)
		}
	})
	receiving.Go(func() {
		buf := make([]byte, maxDatagram)
		for {
			n, _, err := call.peer.conn.ReadFromUDPAddrPort(buf)
			if err != nil || n != 8 {
				return
			}
			f.arrived.Store(max(f.arrived.Load(), binary.BigEndian.Uint64(buf)))
		}
	})
	f.stop = sync.OnceFunc(func() {
		f.stopping.Store(true)
		sending.Wait()
		done := make(chan struct{})
		go func() { receiving.Wait(); close(done) }()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for { // a full socket may lose it
			call.peer.send(call.peer.addr, []byte("over"))
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	call.t.Cleanup(f.stop)
	return f
}
