package turnload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"
)

const (
	allocationLife = 10 * time.Minute
	transportUDP   = 17
	firstChannel   = 0x4000
)

// client is one allocation. One goroutine at a time sets it up and closes it. While a load runs, a worker reads its
// socket and passes answers on.
type client struct {
	*socket
	username, password string

	realm, nonce string
	key          stun.MessageIntegrity
	relayed      netip.AddrPort
	peer         netip.AddrPort // for which it has a permission or a channel
	channel      uint16         // 0 with indications
}

// build makes a request. It is signed if the client was challenged before.
func (c *client) build(method stun.Method, attrs ...stun.Setter) (*stun.Message, error) {
	all := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attrs...)
	if c.nonce != "" {
		all = append(all, stun.NewUsername(c.username), stun.NewRealm(c.realm), stun.NewNonce(c.nonce), c.key)
	}
	return stun.Build(all...)
}

// learn takes REALM and NONCE from a 401 or 438.
func (c *client) learn(answer *stun.Message) error {
	var realm stun.Realm
	var nonce stun.Nonce
	if err := answer.Parse(&realm, &nonce); err != nil {
		return fmt.Errorf("the server's challenge: %w", err)
	}
	if c.realm != realm.String() {
		c.realm = realm.String()
		c.key = stun.NewLongTermIntegrity(c.username, c.realm, c.password)
	}
	c.nonce = nonce.String()
	return nil
}

func refusal(answer *stun.Message) *RefusedError {
	var code stun.ErrorCodeAttribute
	_ = code.GetFrom(answer) // without a code the error says 0
	if named := new(stun.Message); len(code.Reason) == 0 && code.Code.AddTo(named) == nil {
		_ = code.GetFrom(named) // what the RFCs call it: a server may leave that out
	}
	return &RefusedError{answer.Type.Method, int(code.Code), string(code.Reason)}
}

// allocation is the request for an allocation with a relayed address of the family of like.
func allocation(like netip.Addr) (stun.Method, []stun.Setter) {
	attrs := []stun.Setter{stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{transportUDP, 0, 0, 0}}}
	if like.Is6() {
		attrs = append(attrs, stun.RawAttribute{Type: stun.AttrRequestedAddressFamily, Value: []byte{2, 0, 0, 0}})
	}
	return stun.MethodAllocate, attrs
}

// allocated reads the relayed address from the answer.
func (c *client) allocated(answer *stun.Message) error {
	var relayed stun.XORMappedAddress
	if err := relayed.GetFromAs(answer, stun.AttrXORRelayedAddress); err != nil {
		return fmt.Errorf("the server's relayed address: %w", err)
	}
	ip, _ := netip.AddrFromSlice(relayed.IP)
	c.relayed = netip.AddrPortFrom(ip.Unmap(), uint16(relayed.Port))
	return nil
}

// reach sets the peer that the client exchanges data with, by a channel or by indications.
func (c *client) reach(peer netip.AddrPort, indications bool) {
	c.peer, c.channel = peer, firstChannel
	if indications {
		c.channel = 0
	}
}

// opening is the request that makes, or refreshes, the permission or the channel.
func (c *client) opening() (stun.Method, []stun.Setter) {
	if c.channel == 0 {
		return stun.MethodCreatePermission, []stun.Setter{xorPeer(c.peer)}
	}
	number := binary.BigEndian.AppendUint16(nil, c.channel)
	return stun.MethodChannelBind, []stun.Setter{
		stun.RawAttribute{Type: stun.AttrChannelNumber, Value: append(number, 0, 0)}, xorPeer(c.peer),
	}
}

// header is the bytes that the client puts before a payload.
func (c *client) header(size int) ([]byte, error) {
	if c.channel == 0 {
		return indicationHeader(xorPeer(c.peer), size)
	}
	return channelHeader(c.channel, size), nil
}

// refresh refreshes the allocation and its channel or permission. It waits for no answers: the worker finds them among
// the data.
func (c *client) refresh() error {
	method, attrs := c.opening()
	opening, err := c.build(method, attrs...)
	if err != nil {
		return err
	}
	allocation, err := c.build(stun.MethodRefresh, lifetime(allocationLife))
	if err != nil {
		return err
	}
	return errors.Join(c.send(allocation.Raw), c.send(opening.Raw))
}

// answered takes an answer to a refresh. If the nonce was stale, both requests are sent once more with the new one.
func (c *client) answered(raw []byte) error {
	m := &stun.Message{Raw: raw}
	if !stun.IsMessage(raw) || m.Decode() != nil || m.Type.Class != stun.ClassErrorResponse {
		return nil
	}
	refused := refusal(m)
	if refused.Code != 438 {
		return refused
	}
	var nonce stun.Nonce
	if nonce.GetFrom(m) != nil || nonce.String() == c.nonce {
		return nil // the other request's 438, which was answered already
	}
	if err := c.learn(m); err != nil {
		return err
	}
	return c.refresh()
}

func lifetime(d time.Duration) stun.Setter {
	return stun.RawAttribute{Type: stun.AttrLifetime, Value: binary.BigEndian.AppendUint32(nil, uint32(d/time.Second))}
}

// xorPeer is XOR-PEER-ADDRESS.
type xorPeer netip.AddrPort

func (p xorPeer) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	ip := net.IP(a.Addr().AsSlice())
	return stun.XORMappedAddress{IP: ip, Port: int(a.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}
