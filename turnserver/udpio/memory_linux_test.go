package udpio

import (
	"bytes"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resident returns how many bytes of a mapping take memory.
func resident(t *testing.T, mapping []byte) (n int) {
	t.Helper()
	pages := make([]byte, len(mapping)/os.Getpagesize())
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mapping[0])), uintptr(len(mapping)), uintptr(unsafe.Pointer(&pages[0])))
	if errno != 0 {
		t.Fatal(errno)
	}
	for _, p := range pages {
		n += int(p&1) * os.Getpagesize()
	}
	return n
}

// TestReaderTakesWhatComes: a reader that could take 64 of the largest datagrams at once takes a page for each as long
// as they are small, and gives the memory of large ones back.
func TestReaderTakesWhatComes(t *testing.T) {
	listener, relayed, to, _ := openTest(t)
	s, r := NewSender(new(Counters)), newTestReader()
	defer r.Close()
	exchange := func(n, size int) {
		t.Helper()
		for range n {
			s.Add(Outgoing{FD: relayed, To: to, Size: size}, bytes.Repeat([]byte{7}, size))
		}
		s.Flush()
		if got, _ := r.Read(listener); got != n || !bytes.Equal(r.Data(n-1), bytes.Repeat([]byte{7}, size)) {
			t.Fatalf("%d of %d datagrams of %d bytes came whole", got, n, size)
		}
	}
	small := 2 * BatchSize * os.Getpagesize() // a reader that is at the edge of a page may touch two
	exchange(BatchSize, 1200)
	exchange(BatchSize, 1200)
	if got := resident(t, r.mapping); got > small {
		t.Errorf("small datagrams take %d bytes", got)
	}
	exchange(8, 60_000)
	if got := resident(t, r.mapping); got < 8*60_000 {
		t.Fatalf("large datagrams take %d bytes: this measures nothing", got)
	}
	for range trimAfter + 1 {
		exchange(1, 1200)
	}
	if got := resident(t, r.mapping); got > small {
		t.Errorf("after small datagrams %d bytes are held", got)
	}
}

// TestRelayedSocketHoldsAKeyFrame: what peers send while nobody reads for a moment is not lost.
func TestRelayedSocketHoldsAKeyFrame(t *testing.T) {
	from, _, _, _ := openTest(t)
	to, roomy, err := OpenRelayed(at127)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(to)
	addr, err := BoundTo(to)
	if err != nil {
		t.Fatal(err)
	}
	got, err := unix.GetsockoptInt(to, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil || roomy != (got >= 2*RelayedBuffer) {
		t.Errorf("roomy: %v, with %d bytes: %v", roomy, got, err)
	}
	if !roomy { // then it has all that the system allows
		most, err := unix.GetsockoptInt(from, unix.SOL_SOCKET, unix.SO_RCVBUF)
		if err != nil || got < most {
			t.Errorf("%d bytes, and a listener has %d: %v", got, most, err)
		}
		return
	}
	const frame, size = 700, 1200 // the kernel counts about 2.3 KB for each
	for range frame {
		if err := unix.Sendto(from, make([]byte, size), 0, Sockaddr(addr)); err != nil {
			t.Fatal(err)
		}
	}
	r := newTestReader()
	defer r.Close()
	total := 0
	for n := -1; n != 0; total += n {
		n, _ = r.Read(to)
	}
	if total != frame {
		t.Errorf("%d of %d datagrams are there", total, frame)
	}
}
