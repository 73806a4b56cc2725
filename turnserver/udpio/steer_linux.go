package udpio

import (
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Steer attaches a program to the sockets that share fd's address. The kernel runs it for each datagram, and no privilege
// is needed. The program sees them as three rows of n sockets, in the order in which they were bound. To the first row it
// gives the data of clients, to the second the requests that only a client with an allocation has reason to send, and to
// the third the rest. So a flood of requests fills the buffers of its own row alone. In each row, the same place has all
// messages of a client. key is random, so that nobody can choose the place.
//
// While there are fewer sockets than that, the kernel spreads over them what would go to a missing one. None may be closed
// while others go on, since the program counts them.
func Steer(fd int, is4 bool, n int, key uint32) error {
	program, err := bpf.Assemble(steering(is4, uint32(n), key))
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(program))
	for i, p := range program {
		filter[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &fprog))
}

// Offsets from where the IP header begins, as the kernel encodes them (SKF_NET_OFF). Others count from the end of the
// UDP header.
const netOffset = 0xFFF00000

// The types of STUN messages that belong to an allocation (RFC 8656 §18).
const (
	stunRefresh          = 0x0004
	stunSend             = 0x0016
	stunCreatePermission = 0x0008
	stunChannelBind      = 0x0009
)

// steering is the program of Steer. A load from beyond the end of a datagram ends it with 0: such a short one is nothing
// that anybody should send.
func steering(is4 bool, n, key uint32) []bpf.Instruction {
	const sum, place = 0, 1 // words of scratch memory
	multiplier := key | 1
	add := func(load ...bpf.Instruction) []bpf.Instruction { // sum = (sum + A) * multiplier
		return append(load,
			bpf.LoadScratch{Dst: bpf.RegX, N: sum}, bpf.ALUOpX{Op: bpf.ALUOpAdd},
			bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: multiplier}, bpf.StoreScratch{Src: bpf.RegA, N: sum})
	}
	program := []bpf.Instruction{bpf.LoadConstant{Dst: bpf.RegA, Val: key}, bpf.StoreScratch{Src: bpf.RegA, N: sum}}
	if is4 {
		program = append(program, add(bpf.LoadAbsolute{Off: netOffset + 12, Size: 4})...) // the sender's address
		program = append(program, add(
			bpf.LoadMemShift{Off: netOffset},              // X is the length of the IP header,
			bpf.LoadIndirect{Off: netOffset, Size: 2})...) // and behind it is the sender's port
	} else {
		for off := uint32(8); off < 24; off += 4 {
			program = append(program, add(bpf.LoadAbsolute{Off: netOffset + off, Size: 4})...)
		}
		program = append(program, // of a packet with extension headers, the address alone counts
			bpf.LoadAbsolute{Off: netOffset + 6, Size: 1}, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 5})
		program = append(program, add(bpf.LoadAbsolute{Off: netOffset + 40, Size: 2})...)
	}
	program = append(program, // place = (sum ^ sum>>15) * multiplier >> 16 % n
		bpf.LoadScratch{Dst: bpf.RegA, N: sum}, bpf.TAX{}, bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 15}, bpf.ALUOpX{Op: bpf.ALUOpXor},
		bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: multiplier}, bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 16},
		bpf.ALUOpConstant{Op: bpf.ALUOpMod, Val: n}, bpf.StoreScratch{Src: bpf.RegA, N: place})
	return append(program,
		bpf.LoadAbsolute{Off: 0, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: stunSend, SkipTrue: 6},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: stunRefresh, SkipTrue: 7},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: stunCreatePermission, SkipTrue: 6},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: stunChannelBind, SkipTrue: 5},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xC000},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x4000, SkipTrue: 1}, // ChannelData
		bpf.Jump{Skip: 5},
		bpf.LoadScratch{Dst: bpf.RegA, N: place}, bpf.RetA{},
		bpf.LoadScratch{Dst: bpf.RegA, N: place}, bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: n}, bpf.RetA{},
		bpf.LoadScratch{Dst: bpf.RegA, N: place}, bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: 2 * n}, bpf.RetA{})
}
