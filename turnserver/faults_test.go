package turnserver

import (
	"errors"
	"net/netip"
	"os"
	"syscall"
	"testing"
)

// TestHopelessPorts: an Allocate looks for another port only if another may do.
func TestHopelessPorts(t *testing.T) {
	r := newRelayAddress("udp", RelayAddress{Local: loopback}, 50000, 50999)
	for errno, want := range map[syscall.Errno]int{
		syscall.EADDRINUSE: foreignPorts, syscall.EACCES: foreignPorts,
		syscall.EMFILE: 1, syscall.ENFILE: 1, syscall.ENOBUFS: 1, syscall.ENOMEM: 1, syscall.EADDRNOTAVAIL: 1, syscall.EAFNOSUPPORT: 1,
	} {
		tries := 0
		_, err := r.open(func(*relayPort, netip.AddrPort) error {
			tries++
			return os.NewSyscallError("bind", errno)
		}, anyPort)
		if tries != want || !errors.Is(err, errno) {
			t.Errorf("%v: %d tries, then %v; want %d", errno, tries, err, want)
		}
	}
}
