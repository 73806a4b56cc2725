package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"example.org/turnpike/client"
)

// A ping is a datagram to a peer, which the command that runs there answers: pingWord and a token of 8 bytes, then pongWord and the
// same token.
const (
	pingWord  = "ping"
	pongWord  = "pong"
	tokenSize = 8
)

const (
	// maxPings bounds the round trips that a command keeps for its last line.
	maxPings = 1 << 20

	// untilDirectPings is how many pings --until-direct sends without -c. Peers that can reach each other directly do so
	// in a few seconds.
	untilDirectPings = 30

	// lostAfter is when a ping counts as lost.
	lostAfter = 3 * time.Second
)

// webRTC is the transport of a path to a browser.
const webRTC = "webrtc"

// pingOrder says how a peer shall be pinged. A count of zero is no end.
type pingOrder struct {
	count       int
	interval    time.Duration
	untilDirect bool
}

func (p *program) ping(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("ping", flag.ContinueOnError)
	var flags peerFlags
	flags.register(fs)
	var order pingOrder
	fs.IntVar(&order.count, "c", 0, "")
	fs.DurationVar(&order.interval, "interval", time.Second, "")
	fs.BoolVar(&order.untilDirect, "until-direct", false, "")
	rest, err := parseFlags(fs, args, 1)
	if err != nil {
		return err
	}
	switch {
	case order.count < 0 || order.count > maxPings:
		return &usageError{"ping", fmt.Errorf("-c %d is not from 0 to %d", order.count, maxPings)}
	case order.interval < 10*time.Millisecond:
		return &usageError{"ping", fmt.Errorf("--interval %v is shorter than 10ms", order.interval)}
	case len(rest) == 0 && (order.untilDirect || order.count > 0):
		return &usageError{"ping", errors.New("name a peer; without one, this command only answers pings")}
	case order.untilDirect && order.count == 0:
		order.count = untilDirectPings
	}
	v, err := p.visit(ctx, "ping", &flags)
	if err != nil {
		return err
	}
	defer v.leave()
	if len(rest) == 0 {
		v.status.print("answers pings as %s in the room %s", v.name, v.room.ID())
		v.refuseAll("this command only answers pings")
		if err := v.answerPings(ctx, nil); ctx.Err() == nil {
			return v.because(err)
		}
		return nil // Ctrl-C
	}
	v.refuseAll("this command only sends pings")
	peer, err := v.connect(ctx, rest[0], flags.wait)
	if err != nil {
		return err
	}
	g := &pinger{peer: peer, order: order, sent: map[uint64]time.Time{}, pongs: make(chan uint64, 16)}
	g.print = func(line string) { _ = writeLine(p.stdout, harmless(line)) }
	go func() { _ = v.answerPings(ctx, g) }() // run learns by itself that the peer is gone
	return v.because(g.run(ctx))
}

// answerPings answers the pings of everybody in the room until ctx ends or the room was left, and says why. It takes the answers to its
// own to g, if there is one.
func (v *visit) answerPings(ctx context.Context, g *pinger) error {
	return v.room.EachPeer(ctx, func(peer *client.Peer) {
		for {
			datagram, err := peer.ReceiveDatagram(ctx)
			if err != nil {
				return
			}
			word, token := datagram[:min(len(pingWord), len(datagram))], datagram[min(len(pingWord), len(datagram)):]
			switch {
			case len(token) != tokenSize:
			case bytes.Equal(word, []byte(pingWord)):
				_ = peer.SendDatagram(append([]byte(pongWord), token...)) // a lost answer is a lost ping
			case bytes.Equal(word, []byte(pongWord)) && g != nil && peer == g.peer:
				select {
				case g.pongs <- binary.BigEndian.Uint64(token):
				case <-ctx.Done():
				}
			}
		}
	})
}

// pinger pings one peer.
type pinger struct {
	peer  *client.Peer
	order pingOrder
	print func(line string)
	pongs chan uint64 // the numbers of answered pings

	// owned by run
	number uint64
	sent   map[uint64]time.Time // those without an answer
	trips  []time.Duration
	lost   int
}

func (g *pinger) run(ctx context.Context) error {
	ticks, looks := time.NewTicker(g.order.interval), time.NewTicker(min(g.order.interval, time.Second))
	defer ticks.Stop()
	defer looks.Stop()
	var failure error
	for next := true; !g.over() && ctx.Err() == nil && failure == nil; {
		if next && (g.order.count == 0 || g.number < uint64(g.order.count)) {
			g.ping()
		}
		select {
		case number := <-g.pongs:
			g.pong(number)
			next = false
		case <-looks.C: // the next ping may be hours away
			g.giveUp()
			next = false
		case <-ticks.C:
			next = true
		case <-g.peer.Gone():
			failure = &leftError{g.peer.Name() + " has left"}
		case <-ctx.Done():
		}
	}
	g.print(g.summary())
	switch path, ok := g.peer.Path(); {
	case failure != nil:
		return failure
	case g.order.untilDirect && (!ok || path.Relayed):
		return errReported
	case len(g.trips) == 0:
		return errReported
	}
	return nil
}

// over reports whether the order is carried out.
func (g *pinger) over() bool {
	if g.order.untilDirect && len(g.trips) > 0 {
		if path, ok := g.peer.Path(); ok && !path.Relayed {
			return true
		}
	}
	return g.order.count > 0 && len(g.trips)+g.lost >= g.order.count || len(g.trips) >= maxPings
}

// ping sends one, or asks for the round-trip time of a path to a browser, which answers no pings.
func (g *pinger) ping() {
	g.number++
	if path, ok := g.peer.Path(); ok && path.Transport == webRTC {
		g.answered(path.RTT)
		return
	}
	g.sent[g.number] = time.Now()
	_ = g.peer.SendDatagram(binary.BigEndian.AppendUint64([]byte(pingWord), g.number)) // without a path it is lost, as on the way
}

func (g *pinger) pong(number uint64) {
	if at, ok := g.sent[number]; ok {
		delete(g.sent, number)
		g.answered(time.Since(at))
	}
}

func (g *pinger) answered(trip time.Duration) {
	g.trips = append(g.trips, trip)
	path, _ := g.peer.Path()
	path.RTT = trip
	g.print(fmt.Sprintf("pong from %s: %v", g.peer.Name(), path))
}

// giveUp counts the pings that have waited too long.
func (g *pinger) giveUp() {
	for number, at := range g.sent {
		if time.Since(at) > lostAfter {
			delete(g.sent, number)
			g.lost++
			g.print(fmt.Sprintf("no answer from %s within %v", g.peer.Name(), lostAfter))
		}
	}
}

func (g *pinger) summary() string {
	text := fmt.Sprintf("pings: %d; answered: %d", g.number, len(g.trips))
	if len(g.trips) == 0 {
		return text
	}
	slices.Sort(g.trips)
	return fmt.Sprintf("%s; least %v, median %v, most %v", text, tenths(g.trips[0]), tenths(g.trips[len(g.trips)/2]), tenths(g.trips[len(g.trips)-1]))
}

// tenths rounds to tenths of a millisecond.
func tenths(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
