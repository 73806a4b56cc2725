package udpio

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// calls is the kernel, with what it was asked and what it must answer.
type calls struct {
	messages []int // of each call
	answer   func(messages []mmsghdr) (int, unix.Errno)
}

func (c *calls) send(fd int, messages []mmsghdr) (int, unix.Errno) {
	c.messages = append(c.messages, len(messages))
	if n, errno := c.answer(messages); errno != 0 || n > 0 {
		return n, errno
	}
	return sendmmsg(fd, messages)
}

// add queues n datagrams of 100 bytes.
func add(s *Sender, fd, n int, to netip.AddrPort) {
	for range n {
		s.Add(Outgoing{FD: fd, To: to, Size: 100}, make([]byte, 100))
	}
}

// refuseSegments answers as a path that takes no segments.
func refuseSegments(errno unix.Errno) func([]mmsghdr) (int, unix.Errno) {
	return func(messages []mmsghdr) (int, unix.Errno) {
		for i := range messages {
			if messages[i].hdr.Iovlen > 1 {
				if i == 0 {
					return 0, errno
				}
				return 0, 0 // the kernel itself takes those before; there are none in these tests
			}
		}
		return 0, 0
	}
}

// TestNoSegments: where the kernel takes no segments, the datagrams leave each by itself. The sender asks once, and then
// not for a long time, for that destination alone.
func TestNoSegments(t *testing.T) {
	_, relayed, to, _ := openTest(t)
	other := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), to.Port())
	for _, errno := range []unix.Errno{unix.EIO, unix.EINVAL} {
		kernel := &calls{answer: refuseSegments(errno)}
		s := NewSender(new(Counters))
		s.system = kernel.send
		for round, want := range [][]int{{1, 10}, {10}, {10}} {
			kernel.messages = nil
			add(s, relayed, 10, to)
			s.Flush()
			if !slices.Equal(kernel.messages, want) {
				t.Errorf("%v, round %d: calls of %d messages, want %d", errno, round, kernel.messages, want)
			}
		}
		kernel.messages, kernel.answer = nil, func([]mmsghdr) (int, unix.Errno) { return 0, 0 }
		add(s, relayed, 10, other)
		s.Flush()
		if !slices.Equal(kernel.messages, []int{1}) {
			t.Errorf("%v, another destination: calls of %d messages, want one of one", errno, kernel.messages)
		}
		for range unsegmentedRuns * 10 { // until it tries again
			add(s, relayed, 2, to)
			if s.Flush(); slices.Contains(kernel.messages[1:], 1) {
				break
			}
			kernel.messages = kernel.messages[:1]
		}
		if len(kernel.messages) == 1 {
			t.Errorf("%v: the sender never tries again", errno)
		}
		if c := s.Counters; c.Failed.Load()+c.NoRoom.Load()+c.TooLarge.Load() != 0 {
			t.Errorf("%v: datagrams were counted as not sent", errno)
		}
	}
}

// TestShorterSegments: a path that takes no long segments takes shorter ones.
func TestShorterSegments(t *testing.T) {
	_, relayed, to, _ := openTest(t)
	kernel := &calls{answer: refuseSegments(unix.EMSGSIZE)}
	s := NewSender(new(Counters))
	s.system = kernel.send
	add(s, relayed, 10, to)
	s.Flush()
	kernel.messages, kernel.answer = nil, func([]mmsghdr) (int, unix.Errno) { return 0, 0 }
	for range 10 {
		s.Add(Outgoing{FD: relayed, To: to, Size: 99}, make([]byte, 99))
	}
	s.Flush()
	if !slices.Equal(kernel.messages, []int{1}) {
		t.Errorf("calls of %d messages, want one of one", kernel.messages)
	}
}

// TestNoRoom: a socket that is full gets no more of the batch, and is not asked again; another socket is. A full queue
// on the way to the device costs the message that it is about. Neither tells of segments.
func TestNoRoom(t *testing.T) {
	_, relayed, to, _ := openTest(t)
	_, other, _, _ := openTest(t)
	for _, row := range []struct {
		errno  unix.Errno
		alone  bool // datagrams of different sizes, so that each has a message of its own
		calls  []int
		noRoom uint64
	}{
		{unix.EAGAIN, false, []int{1, 1}, 10}, {unix.EAGAIN, true, []int{10, 1}, 10},
		{unix.ENOBUFS, false, []int{1, 1}, 10}, {unix.ENOBUFS, true, []int{10, 9, 1}, 1},
	} {
		failed := false
		kernel := &calls{answer: func([]mmsghdr) (int, unix.Errno) {
			if failed {
				return 0, 0
			}
			failed = true
			return 0, row.errno
		}}
		s := NewSender(new(Counters))
		s.system = kernel.send
		for i := range 10 {
			size := 100
			if row.alone {
				size += i
			}
			s.Add(Outgoing{FD: relayed, To: to, Size: size}, make([]byte, size))
		}
		s.Add(Outgoing{FD: other, To: to, Size: 1}, []byte("1"))
		s.Flush()
		name := fmt.Sprintf("%v, alone: %v", row.errno, row.alone)
		if !slices.Equal(kernel.messages, row.calls) {
			t.Errorf("%s: calls of %d messages, want %d", name, kernel.messages, row.calls)
		}
		if got := s.Counters.NoRoom.Load(); got != row.noRoom {
			t.Errorf("%s: %d had no room, want %d", name, got, row.noRoom)
		}
		if s.remembers {
			t.Errorf("%s: taken for a path without segments", name)
		}
	}
}

// TestFullSocket: the kernel's own answers. Datagrams to a neighbour that does not answer wait, and fill the socket.
// Segments that are longer than the device's packets are refused, and leave one by one.
func TestFullSocket(t *testing.T) {
	inNamespace(t, func() error {
		for _, change := range []string{
			"link add here type veth peer name there", "link set here up mtu 1000", "link set there up", "addr add 11.22.33.1/24 dev here",
			"neigh add 11.22.33.9 lladdr 02:00:00:00:00:09 dev here",
		} {
			if out, err := exec.Command("sh", "-c", "ip "+change).CombinedOutput(); err != nil {
				return fmt.Errorf("ip %s: %w: %s", change, err, out)
			}
		}
		fd, _, err := OpenRelayed(netip.MustParseAddrPort("11.22.33.1:0"))
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1); err != nil { // as little as there may be
			return err
		}
		s := NewSender(new(Counters))
		add(s, fd, 64, netip.MustParseAddrPort("11.22.33.8:9"))
		for range 20 {
			add(s, fd, 64, netip.MustParseAddrPort("11.22.33.8:9"))
		}
		s.Flush()
		if got := s.Counters.NoRoom.Load(); got < 64 || s.Counters.Failed.Load() > 0 || s.remembers {
			t.Errorf("%d datagrams had no room, %d failed, segments are refused: %v", got, s.Counters.Failed.Load(), s.remembers)
		}
		long, _, err := OpenRelayed(netip.MustParseAddrPort("11.22.33.1:0"))
		if err != nil {
			return err
		}
		defer unix.Close(long)
		s = NewSender(new(Counters))
		for range 10 {
			s.Add(Outgoing{FD: long, To: netip.MustParseAddrPort("11.22.33.9:9"), Size: 1200}, make([]byte, 1200))
		}
		s.Flush()
		wantCounts(t, s, map[int][2]uint64{0: {10, 12000}}, 0, 0, 0)
		if !s.remembers {
			t.Error("the sender does not remember that segments are too long")
		}
		return nil
	})
}

// inNamespace calls fn on a thread with a network of its own, which ends with it, or skips the test.
func inNamespace(t *testing.T, fn func() error) {
	t.Helper()
	why := make(chan string, 1)
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // without unlocking: the thread ends with the goroutine
		if _, err := exec.LookPath("ip"); err != nil {
			why <- "needs ip(8), to make interfaces"
		} else if unix.Unshare(unix.CLONE_NEWNET) != nil {
			why <- "needs root, to make a network namespace"
		} else {
			done <- fn()
		}
	}()
	select {
	case reason := <-why:
		if os.Getenv("CI") != "" {
			t.Fatal(reason + ", and CI must not skip this test")
		}
		t.Skip(reason)
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	}
}
