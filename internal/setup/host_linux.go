package setup

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// DefaultRoutes implements Machine.
func (Host) DefaultRoutes() (out []string) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil
	}
	for _, r := range routes {
		if r.Dst != nil && !r.Dst.IP.IsUnspecified() || r.Table != unix.RT_TABLE_MAIN {
			continue
		}
		name := strconv.Itoa(r.LinkIndex)
		if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
			name = link.Attrs().Name
		}
		out = append(out, routeText(name, r.Gw))
	}
	return out
}

// routeText names a route. One to a link without a gateway, as on a tunnel, has none.
func routeText(device string, gateway net.IP) string {
	if len(gateway) == 0 {
		return device
	}
	return device + " by " + gateway.String()
}

// mayWrite asks whether this process may make a file in a directory.
func mayWrite(dir string) error {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}

// freeSpace returns how much an unprivileged user may still write: nothing without a free inode.
func freeSpace(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	if s.Files > 0 && s.Ffree == 0 {
		return 0, nil
	}
	return s.Bavail * uint64(s.Bsize), nil
}

// looksFree is Listen without a socket: it goes by the sockets that are there.
func (Host) looksFree(network, addr string) error {
	ap, err := parseListen(network, addr)
	if err != nil {
		return err
	}
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil && strings.HasSuffix(network, "6") {
		return unix.EAFNOSUPPORT
	}
	if len(socketsOn(network[:3], ap)) > 0 {
		return unix.EADDRINUSE
	}
	return nil
}

// Holder implements Machine: the inode of the socket is in /proc/net, and the process has it open.
func (Host) Holder(_ context.Context, network, addr string) string {
	ap, err := parseListen(network, addr)
	if err != nil {
		return ""
	}
	inodes := socketsOn(network[:3], ap)
	if len(inodes) == 0 {
		return ""
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		target, err := os.Readlink(link)
		inode, isSocket := strings.CutPrefix(target, "socket:[")
		if err != nil || !isSocket || !slices.Contains(inodes, strings.TrimSuffix(inode, "]")) {
			continue
		}
		pid := strings.Split(link, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			continue
		}
		return strings.TrimSpace(string(name)) + " (process " + pid + ")"
	}
	return unseen
}

// parseListen reads an address as net.Listen takes it. Without a host it is every address of both families.
func parseListen(network, addr string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ip := netip.IPv6Unspecified()
	if host != "" {
		if ip, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, err
		}
	} else if strings.HasSuffix(network, "4") {
		ip = netip.IPv4Unspecified()
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), nil
}

// socketsOn lists the inodes of the sockets that wait for strangers where addr would: at that port of the same address, or of every one.
func socketsOn(protocol string, addr netip.AddrPort) (inodes []string) {
	for _, table := range []string{protocol, protocol + "6"} {
		text, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if there, inode, ok := waitingSocket(line, protocol == "tcp"); ok && collide(there, addr) {
				inodes = append(inodes, inode)
			}
		}
	}
	return inodes
}

func collide(a, b netip.AddrPort) bool {
	if a.Port() != b.Port() {
		return false
	}
	six := netip.IPv6Unspecified() // takes IPv4, too, unless its socket says otherwise, which the table does not show
	return a.Addr() == b.Addr() || a.Addr() == six || b.Addr() == six ||
		a.Addr().Is4() == b.Addr().Is4() && (a.Addr().IsUnspecified() || b.Addr().IsUnspecified())
}

// waitingSocket reads a line of /proc/net/tcp, udp, tcp6 or udp6. ok is false if nobody waits there.
func waitingSocket(line string, tcp bool) (addr netip.AddrPort, inode string, ok bool) {
	const listening, unconnected = "0A", "07"
	state := unconnected
	if tcp {
		state = listening
	}
	fields := strings.Fields(line)
	if len(fields) < 10 || fields[3] != state {
		return addr, "", false
	}
	text, port, _ := strings.Cut(fields[1], ":")
	raw, err := hex.DecodeString(text)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(raw)%4 != 0 {
		return addr, "", false
	}
	for word := range slices.Chunk(raw, 4) { // each in the order of this processor's bytes
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), fields[9], ok
}
