package rtclink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/pion/webrtc/v4"
)

const (
	// maxDatagram goes into one packet: SCTP's 1,191 bytes without its headers. Parts of a longer one would be lost together.
	maxDatagram = 1191 - 12 - 16
	// A datagram is dropped while so many bytes wait to be sent.
	maxDatagramBacklog = 64 << 10
)

var errNoDatagrams = errors.New("the other side takes no datagrams")

// SendDatagram sends one datagram. It is lost while there is no connection.
func (l *Link) SendDatagram(p []byte) error {
	if len(p) > maxDatagram {
		return fmt.Errorf("a datagram of %d bytes is longer than %d, which is what a packet takes", len(p), maxDatagram)
	}
	l.mu.Lock()
	c := l.up
	l.mu.Unlock()
	if isClosed(l.done) {
		return net.ErrClosed
	}
	if c == nil {
		return nil
	}
	return c.sendDatagram(p)
}

// ReceiveDatagram returns the next datagram.
func (l *Link) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	select {
	case p := <-l.datagrams:
		return p, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (c *carrier) sendDatagram(p []byte) error {
	raw, err := c.datagramChannel()
	if err != nil || raw.BufferedAmount() > maxDatagramBacklog {
		return err
	}
	if _, err := raw.WriteDataChannel(p, false); err != nil && !c.isOver() {
		return fmt.Errorf("%w: %w", errNoDatagrams, err)
	}
	return nil
}

// datagramChannel returns the channel that we send on: our own. The other side sends on one of its own.
func (c *carrier) datagramChannel() (rawChannel, error) {
	c.mu.Lock()
	raw := c.datagram
	c.mu.Unlock()
	if raw != nil {
		return raw, nil
	}
	ordered, never := false, uint16(0)
	if err := c.book(); err != nil {
		return nil, err
	}
	d, err := c.pc.CreateDataChannel(datagramsLabel, &webrtc.DataChannelInit{Ordered: &ordered, MaxRetransmits: &never})
	if err == nil {
		raw, err = detach(d)
	}
	if err != nil {
		c.unbook()
		return nil, fmt.Errorf("open the channel of datagrams: %w", err)
	}
	c.mu.Lock()
	former := c.datagram
	if former == nil {
		c.datagram = raw
	}
	c.mu.Unlock()
	c.readDatagrams(raw)
	if former != nil { // Somebody else was faster.
		_ = raw.Close()
		return former, nil
	}
	return raw, nil
}

// readDatagrams reads a booked channel to its end.
func (c *carrier) readDatagrams(raw rawChannel) {
	c.spawn(func() {
		defer raw.Close()
		buffer := make([]byte, maxMessage)
		for {
			n, isText, err := raw.ReadDataChannel(buffer)
			if errors.Is(err, io.ErrShortBuffer) {
				c.abandon("a datagram is longer than any message may be")
			}
			if err != nil {
				return
			}
			if isText {
				continue
			}
			select {
			case c.link.datagrams <- append([]byte(nil), buffer[:n]...):
			default: // The program is too slow.
			}
		}
	})
}
