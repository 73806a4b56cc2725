//go:build !linux

package socket

import (
	"errors"
	"net"
	"sync"
)

// Without epoll each socket has a goroutine that reads.

type (
	pollers struct{}
	poller  struct{}
)

func (*pollers) adopt(net.Conn, *sync.Pool) (*polledConn, error) { return nil, errors.ErrUnsupported }
func (*pollers) close()                                          {}
func (*poller) forget(*polledConn)                               {}

func readNow(int, []byte) (int, error)  { return 0, errors.ErrUnsupported }
func writeNow(int, []byte) (int, error) { return 0, errors.ErrUnsupported }
