package udpio

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSteer: each kind of message comes to its row, and all of a client to one place. Clients share all places.
func TestSteer(t *testing.T) {
	const n = 3
	messages := []struct {
		data string
		row  int
	}{
		{"\x40\x00\x00\x00", 0}, {"\x4f\xff\x00\x01x", 0}, {"\x7f\xff\x00\x00", 0}, {"\x00\x16\x00\x00", 0}, // ChannelData and Send
		{"\x00\x04\x00\x00", 1}, {"\x00\x08\x00\x00", 1}, {"\x00\x09\x00\x00", 1},
		{"\x00\x01\x00\x00", 2}, {"\x00\x03\x00\x00", 2}, {"\x00\x11\x00\x00", 2}, {"\x01\x16\x00\x00", 2},
		{"\x3f\xff\x00\x00", 2}, {"\x80\x00\x00\x00", 2}, {"\xff\xff", 2},
	}
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) {
			addr, is4 := netip.AddrPortFrom(netip.MustParseAddr(ip), 0), netip.MustParseAddr(ip).Is4()
			var fds [3 * n]int
			for i := range fds {
				fd, _, err := OpenShared(addr, false)
				if err != nil {
					if is4 || os.Getenv("CI") != "" {
						t.Fatal(err)
					}
					t.Skip("this host has no IPv6: ", err)
				}
				defer unix.Close(fd)
				if fds[i] = fd; i == 0 {
					if addr, err = BoundTo(fd); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := Steer(fds[0], is4, n, 0x9E3779B9); err != nil {
				t.Fatal(err)
			}
			r, clients := newTestReader(), map[int]int{}
			for range 60 {
				conn, err := net.Dial("udp", addr.String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				place := -1
				for _, m := range messages {
					if _, err := conn.Write([]byte(m.data)); err != nil {
						t.Fatal(err)
					}
					at := arrival(t, r, fds[:], m.data)
					if at/n != m.row {
						t.Errorf("% x came to socket %d", m.data, at)
					}
					if place >= 0 && place != at%n {
						t.Fatalf("a client's messages come to places %d and %d", place, at%n)
					}
					place = at % n
				}
				clients[place]++
			}
			if len(clients) != n {
				t.Errorf("clients share %d of %d places", len(clients), n)
			}
			for _, short := range []string{"", "\x40"} {
				conn, err := net.Dial("udp", addr.String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := conn.Write([]byte(short)); err != nil {
					t.Fatal(err)
				}
				arrival(t, r, fds[:], short)
			}
		})
	}
}

// arrival waits for a datagram and returns the index of the socket that it came to.
func arrival(t *testing.T, r *Reader, fds []int, data string) int {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		for i, fd := range fds {
			if got, _ := r.Read(fd); got == 1 {
				if string(r.Data(0)) != data {
					t.Fatalf("% x came, want % x", r.Data(0), data)
				}
				return i
			}
		}
	}
	t.Fatalf("% x did not come", data)
	return 0
}
