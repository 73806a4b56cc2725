package client

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// settle is the pause after a change, as changes come in swarms.
const settle = 100 * time.Millisecond

// networkNews tells of changes as the kernel does. The Go channel is nil if the kernel lets nobody listen, and closed when it
// tells no more. stop must be called, and waits.
func networkNews(ctx context.Context) (news <-chan struct{}, stop func()) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, func() {}
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK |
		unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE})
	if err != nil {
		_ = unix.Close(fd)
		return nil, func() {}
	}
	socket := os.NewFile(uintptr(fd), "netlink")
	told := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(told)
		for untilSettled(socket) == nil {
			select {
			case told <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	})
	return told, func() {
		_ = socket.Close()
		reader.Wait()
	}
}

// untilSettled waits for a change, and for those that come with it.
func untilSettled(socket *os.File) error {
	buf := make([]byte, 1<<16)
	if err := socket.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	for settling := false; ; {
		_, err := socket.Read(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil && !errors.Is(err, unix.ENOBUFS): // ENOBUFS: more changes than the socket holds
			return err
		case !settling:
			settling = true
			if err := socket.SetReadDeadline(time.Now().Add(settle)); err != nil {
				return err
			}
		}
	}
}
