package turnserver

import "net/netip"

// ListenError is what Start returns if it cannot open a listener.
type ListenError struct {
	Listener Listener
	Err      error
}

func (e *ListenError) Error() string {
	return "listen on " + e.Listener.String() + ": " + e.Err.Error()
}
func (e *ListenError) Unwrap() error { return e.Err }

// RelayAddressError is what Start returns if it cannot open a port of a relay address.
type RelayAddressError struct {
	Local netip.Addr
	Err   error
}

func (e *RelayAddressError) Error() string {
	return "relay address " + e.Local.String() + ": " + e.Err.Error()
}
func (e *RelayAddressError) Unwrap() error { return e.Err }

// OffloadError is what Start returns if the kernel does not forward, though Config.Offload requires it.
type OffloadError struct{ Err error }

func (e *OffloadError) Error() string { return "offload: " + e.Err.Error() }
func (e *OffloadError) Unwrap() error { return e.Err }
