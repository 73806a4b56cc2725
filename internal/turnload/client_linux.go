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

// client is one allocation. Setting up and closing belong to one goroutine at a time; while a load runs, the worker
// reads the socket and hands answers on.
type client struct {
	*socket
	username, password string

	realm, nonce string
	key          stun.MessageIntegrity
	relayed      netip.AddrPort
	peer         netip.AddrPort // that it has a permission for, or a channel to
	channel      uint16         // 0 with indications
}

// build makes a request, signed once a challenge came.
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

// allocated takes the answer to that.
func (c *client) allocated(answer *stun.Message) error {
	var relayed stun.XORMappedAddress
	if err := relayed.GetFromAs(answer, stun.AttrXORRelayedAddress); err != nil {
		return fmt.Errorf("the server's relayed address: %w", err)
	}
	ip, _ := netip.AddrFromSlice(relayed.IP)
	c.relayed = netip.AddrPortFrom(ip.Unmap(), uint16(relayed.Port))
	return nil
}

// reach sets whom the client exchanges data with: by a channel, or by indications.
func (c *client) reach(peer netip.AddrPort, indications bool) {
	c.peer, c.channel = peer, firstChannel
	if indications {
		c.channel = 0
	}
}

// opening is the request that makes the permission or the channel, and keeps it.
func (c *client) opening() (stun.Method, []stun.Setter) {
	if c.channel == 0 {
		return stun.MethodCreatePermission, []stun.Setter{xorPeer(c.peer)}
	}
	number := binary.BigEndian.AppendUint16(nil, c.channel)
	return stun.MethodChannelBind, []stun.Setter{
		stun.RawAttribute{Type: stun.AttrChannelNumber, Value: append(number, 0, 0)}, xorPeer(c.peer),
	}
}

// header is what the client puts before a payload.
func (c *client) header(size int) ([]byte, error) {
	if c.channel == 0 {
		return indicationHeader(xorPeer(c.peer), size)
	}
	return channelHeader(c.channel, size), nil
}

// refresh asks for more time without waiting for the answers, which the worker finds among the data.
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

// answered takes an answer to a refresh. A stale nonce is the one that matters: all go out once more with the new one.
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
		return nil // the other request's 438, answered already
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
