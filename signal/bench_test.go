package signal

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

func unlimited(cfg *Config) {
	rate := Rate{PerSecond: 1e9, Burst: 1e9}
	cfg.Limits = Limits{Sessions: 1 << 20, SessionsPerAddr: 1 << 20, Messages: rate, Joins: rate,
		SessionsPerUser: 1 << 20, UserMessages: rate, UserJoins: rate, AddrHellos: rate, AddrJoins: rate}
}

// BenchmarkForward sends 1 KiB descriptions between pairs. Each pair waits for a message to arrive before it sends the
// next, so the clients' work counts too.
func BenchmarkForward(b *testing.B) {
	for _, pairs := range []int{1, 16} {
		b.Run(fmt.Sprintf("pairs=%d", pairs), func(b *testing.B) {
			h := newHarness(b, unlimited)
			type pair struct {
				from, to *client
				text     []byte
			}
			work := make(chan pair, pairs)
			for i := range pairs {
				from, to := h.pair(fmt.Sprintf("room%d", i))
				head := `{"type":"signal","room":"` + fmt.Sprintf("room%d", i) + `","to":"` + to.session + `","description":{"type":"offer","sdp":"`
				work <- pair{from, to, []byte(head + strings.Repeat("x", 1024-len(head)-3) + `"}}`)}
			}
			b.SetBytes(1024)
			b.ReportAllocs()
			b.SetParallelism(pairs)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				p := <-work
				defer func() { work <- p }()
				for pb.Next() {
					if err := p.from.conn.WriteMessage(1, p.text); err != nil {
						b.Error(err)
						return
					}
					_, r, err := p.to.conn.NextReader()
					if err == nil {
						_, err = io.Copy(io.Discard, r)
					}
					if err != nil {
						b.Error(err)
						return
					}
					if p.to.received++; p.to.received%wire.AckEvery == 0 {
						p.to.acknowledge()
					}
				}
			})
		})
	}
}

// BenchmarkIdleSession prints the heap and stack for a session that does nothing, the client's bare socket included.
// Only the first round counts: later rounds use memory that earlier ones left to the runtime.
func BenchmarkIdleSession(b *testing.B) {
	const sessions = 1000
	measured := false
	for b.Loop() {
		b.StopTimer()
		h := &harness{t: b}
		h.start(unlimited)
		ts := httptest.NewServer(h.srv)
		conns := make([]net.Conn, sessions)
		before := inUse()
		b.StartTimer()
		for i := range conns {
			conns[i] = bareHello(b, ts.Listener.Addr().String(), testTicket(fmt.Sprint(i), fmt.Sprint(i), auth.RoleGuest))
		}
		if !measured {
			untilIdle()
			b.ReportMetric(float64(inUse()-before)/sessions, "B/session")
			measured = true
		}
		b.StopTimer()
		for _, conn := range conns {
			conn.Close()
		}
		h.shutdown()
		ts.Close()
		b.StartTimer()
	}
}

func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// bareHello is a WebSocket client that keeps only its socket. Its mask is zero, so masking changes nothing.
func bareHello(b *testing.B, addr, ticket string) net.Conn {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /signal HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: turnpike.v1\r\n\r\n", addr)
	r := bufio.NewReader(conn)
	for line := ""; line != "\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			b.Fatal(err)
		}
	}
	hello := fmt.Sprintf(`{"type":"hello","ticket":%q}`, ticket)
	conn.Write(append([]byte{0x81, 0x80 | 126, byte(len(hello) >> 8), byte(len(hello)), 0, 0, 0, 0}, hello...))
	head, err := r.Peek(4)
	if err != nil || head[0] != 0x81 {
		b.Fatalf("welcome: %x, %v", head, err)
	}
	return conn
}
