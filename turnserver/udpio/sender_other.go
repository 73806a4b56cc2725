//go:build !linux

package udpio

// Sender has nothing to gather: every socket here sends at once.
type Sender struct{ Results Results }

// NewSender makes a sender.
func NewSender() *Sender { return new(Sender) }

// Flush does nothing.
func (*Sender) Flush() {}
