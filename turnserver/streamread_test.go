package turnserver

import (
	"bytes"
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

// TestPartialFrameIsSmall: a stream that has sent a few bytes of a frame, and then waits, holds about as many.
func TestPartialFrameIsSmall(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		const n, most = 200, 8 << 10 // with what stacks have grown by
		s := startServer(t, nil)
		binding := buildMessage(t, stun.BindingRequest)
		var clients [n]*testClient
		for i := range clients {
			clients[i] = dial(t, s, network)
			clients[i].write(binding.Raw)
			clients[i].answerTo(binding)
		}
		before, stacksBefore := memoryInUse()
		for _, c := range clients {
			c.write(append(bytes.Clone(binding.Raw), 0, 1, 0, 0)) // the server finds both in one read
			c.answerTo(binding)
		}
		after, stacksAfter := memoryInUse()
		if grown := (after - before + stacksAfter - stacksBefore) / n; grown > most {
			t.Errorf("four bytes of a frame hold %d bytes", grown)
		}
		for _, c := range clients { // the rest of the frame may still come
			c.write(append(binding.Raw[4:20:20], binding.Raw...))
			if res := decode(t, c.read()); res.TransactionID != binding.TransactionID {
				t.Fatal("the frame is torn: ", res)
			}
			c.answerTo(binding)
		}
	})
}

// TestFramesFromSockets cuts frames into pieces that come one by one, over TLS in a record each, and sends frames that
// are longer than a record and more than a buffer holds.
func TestFramesFromSockets(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c, peer := dialREST(t, s, network, "alice"), newPeer(t)
		relayed := c.allocate()
		c.bind(wire.MinChannel, peer.addr)
		small := bytes.Join([][]byte{
			channelMessage(wire.MinChannel, []byte("channel"), true), sendIndication(t, peer.addr, []byte("indication")),
		}, nil)
		want := func() {
			t.Helper()
			peer.want(relayed, []byte("channel"))
			peer.want(relayed, []byte("indication"))
		}
		for i := range small {
			c.write(small[i : i+1])
		}
		want()
		for cut := range len(small) {
			c.write(small[:cut])
			c.write(small[cut:])
			want()
		}
		large := pattern(50_000)
		for _, piece := range []int{100_000, 16 << 10, 5000, 1411} {
			frames := append(bytes.Clone(small), channelMessage(wire.MinChannel, large, true)...)
			for len(frames) > 0 {
				n := min(piece, len(frames))
				c.write(frames[:n])
				frames = frames[n:]
			}
			want()
			peer.want(relayed, large)
		}
		medium := pattern(999)
		c.write(bytes.Repeat(channelMessage(wire.MinChannel, medium, true), 150)) // more than a buffer
		for range 150 {
			peer.want(relayed, medium)
		}
	})
}

// heldConn keeps what is written until it is released, and then writes it in one piece.
type heldConn struct {
	net.Conn
	hold bool
	held []byte
}

func (c *heldConn) Write(b []byte) (int, error) {
	if !c.hold {
		return c.Conn.Write(b)
	}
	c.held = append(c.held, b...)
	return len(b), nil
}

func (c *heldConn) release() error {
	c.hold = false
	_, err := c.Conn.Write(c.held)
	return err
}

// TestDataBehindAClaim: what a client sends behind its claim of a connection comes to the peer, to the last byte, also
// in further TLS records that the server has read with the claim's, while other clients use the server's buffers.
func TestDataBehindAClaim(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		s, cred := startServer(t, allowLoopback), mintREST(t, "alice", time.Hour)
		control, busy := dialAs(t, s, network, cred), dial(t, s, network)
		relayed := control.allocateTCP()
		var others sync.WaitGroup
		stop := make(chan struct{})
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					busy.barrier()
				}
			}
		})
		defer others.Wait()
		defer close(stop)
		for range 10 {
			peer := newTCPPeer(t)
			id := control.connectTo(peer.addr)
			far := peer.accept(relayed)
			raw, err := net.Dial("tcp", listenerAddr(t, s, network).String())
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			held := &heldConn{Conn: raw}
			var conn net.Conn = held
			if network == "tls" {
				conn = tls.Client(held, clientTLS())
			}
			c := clientOn(t, conn).as(cred).challenged()
			claim := c.build(stun.MethodConnectionBind, id)
			held.hold = true
			var sent []byte
			c.write(claim.Raw)
			for i := range 30 {
				c.write(pattern(900 + i))
				sent = append(sent, pattern(900+i)...)
			}
			if err := held.release(); err != nil {
				t.Fatal(err)
			}
			far.want(sent)
		}
	})
}
