//go:build !unix

package signal

import "errors"

// canReadRaw: elsewhere a read of a socket is no single call that says at once whether there is anything.
const canReadRaw = false

func (c *lazyConn) fill() error { return errors.ErrUnsupported }

func (c *lazyConn) writeAtOnce([]byte) (int, error) { return 0, errors.ErrUnsupported }

func (c *lazyConn) readRaw(uintptr) bool  { return true }
func (c *lazyConn) peekRaw(uintptr) bool  { return true }
func (c *lazyConn) writeRaw(uintptr) bool { return true }
