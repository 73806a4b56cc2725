package client

import (
	"context"
	"time"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/client/internal/signaling"
)

// With is what tests put into a session.
type With struct {
	QUIC, WebRTC func(link.Config) (link.Link, error)
	Dial         signaling.Dial
	Random       func() float64
	Watch        func(ctx context.Context, changed func())
}

// DialWith is Dial, made of other things.
func DialWith(ctx context.Context, c Config, w With) (*Session, error) {
	return dial(ctx, c, setup{quic: w.QUIC, webrtc: w.WebRTC, dial: w.Dial, random: w.Random, watch: w.Watch})
}

// Age makes a code's ticket so much older.
func Age(c *Code, by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renewed = c.renewed.Add(-by)
}
