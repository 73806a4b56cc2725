//go:build !linux

package signalload

import (
	"context"
	"errors"
)

// Generator needs Linux's epoll and receive time stamps. Without them, a load would measure the loader.
type Generator struct{}

// Open always returns an error.
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
