//go:build !linux

package turnload

import (
	"context"
	"errors"
)

// Generator needs sendmmsg, recvmmsg and receive time stamps as Linux has them. Without these, a load would measure the
// loader.
type Generator struct{}

// Open fails on these systems.
func Open(context.Context, Config) (*Generator, error) {
	return nil, errors.New("turnpike bench runs on Linux only; the server that it loads may be anywhere")
}

// Setup is never reached.
func (*Generator) Setup() Setup { return Setup{} }

// Run is never reached.
func (*Generator) Run(context.Context, Load) (*Result, error) { return nil, nil }

// Max is never reached.
func (*Generator) Max(context.Context, Load, func(*Result)) (Maximum, error) { return Maximum{}, nil }

// Close does nothing.
func (*Generator) Close() {}
