//go:build !linux

package signalload

import (
	"context"
	"errors"
	"time"

	"example.org/turnpike/internal/turnload"
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

// Returned is what no generator measures here.
type Returned struct {
	Took    time.Duration
	Resumed int
	Tries   int
	Login   turnload.Histogram
}

// Return is never reached.
func (*Generator) Return(context.Context) (*Returned, error) { return nil, nil }

// Close does nothing.
func (*Generator) Close() {}
