//go:build linux && (amd64 || arm64)

package offload

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

// compare runs a frame through the program and through the model, which must agree.
func (r *rig) compare(m model, frame []byte) (forwarded bool) {
	r.t.Helper()
	verdict, out := r.run(frame)
	want, relayed := m.relay(frame)
	switch {
	case verdict == pass && !relayed:
		if !bytes.Equal(out, frame) {
			r.t.Fatalf("passed up, but changed:\n%x\n%x", frame, out)
		}
		return false
	case verdict != forward || !relayed:
		in, _ := parseFrame(frame)
		r.t.Fatalf("verdict %d, want it forwarded: %v\n%+v\n%x", verdict, relayed, in, frame)
	}
	// The hardware addresses belong to the neighbour, and come later.
	got := append(make([]byte, 12), 0x08, 0x00)
	if want.to.Addr().Is6() {
		got[12], got[13] = 0x86, 0xdd
	}
	got = append(got, out[ethernetSize:]...)
	d, ok := parseFrame(got)
	if want.indication {
		d.data = withoutID(d.data)
	}
	if !ok || d.from != want.from || d.to != want.to || d.class != want.class || d.hops != want.hops || !bytes.Equal(d.data, want.data) || d.noChecksum != want.noChecksum {
		r.t.Fatalf("from %x\ngot  %+v %v\nwant %+v", frame, d, ok, want)
	}
	if is, was := syndrome(got), syndrome(frame); !want.noChecksum && is%0xffff != was%0xffff {
		r.t.Fatalf("from %x\ngot  %x: the checksum's sum is %#x and was %#x", frame, got, is, was)
	}
	return true
}

func pattern(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7 + size)
	}
	return b
}

// sendIndication is a client's indication to a peer, with any bytes for padding. If the padding is odd it has a
// FINGERPRINT, right or wrong, and if the padding is more than three it has too many bytes behind it.
func sendIndication(peer netip.AddrPort, data []byte, padding int) []byte {
	b := indication(stun.MethodSend, peer, data, [...]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	for i := range -len(data) & 3 {
		b[len(b)-1-i] = byte(padding)
	}
	if padding%2 == 1 {
		m := stun.Message{Raw: b}
		if err := m.Decode(); err != nil {
			panic(err)
		}
		m.Add(stun.AttrFingerprint, binary.BigEndian.AppendUint32(nil, stun.FingerprintValue(b)^uint32(padding-1)))
		b = m.Raw
	}
	if padding > 3 {
		b = append(b, make([]byte, padding)...)
	}
	return b
}

// upPacket is a packet from the flow's client, and downPacket one from its peer.
func upPacket(f Flow, data []byte, padding int) datagram {
	d := datagram{from: f.Client, to: f.Local, class: 0xb9, hops: 61}
	if f.Channel == 0 {
		d.data = sendIndication(f.Peer, data, padding)
	} else {
		d.data = channelData(f.Channel, data, padding)
	}
	return d
}

func downPacket(f Flow, data []byte) datagram {
	return datagram{from: f.Peer, to: f.Relayed, class: 0x02, hops: 17, data: data}
}

// scenario is a set of flows that the tests send packets of.
type scenario struct {
	name    string
	flows   []Flow
	packets func(data []byte, padding int) []datagram // one a direction
}

func (r *rig) scenarios() (out []scenario) {
	for _, v6 := range [][2]bool{{false, false}, {true, true}, {false, true}, {true, false}} {
		for _, by := range []string{"channels", "indications"} {
			f := r.flow(v6[0], v6[1])
			one, two := r.hop(v6[0], v6[1])
			if by == "indications" {
				f.Channel, one.Channel, two.Channel = 0, 0, 0
			}
			out = append(out,
				scenario{fmt.Sprintf("%s, client IPv6 %v, relayed IPv6 %v", by, v6[0], v6[1]), []Flow{f},
					func(data []byte, padding int) []datagram {
						return []datagram{upPacket(f, data, padding), downPacket(f, data)}
					}},
				scenario{fmt.Sprintf("%s from client to client, IPv6 %v and %v", by, v6[0], v6[1]), []Flow{one, two},
					func(data []byte, padding int) []datagram {
						return []datagram{upPacket(one, data, padding), upPacket(two, data, padding)}
					}},
			)
		}
	}
	// Two browsers that do not do it in the same way.
	one, two := r.hop(false, true)
	one.Channel = 0
	return append(out, scenario{"from indications to a channel and back", []Flow{one, two}, func(data []byte, padding int) []datagram {
		return []datagram{upPacket(one, data, padding), upPacket(two, data, padding)}
	}})
}

// each runs a test for each scenario, with a rig that has its flows.
func eachScenario(t *testing.T, test func(*testing.T, *rig, model, scenario)) {
	for i := range new(rig).scenarios() {
		s := new(rig).scenarios()[i]
		t.Run(s.name, func(t *testing.T) {
			r := newRig(t)
			r.confirmed(s.flows...)
			test(t, r, model{s.flows, outMTU}, s)
		})
	}
}

// TestLengths sends data of every length, padded and not.
func TestLengths(t *testing.T) {
	eachScenario(t, func(t *testing.T, r *rig, m model, s scenario) {
		for size := range outMTU + 8 {
			forwarded := 0
			for padding := range 5 {
				for _, d := range s.packets(pattern(size), padding) {
					if r.compare(m, d.frame()) {
						forwarded++
					}
				}
			}
			if size >= 4 && size < outMTU-100 && forwarded < 8 {
				t.Errorf("size %d: only %d were forwarded", size, forwarded)
			}
		}
	})
}

// TestChecksums tries every checksum there is, right and wrong: also those that look as if they were left to the
// network card.
func TestChecksums(t *testing.T) {
	eachScenario(t, func(t *testing.T, r *rig, m model, s scenario) {
		for _, d := range s.packets(pattern(61), 2) {
			frame := d.frame()
			at := len(frame) - len(d.data) - 2
			for sum := 0; sum <= 0xffff; sum += 13 {
				binary.BigEndian.PutUint16(frame[at:], uint16(sum))
				r.compare(m, frame)
			}
			for _, special := range []uint16{0, 1, 0xfffe, 0xffff} {
				binary.BigEndian.PutUint16(frame[at:], special)
				r.compare(m, frame)
			}
			// Data that makes the right checksum look like one that is left to the network card.
			d.data = bytes.Clone(d.data)
			const dataAt = 50 // is data in all of them
			d.data[dataAt], d.data[dataAt+1] = 0, 0
			frame = d.frame()
			pseudo := onesSum(pseudoHeader(d.from.Addr(), d.to.Addr(), 8+len(d.data)))
			right := binary.BigEndian.Uint16(frame[at:])
			var word [2]byte
			binary.BigEndian.PutUint16(word[:], right)
			var less [2]byte
			binary.BigEndian.PutUint16(less[:], ^pseudo)
			copy(d.data[dataAt:], binary.BigEndian.AppendUint16(nil, onesSum(word[:], less[:])))
			frame = d.frame()
			if got := binary.BigEndian.Uint16(frame[at:]); got != pseudo {
				t.Fatalf("the checksum is %#x, want %#x", got, pseudo)
			}
			if !r.compare(m, frame) {
				t.Error("was not forwarded")
			}
		}
	})
}

// TestShapes sends frames that differ from good ones in one byte, in two, or are cut or extended.
func TestShapes(t *testing.T) {
	eachScenario(t, func(t *testing.T, r *rig, m model, s scenario) {
		random := rand.New(rand.NewPCG(8656, 5))
		for _, d := range s.packets(pattern(29), 1) {
			good := d.frame()
			data := bytes.Index(good, pattern(29))
			headers := data + 4
			for at := range good {
				if at >= headers && at < data+29 {
					continue
				}
				for value := range 256 {
					frame := bytes.Clone(good)
					frame[at] = byte(value)
					r.compare(m, frame)
					if random.IntN(4) == 0 {
						frame[random.IntN(headers)] = byte(random.Uint32())
						r.compare(m, frame)
					}
				}
			}
			for size := shortest(good); size < len(good); size++ {
				r.compare(m, good[:size])
				r.compare(m, append(bytes.Clone(good), make([]byte, size)...))
			}
		}
	})
}

// TestHeaders sends packets with a right checksum and unusual headers.
func TestHeaders(t *testing.T) {
	eachScenario(t, func(t *testing.T, r *rig, m model, s scenario) {
		for _, d := range s.packets(pattern(100), 0) {
			for value := range 256 {
				d.class = byte(value)
				if !r.compare(m, d.frame()) {
					t.Error("was not forwarded with class", value)
				}
				d.hops = byte(value)
				if got := r.compare(m, d.frame()); got != (value > 1) {
					t.Error("forwarded with hop limit", value, got)
				}
				d.hops = 64
			}
			for name, change := range map[string]func([]byte) []byte{
				"VLAN":             func(f []byte) []byte { return append(append(bytes.Clone(f[:12]), 0x81, 0, 0, 5), f[12:]...) },
				"to another host":  func(f []byte) []byte { f[0] = 2; return f },
				"to everybody":     func(f []byte) []byte { copy(f, bytes.Repeat([]byte{0xff}, 6)); return f },
				"fragment":         func(f []byte) []byte { return withIPv4(f, func(ip []byte) { ip[6] = 0x20 }) },
				"last fragment":    func(f []byte) []byte { return withIPv4(f, func(ip []byte) { ip[7] = 9 }) },
				"reserved bit":     func(f []byte) []byte { return withIPv4(f, func(ip []byte) { ip[6] |= 0x80 }) },
				"may be fragments": func(f []byte) []byte { return withIPv4(f, func(ip []byte) { ip[6] = 0 }) },
				"TCP":              func(f []byte) []byte { return withIPv4(f, func(ip []byte) { ip[9] = 6 }) },
				"header checksum":  func(f []byte) []byte { f[ethernetSize+10] ^= 1; return f },
				"options":          withOption,
				"extension header": withExtension,
			} {
				t.Run(name, func(t *testing.T) { r.compare(m, change(d.frame())) })
			}
		}
	})
}

// shortest is the size that a frame must have for the kernel to run the program on it: an interface's driver is not
// asked.
func shortest(frame []byte) int {
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		return ethernetSize + 20
	case 0x86dd:
		return ethernetSize + 40
	default:
		return ethernetSize + 1
	}
}

// withIPv4 changes an IPv4 header and corrects its checksum.
func withIPv4(frame []byte, change func(ip []byte)) []byte {
	ip := frame[ethernetSize:]
	if ip[0]>>4 != 4 {
		return frame
	}
	change(ip)
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^onesSum(ip[:20]))
	return frame
}

// withOption puts an IPv4 option of four bytes into the header.
func withOption(frame []byte) []byte {
	if frame[ethernetSize]>>4 != 4 {
		return frame
	}
	head := bytes.Clone(frame[:ethernetSize+20])
	out := append(append(head, 1, 1, 1, 0), frame[ethernetSize+20:]...)
	ip := out[ethernetSize:]
	ip[0] = 0x46
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^onesSum(ip[:24]))
	return out
}

// withExtension puts an empty destination options header behind an IPv6 header.
func withExtension(frame []byte) []byte {
	if frame[ethernetSize]>>4 != 6 {
		return frame
	}
	head := bytes.Clone(frame[:ethernetSize+40])
	out := append(append(head, 17, 0, 1, 4, 0, 0, 0, 0), frame[ethernetSize+40:]...)
	ip := out[ethernetSize:]
	ip[6] = 60
	binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-40))
	return out
}

// TestStrangers sends packets that differ from a flow's in one part of what makes its key.
func TestStrangers(t *testing.T) {
	eachScenario(t, func(t *testing.T, r *rig, m model, s scenario) {
		for _, d := range s.packets(pattern(50), 0) {
			unknown := family(d.from.Addr().Is6()).unknown
			for _, change := range []func(*datagram){
				func(d *datagram) { d.from = netip.AddrPortFrom(unknown, d.from.Port()) },
				func(d *datagram) { d.from = netip.AddrPortFrom(d.from.Addr(), d.from.Port()+1) },
				func(d *datagram) { d.to = netip.AddrPortFrom(unknown, d.to.Port()) },
				func(d *datagram) { d.to = netip.AddrPortFrom(d.to.Addr(), d.to.Port()+1) },
			} {
				stranger := d
				change(&stranger)
				if r.compare(m, stranger.frame()) {
					t.Errorf("a packet from %v to %v was forwarded", stranger.from, stranger.to)
				}
			}
			if peer, data, ok := readSend(d.data); ok {
				for _, other := range []netip.AddrPort{netip.AddrPortFrom(unknown, peer.Port()), netip.AddrPortFrom(peer.Addr(), peer.Port()^0x100)} {
					stranger := d
					stranger.data = sendIndication(other, data, 0)
					if r.compare(m, stranger.frame()) {
						t.Errorf("data for %v was forwarded, who is no peer", other)
					}
				}
			}
			if d.data[0] != 0x41 && d.data[0] != 0x40 && d.data[0] != 0x4f {
				continue // no ChannelData
			}
			for channel := 0x3ff0; channel < 0x5010; channel++ {
				stranger := d
				stranger.data = bytes.Clone(d.data)
				binary.BigEndian.PutUint16(stranger.data, uint16(channel))
				known := binary.BigEndian.Uint16(d.data) == uint16(channel)
				if got := r.compare(m, stranger.frame()); got != known {
					t.Errorf("channel %#x: forwarded %v", channel, got)
				}
			}
		}
	})
}

// FuzzProgram: the program and the model must agree on any frame. If correct is set, its lengths and header checksum
// are right.
func FuzzProgram(f *testing.F) {
	needKernel(f)
	scenarios := new(rig).scenarios()
	for i, s := range scenarios {
		for _, size := range []int{4, 61, 1452, 1472} {
			for padding := range 3 {
				for _, d := range s.packets(pattern(size), padding) {
					f.Add(i, d.frame(), false)
					f.Add(i, d.frame(), true)
					f.Add(i, withOption(d.frame()), true)
					f.Add(i, withExtension(d.frame()), true)
				}
			}
		}
	}
	rigs := make([]*rig, len(scenarios))
	for i, s := range scenarios {
		rigs[i] = newLoopbackRig(f)
		rigs[i].confirmed(s.flows...)
	}
	f.Fuzz(func(t *testing.T, which int, frame []byte, correct bool) {
		if len(frame) <= ethernetSize || len(frame) < shortest(frame) || len(frame) > 3000 || which < 0 || which >= len(scenarios) {
			return
		}
		if correct {
			frame = withLengths(frame)
		}
		r := *rigs[which]
		r.t = t
		r.compare(model{scenarios[which].flows, 0xffff}, frame)
	})
}

// withLengths corrects the lengths in the headers of what could be UDP, and the header's checksum.
func withLengths(frame []byte) []byte {
	frame = bytes.Clone(frame)
	ip := frame[ethernetSize:]
	switch {
	case len(ip) > 28 && ip[0] == 0x45:
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		binary.BigEndian.PutUint16(ip[24:], uint16(len(ip)-20))
		return withIPv4(frame, func([]byte) {})
	case len(ip) > 48 && ip[0]>>4 == 6:
		binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-40))
		binary.BigEndian.PutUint16(ip[44:], uint16(len(ip)-40))
	}
	return frame
}
