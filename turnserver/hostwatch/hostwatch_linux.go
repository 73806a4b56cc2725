package hostwatch

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// settleTime is the pause after a change, as changes come in swarms.
const settleTime = 100 * time.Millisecond

// New begins to listen. failed is told why the watcher ends, if that is not because of Close; it is called once at most,
// from another goroutine.
func New(failed func(error)) (*Watcher, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	groups := &unix.SockaddrNetlink{Family: unix.AF_NETLINK,
		Groups: unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE}
	if err := unix.Bind(fd, groups); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	events := os.NewFile(uintptr(fd), "netlink")
	w := &Watcher{changed: make(chan struct{}, 1), stop: func() { _ = events.Close() }}
	w.done.Go(func() {
		if err := w.listen(events); !errors.Is(err, os.ErrClosed) {
			_ = events.Close()
			failed(fmt.Errorf("listen to the kernel's news of addresses: %w", err))
		}
	})
	return w, nil
}

// listen tells of changes, once they have settled, until reading fails.
func (w *Watcher) listen(events *os.File) error {
	buf := make([]byte, 1<<16)
	settling := false
	for {
		_, err := events.Read(buf)
		switch {
		case err == nil || errors.Is(err, unix.ENOBUFS): // ENOBUFS: more changes than the socket holds
			if !settling {
				settling = true
				_ = events.SetReadDeadline(time.Now().Add(settleTime))
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
			settling = false
			_ = events.SetReadDeadline(time.Time{})
			w.tell()
		default:
			return err
		}
	}
}
