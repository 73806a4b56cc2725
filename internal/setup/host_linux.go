package setup

import (
	"bufio"
	"context"
	"fmt"
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
		out = append(out, fmt.Sprintf("%s by %s", name, r.Gw))
	}
	return out
}

// freeSpace returns how much an unprivileged user may still write.
func freeSpace(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}

// Holder implements Machine: the inode of the socket is in /proc/net, and the process has it open.
func (Host) Holder(_ context.Context, network, addr string) string {
	port, err := portOf(addr)
	if err != nil {
		return ""
	}
	var inodes []string
	for _, table := range []string{network[:3], network[:3] + "6"} {
		inodes = append(inodes, socketsOn("/proc/net/"+table, port, network[:3] == "tcp")...)
	}
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
	return "a process that this user may not see"
}

func portOf(addr string) (uint16, error) {
	i := strings.LastIndexByte(addr, ':')
	n, err := strconv.ParseUint(addr[i+1:], 10, 16)
	return uint16(n), err
}

// socketsOn lists the inodes of the sockets that listen on a port.
func socketsOn(table string, port uint16, tcp bool) (inodes []string) {
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer f.Close()
	const listening, unconnected = "0A", "07"
	state := unconnected
	if tcp {
		state = listening
	}
	suffix := fmt.Sprintf(":%04X", port)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && strings.HasSuffix(fields[1], suffix) && fields[3] == state {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes
}
