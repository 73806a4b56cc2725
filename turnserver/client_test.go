package turnserver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// testClient speaks STUN and TURN by hand over one real socket, UDP and TCP alike, so that a test says which bytes
// travel. A test fails if an awaited message does not come within patience.
type testClient struct {
	t      testing.TB
	srv    *Server // or nil
	conn   net.Conn
	frames *bufio.Reader // of a stream; nil on UDP
	buf    []byte
	queued [][]byte // frames that came while an answer was waited for

	username, realm, nonce string
	password               string
	key                    stun.MessageIntegrity
}

const patience = 5 * time.Second

// onEach runs a test over each transport between client and server.
func onEach(t *testing.T, test func(t *testing.T, network string)) {
	t.Helper()
	for _, network := range []string{"udp", "tcp", "tls", "dtls"} {
		t.Run(network, func(t *testing.T) { test(t, network) })
	}
}

// dial connects a client to the server's first listener of a network, without credentials.
func dial(t testing.TB, s *Server, network string) *testClient {
	t.Helper()
	c := dialAddr(t, network, listenerAddr(t, s, network))
	c.srv = s
	return c
}

func dialAddr(t testing.TB, network string, addr netip.AddrPort) *testClient {
	t.Helper()
	conn, err := connect(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return clientOn(t, conn)
}

// connect connects to a listener of any network.
func connect(network string, addr netip.AddrPort) (net.Conn, error) {
	switch network {
	case "tls":
		return tls.Dial("tcp", addr.String(), clientTLS())
	case "dtls":
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return dialDTLS(ctx, addr)
	default:
		return net.Dial(network, addr.String())
	}
}

func clientOn(t testing.TB, conn net.Conn) *testClient {
	c := &testClient{t: t, conn: conn, buf: make([]byte, maxDatagram)}
	if conn.LocalAddr().Network() != "udp" {
		c.frames = bufio.NewReader(conn)
	} else if u, ok := conn.(*net.UDPConn); ok {
		_ = u.SetReadBuffer(1 << 20)
	}
	return c
}

// dialAs connects a client with a credential.
func dialAs(t testing.TB, s *Server, network string, cred auth.Credential) *testClient {
	t.Helper()
	return dial(t, s, network).as(cred)
}

// dialREST connects a client with a REST credential of a user.
func dialREST(t testing.TB, s *Server, network, user string) *testClient {
	t.Helper()
	return dialAs(t, s, network, mintREST(t, user, time.Hour))
}

// mintREST makes a REST credential of user. If it lives for an hour or longer, it ends with a full hour: then two of one user are the same
// credential, which a relay's owner must prove, although a second may pass between them.
func mintREST(t testing.TB, user string, ttl time.Duration) auth.Credential {
	t.Helper()
	if ttl >= time.Hour {
		ttl = time.Until(time.Now().Add(ttl).Truncate(time.Hour).Add(time.Hour))
	}
	cred, ok := testCredentials().MintREST(user, ttl)
	if !ok {
		t.Fatal("no REST credential for", user)
	}
	return cred
}

// as sets the credential that the client answers challenges with.
func (c *testClient) as(cred auth.Credential) *testClient {
	c.username, c.password = cred.Username, cred.Password
	c.realm, c.nonce, c.key = "", "", nil
	return c
}

func (c *testClient) isStream() bool { return c.frames != nil }

// addr is the client's own address.
func (c *testClient) addr() netip.AddrPort { return wire.AddrPortOf(c.conn.LocalAddr()) }

func (c *testClient) write(b []byte) {
	c.t.Helper()
	if err := c.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatalf("write %d bytes: %v", len(b), err)
	}
}

// read returns the next frame off the wire, ChannelData without its padding.
func (c *testClient) read() []byte {
	c.t.Helper()
	frame, err := c.tryRead()
	if err != nil {
		c.t.Fatal("read: ", err)
	}
	return frame
}

func (c *testClient) tryRead() ([]byte, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if c.isStream() {
		return readFrame(c.frames)
	}
	n, err := c.conn.Read(c.buf)
	return bytes.Clone(c.buf[:n]), err
}

// readFrame reads a frame as a client does, with none of the server's code.
func readFrame(r io.Reader) ([]byte, error) {
	frame := make([]byte, 4)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint16(frame[2:]))
	rest, padding := 16+length, 0
	if frame[0]&0xC0 == 0x40 {
		rest, padding = length, (4-length%4)%4
	}
	body := make([]byte, rest+padding)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("within a frame of type %x: %w", frame, err)
	}
	if !bytes.Equal(body[rest:], make([]byte, padding)) {
		return nil, fmt.Errorf("the padding is % x", body[rest:])
	}
	return append(frame, body[:rest]...), nil
}

// next returns the next frame that was not the answer to a request.
func (c *testClient) next() []byte {
	c.t.Helper()
	if len(c.queued) > 0 {
		frame := c.queued[0]
		c.queued = c.queued[1:]
		return frame
	}
	return c.read()
}

// roundTrip sends a request and returns its answer.
func (c *testClient) roundTrip(m *stun.Message) *stun.Message {
	c.t.Helper()
	c.write(m.Raw)
	defer c.offloads()
	return c.answerTo(m)
}

// offloads waits until the kernel forwards what it may of the answered requests.
func (c *testClient) offloads() {
	if c.srv != nil {
		c.srv.flowQueue.told()
	}
}

// answerTo returns the answer to a request that was sent, and queues what comes before it.
func (c *testClient) answerTo(m *stun.Message) *stun.Message {
	c.t.Helper()
	for {
		frame := c.read()
		if frame[0]&0xC0 == 0 {
			res := decode(c.t, frame)
			if res.TransactionID == m.TransactionID && res.Type.Class != stun.ClassIndication {
				if res.Type.Method != m.Type.Method {
					c.t.Fatalf("%v was answered with %v", m.Type, res.Type)
				}
				return res
			}
		}
		c.queued = append(c.queued, frame)
	}
}

func decode(t testing.TB, frame []byte) *stun.Message {
	t.Helper()
	m := &stun.Message{Raw: bytes.Clone(frame)}
	if err := m.Decode(); err != nil {
		t.Fatalf("the server sent what does not decode: %v\n% x", err, frame)
	}
	if len(frame) != 20+int(m.Length) || len(frame)%4 != 0 {
		t.Fatalf("the server sent %d bytes with length %d", len(frame), m.Length)
	}
	return m
}

// build makes a request, signed if the client was challenged before.
func (c *testClient) build(method stun.Method, attrs ...stun.Setter) *stun.Message {
	c.t.Helper()
	return buildMessage(c.t, stun.NewType(method, stun.ClassRequest), c.signed(attrs...)...)
}

// signed puts attrs before those of the long-term credential, if the client was challenged.
func (c *testClient) signed(attrs ...stun.Setter) []stun.Setter {
	out := append([]stun.Setter(nil), attrs...)
	if c.nonce == "" {
		return out
	}
	return append(out, stun.NewUsername(c.username), stun.NewRealm(c.realm), stun.NewNonce(c.nonce), c.key)
}

func buildMessage(t testing.TB, typ stun.MessageType, attrs ...stun.Setter) *stun.Message {
	t.Helper()
	m, err := stun.Build(append([]stun.Setter{stun.TransactionID, typ}, attrs...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// do sends a request, answers a challenge if there is one, and checks that the final answer is signed when it must be.
func (c *testClient) do(method stun.Method, attrs ...stun.Setter) *stun.Message {
	c.t.Helper()
	res := c.roundTrip(c.build(method, attrs...))
	if code := codeOf(c.t, res); c.username != "" && (code == 401 && c.nonce == "" || code == 438) {
		c.learn(res)
		res = c.roundTrip(c.build(method, attrs...))
	}
	switch code := codeOf(c.t, res); {
	case code == 400 && !res.Contains(stun.AttrMessageIntegrity), code == 401, code == 438:
	case c.key == nil:
		c.t.Fatalf("%v: answered %d without a challenge", method, code)
	default:
		if err := c.key.Check(res); err != nil {
			c.t.Fatalf("%v: the answer's signature: %v", method, err)
		}
	}
	return res
}

// learn takes REALM and NONCE from a challenge.
func (c *testClient) learn(res *stun.Message) {
	c.t.Helper()
	var realm stun.Realm
	var nonce stun.Nonce
	if err := res.Parse(&realm, &nonce); err != nil {
		c.t.Fatal("challenge: ", err)
	}
	c.realm, c.nonce = realm.String(), nonce.String()
	c.key = stun.NewLongTermIntegrity(c.username, c.realm, c.password)
}

// challenged makes the client learn REALM and NONCE, so that what it builds is signed.
func (c *testClient) challenged() *testClient {
	c.t.Helper()
	c.learn(c.wantCode(c.roundTrip(c.build(stun.MethodRefresh)), 401))
	return c
}

// accept does a request that must succeed.
func (c *testClient) accept(method stun.Method, attrs ...stun.Setter) *stun.Message {
	c.t.Helper()
	return c.wantCode(c.do(method, attrs...), 0)
}

// refuse does a request that must be refused with code.
func (c *testClient) refuse(code int, method stun.Method, attrs ...stun.Setter) *stun.Message {
	c.t.Helper()
	return c.wantCode(c.do(method, attrs...), code)
}

// wantCode checks an answer's error code, which is 0 for success.
func (c *testClient) wantCode(res *stun.Message, want int) *stun.Message {
	c.t.Helper()
	if got := codeOf(c.t, res); got != want {
		c.t.Fatalf("%v: answered %d, want %d", res.Type.Method, got, want)
	}
	return res
}

// codeOf returns an answer's error code, 0 for success, and holds that every error has a reason phrase, unless a stranger gets it.
func codeOf(t testing.TB, res *stun.Message) int {
	t.Helper()
	if res.Type.Class == stun.ClassSuccessResponse {
		return 0
	}
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(res); err != nil || res.Type.Class != stun.ClassErrorResponse {
		t.Fatalf("%v: neither success nor an error with a code: %v", res.Type, err)
	}
	if signed := res.Contains(stun.AttrMessageIntegrity) || res.Contains(stun.AttrMessageIntegritySHA256); signed != (len(code.Reason) > 0) {
		t.Fatalf("%v: %d with the reason phrase %q, and signed %v", res.Type, code.Code, code.Reason, signed)
	}
	return int(code.Code)
}

// allocate makes an allocation and returns its relayed address.
func (c *testClient) allocate(attrs ...stun.Setter) netip.AddrPort {
	c.t.Helper()
	return addressIn(c.t, c.accept(stun.MethodAllocate, append([]stun.Setter{transport(transportUDP)}, attrs...)...), stun.AttrXORRelayedAddress)
}

// addressIn reads an XOR address with pion's code.
func addressIn(t testing.TB, m *stun.Message, typ stun.AttrType) netip.AddrPort {
	t.Helper()
	var a stun.XORMappedAddress
	if err := a.GetFromAs(m, typ); err != nil {
		t.Fatalf("%v: %v", typ, err)
	}
	ip, _ := netip.AddrFromSlice(a.IP)
	return netip.AddrPortFrom(ip.Unmap(), uint16(a.Port))
}

// lifetimeIn reads LIFETIME.
func lifetimeIn(t testing.TB, m *stun.Message) time.Duration {
	t.Helper()
	v, err := m.Get(stun.AttrLifetime)
	if err != nil || len(v) != 4 {
		t.Fatalf("LIFETIME: %x, %v", v, err)
	}
	return time.Duration(binary.BigEndian.Uint32(v)) * time.Second
}

// permit makes permissions for the peers' addresses.
func (c *testClient) permit(peers ...netip.AddrPort) {
	c.t.Helper()
	c.accept(stun.MethodCreatePermission, peersOf(peers...)...)
}

func (c *testClient) bind(channel uint16, peer netip.AddrPort) {
	c.t.Helper()
	c.accept(stun.MethodChannelBind, channelNumber(channel), peerAddr(peer))
}

// indicate sends data in a Send indication.
func (c *testClient) indicate(peer netip.AddrPort, data []byte) {
	c.t.Helper()
	c.write(sendIndication(c.t, peer, data))
}

func sendIndication(t testing.TB, peer netip.AddrPort, data []byte) []byte {
	t.Helper()
	return buildMessage(t, stun.NewType(stun.MethodSend, stun.ClassIndication), peerAddr(peer), attribute{stun.AttrData, data}).Raw
}

// sendChannel sends data as ChannelData, padded on a stream.
func (c *testClient) sendChannel(channel uint16, data []byte) {
	c.t.Helper()
	c.write(channelMessage(channel, data, c.isStream()))
}

func channelMessage(channel uint16, data []byte, padded bool) []byte {
	m := binary.BigEndian.AppendUint16(nil, channel)
	m = binary.BigEndian.AppendUint16(m, uint16(len(data)))
	m = append(m, data...)
	for padded && len(m)%4 != 0 {
		m = append(m, 0)
	}
	return m
}

// received is data that the server relayed to a client.
type received struct {
	channel uint16         // 0 for a Data indication
	peer    netip.AddrPort // of a Data indication
	data    []byte
}

// receive returns the next data relayed to the client.
func (c *testClient) receive() received {
	c.t.Helper()
	frame := c.next()
	if frame[0]&0xC0 == 0x40 {
		if n := int(binary.BigEndian.Uint16(frame[2:])); n != len(frame)-4 {
			c.t.Fatalf("ChannelData of length %d in %d bytes", n, len(frame))
		}
		return received{channel: binary.BigEndian.Uint16(frame), data: frame[4:]}
	}
	m := decode(c.t, frame)
	if m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) {
		c.t.Fatalf("got %v, want data", m)
	}
	data, err := m.Get(stun.AttrData)
	if err != nil {
		c.t.Fatal(err)
	}
	return received{peer: addressIn(c.t, m, stun.AttrXORPeerAddress), data: data}
}

// receiveOn returns the next data relayed to the client, which must come on a channel.
func (c *testClient) receiveOn(channel uint16) []byte {
	c.t.Helper()
	got := c.receive()
	if got.channel != channel {
		c.t.Fatalf("got %d bytes on channel %#x from %v, want some on %#x", len(got.data), got.channel, got.peer, channel)
	}
	return got.data
}

// wantData checks the next data relayed to the client: on a channel, or from peer if channel is 0.
func (c *testClient) wantData(channel uint16, peer netip.AddrPort, data []byte) {
	c.t.Helper()
	got := c.receive()
	if got.channel != channel || channel == 0 && got.peer != peer || !bytes.Equal(got.data, data) {
		c.t.Fatalf("got %d bytes on channel %#x from %v, want %d on %#x from %v (the same bytes: %v)",
			len(got.data), got.channel, got.peer, len(data), channel, peer, bytes.Equal(got.data, data))
	}
}

// barrier returns when the server has handled everything that the client sent before. It returns the answers and data
// that came meanwhile.
func (c *testClient) barrier() (answered [][]byte) {
	c.t.Helper()
	before := len(c.queued)
	c.wantCode(c.roundTrip(buildMessage(c.t, stun.BindingRequest)), 0)
	answered = c.queued[before:]
	c.queued = c.queued[:before]
	return answered
}

// wantSilence checks that the server answered nothing to what the client sent.
func (c *testClient) wantSilence() {
	c.t.Helper()
	for _, frame := range c.barrier() {
		c.t.Errorf("answered with % x, want silence", frame)
	}
}

// wantClosed checks that the server ends the stream; frames that come before are ignored.
func (c *testClient) wantClosed() {
	c.t.Helper()
	for {
		_, err := c.tryRead()
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			c.t.Fatal("the stream is still open")
		}
		if err != nil {
			return
		}
	}
}
