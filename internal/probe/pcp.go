package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// A router that maps ports by NAT-PMP (RFC 6886) or by its successor PCP (RFC 6887) listens on one port. The two requests here ask for
// nothing but an answer: NAT-PMP's for the external address, and PCP's ANNOUNCE. Neither maps a port.
//
//	NAT-PMP request   0: version 0   1: opcode 0
//	        answer    0: version 0   1: opcode 128   2-3: result   4-7: epoch   8-11: external IPv4 address
//	PCP     request   0: version 2   1: opcode 0   2-3: reserved   4-7: lifetime 0   8-23: the client's own address
//	        answer    0: version 2   1: opcode 128   2: reserved   3: result   4-7: lifetime   8-11: epoch   12-23: reserved
//
// They are ours because no library is kept that asks by PCP. github.com/jackpal/go-nat-pmp asks by NAT-PMP, but takes no context, and
// tells a router that refuses from one that is silent by the text of its error only.
const (
	mapperPort    = 5351
	natPMPVersion = 0
	pcpVersion    = 2
	answerBit     = 128
	pcpSize       = 24
	natPMPSize    = 12
)

// mapperAnswer is what a router answers.
type mapperAnswer struct {
	result   int // 0: it maps ports
	external netip.Addr
}

// natPMPResults and pcpResults say what a router that does not map means (RFC 6886 §3.5, RFC 6887 §7.4).
var (
	natPMPResults = map[int]string{
		2: "it refuses to map ports: that is switched off", 3: "it has no public address of its own", 4: "it has no port left",
	}
	pcpResults = map[int]string{
		2: "it refuses to map ports: that is switched off", 7: "it has no public address of its own", 8: "it has no port left",
		12: "another NAT stands between it and this machine",
	}
)

// errOtherVersion is an answer in another version of the protocol: the router does not speak this one.
var errOtherVersion = errors.New("another version of the protocol")

// parseNATPMP reads the answer to a request for the external address.
func parseNATPMP(b []byte) (a mapperAnswer, err error) {
	if len(b) < 4 || b[1] != answerBit {
		return a, errors.New("no answer of NAT-PMP")
	}
	a.result = int(binary.BigEndian.Uint16(b[2:]))
	if b[0] != natPMPVersion || a.result == 1 { // a router that speaks PCP alone says so in its own version
		return a, errOtherVersion
	}
	if a.result != 0 {
		return a, nil
	}
	if len(b) < natPMPSize {
		return a, errors.New("an answer of NAT-PMP that is cut off")
	}
	if a.external = netip.AddrFrom4([4]byte(b[8:12])); a.external.IsUnspecified() {
		a.external = netip.Addr{}
	}
	return a, nil
}

// parsePCP reads the answer to ANNOUNCE.
func parsePCP(b []byte) (a mapperAnswer, err error) {
	if len(b) < 4 || b[1] != answerBit {
		return a, errors.New("no answer of PCP")
	}
	if b[0] != pcpVersion || b[3] == 1 { // RFC 6887 §9: a router with NAT-PMP alone answers in version 0
		return a, errOtherVersion
	}
	if len(b) < pcpSize {
		return a, errors.New("an answer of PCP that is cut off")
	}
	a.result = int(b[3])
	return a, nil
}

func natPMPRequest() []byte { return []byte{natPMPVersion, 0} }

// pcpRequest is ANNOUNCE from an address.
func pcpRequest(local netip.Addr) []byte {
	b := make([]byte, pcpSize)
	b[0] = pcpVersion
	client := local.As16()
	copy(b[8:], client[:])
	return b
}

// findNATPMP asks a router for NAT-PMP.
func findNATPMP(ctx context.Context, at netip.AddrPort) Mapper {
	return findMapper(ctx, at, natPMPRequest(), parseNATPMP, natPMPResults)
}

// findPCP asks a router for PCP. local is this machine's address on the way there.
func findPCP(ctx context.Context, at netip.AddrPort, local netip.Addr) Mapper {
	return findMapper(ctx, at, pcpRequest(local), parsePCP, pcpResults)
}

// mapperTries are the waits for an answer. RFC 6886 §3.1 goes on to a minute; a router next door has answered by then.
var mapperTries = [...]time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second}

func findMapper(ctx context.Context, at netip.AddrPort, request []byte, parse func([]byte) (mapperAnswer, error), results map[int]string) Mapper {
	b, err := askMapper(ctx, at, request)
	if errors.Is(err, errSilent) {
		return Mapper{Found: no()}
	}
	if err != nil {
		return Mapper{Why: oneLine(err.Error())}
	}
	a, err := parse(b)
	if err != nil {
		return Mapper{Found: no(), Why: fmt.Sprintf("%s answers in %v", at.Addr(), err)}
	}
	m := Mapper{Found: yes(), At: at.String(), External: a.external}
	if a.result != 0 {
		m.Why = results[a.result]
		if m.Why == "" {
			m.Why = fmt.Sprintf("it answers with the error %d", a.result)
		}
	}
	return m
}

// errSilent is that nobody answers.
var errSilent = errors.New("no answer")

// askMapper sends a request until there is an answer. Only the router's reaches this socket.
func askMapper(ctx context.Context, at netip.AddrPort, request []byte) ([]byte, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", at.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 1100) // RFC 6887 §7: no message is longer
	for _, wait := range mapperTries {
		if ctx.Err() != nil {
			break
		}
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		if _, err := conn.Write(request); err != nil && !isErrno(err, syscall.ECONNREFUSED, 10061) {
			return nil, err
		}
		n, err := conn.Read(buf)
		switch {
		case err == nil:
			return buf[:n], nil
		case isErrno(err, syscall.ECONNREFUSED, 10054): // Windows calls it a reset
			return nil, errSilent
		case !isTimeout(err):
			return nil, err
		}
	}
	return nil, errSilent
}
