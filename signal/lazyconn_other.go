//go:build !unix

package signal

import "errors"

// canReadRaw: elsewhere a read of a socket is no single call that says at once whether there is anything.
const canReadRaw = false

func (c *lazyConn) fill() error { return errors.ErrUnsupported }
