package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/client"
	"example.org/turnpike/internal/machine"
)

// Bounds of what room mates can have a command keep and do.
const (
	maxVerdicts   = 1024
	maxExchanges  = 64
	maxReachTries = 3

	judgeTime = 8 * time.Second // less than the other side waits for the end of an exchange
)

// proveFirst is the refusal of a stream whose peer must first say which machine it is.
const proveFirst = "prove first that you are "

// trust is what a visit knows of the machines that it has met. The server vouches for a machine's key once. From then on its name stands
// for that key, whatever the server says.
//
//	recognize ── stream "machine" ──▶ the peer's answer      before this side opens a stream
//	answer ◀── stream "machine" ── the peer's recognize      before this side takes one
//	   └── judge: pinned? vouched for? ── verdict, by the certificate of the connection
type trust struct {
	server string
	me     *machine.Machine // nil: this side is no machine
	known  *machine.Known   // nil: this user has no folder for it
	places chan struct{}    // taken by exchanges that others have begun

	mu sync.Mutex
	// Guarded by mu.
	verdicts map[[32]byte]verdict      // by the certificate of the other side
	certs    map[*client.Peer][32]byte // of peers that were recognized
}

// verdict is what was found out about the other end of a connection.
type verdict struct {
	name string // of the machine that it has proved to be, with the key that is known; empty: of none
	err  error  // why it is not the machine that it says
}

func newTrust(p *program, a access) *trust {
	t := &trust{
		server: a.base, me: a.machine, places: make(chan struct{}, maxExchanges), verdicts: map[[32]byte]verdict{}, certs: map[*client.Peer][32]byte{},
	}
	if dir, err := p.userConfigDir(); err == nil {
		t.known = machine.OpenKnown(dir, a.base)
	}
	return t
}

// claimedName is the name of the machine that a peer would have to be: by the server's word, or by the name that it shows.
func claimedName(peer *client.Peer) string {
	if name, ok := strings.CutPrefix(peer.User(), auth.MachineIssuer+":"); ok {
		return name
	}
	_, canonical, _ := auth.CleanName(peer.Name())
	return canonical
}

// needsProof reports whether a peer must prove a key: one is known for its name, or both sides are machines.
func (t *trust) needsProof(peer *client.Peer) (bool, error) {
	if t.known == nil {
		return false, nil
	}
	name := claimedName(peer)
	err := t.known.Check(name, nil)
	if _, pinned := errors.AsType[*machine.ChangedError](err); pinned {
		return true, nil
	}
	if err != nil && !errors.Is(err, machine.ErrUnknown) {
		return false, err
	}
	return t.me != nil && peer.User() == auth.MachineIssuer+":"+name, nil
}

// judge compares what a peer has proved with what is known, and asks the server about a machine that is new.
func (t *trust) judge(ctx context.Context, name string, proven machine.Proven) error {
	if t.known == nil {
		return machine.ErrUnknown
	}
	if proven.IsMachine() && proven.Name != name {
		return fmt.Errorf("%s proves to be another machine, %s", name, proven.Name)
	}
	err := t.known.Check(name, proven.Key)
	switch {
	case !errors.Is(err, machine.ErrUnknown):
		return err
	case !proven.IsMachine():
		return fmt.Errorf("%s proves no key, and %s says that it is a machine", name, t.server)
	case t.me == nil:
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, judgeTime)
	defer cancel()
	key, err := t.me.Vouch(ctx, name)
	switch {
	case errors.Is(err, machine.ErrUnknown):
		return fmt.Errorf("%s vouches for no machine %s", t.server, name)
	case err != nil:
		return err
	case !key.Equal(proven.Key):
		return fmt.Errorf("%s has another key than the one that %s vouches for: another machine may stand in its place", name, t.server)
	}
	return t.known.Pin(name, key)
}

// note keeps a verdict. Beyond the bound others are forgotten: they prove themselves again.
func (t *trust) note(cert [32]byte, v verdict) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for other := range t.verdicts {
		if len(t.verdicts) < maxVerdicts {
			break
		}
		delete(t.verdicts, other)
	}
	t.verdicts[cert] = v
}

func (t *trust) verdictOf(cert [32]byte) (verdict, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, found := t.verdicts[cert]
	return v, found
}

// prove exchanges proofs with a peer on a stream of their own. From then on every stream whose certificate is cert comes from the same
// other side.
func (v *visit) prove(ctx context.Context, peer *client.Peer) (proven machine.Proven, cert [32]byte, err error) {
	conn, err := peer.Open(ctx, machine.StreamName)
	if err != nil {
		return machine.Proven{}, cert, err
	}
	proven, err = machine.Exchange(ctx, conn, machine.Opener, v.trust.me)
	if err != nil {
		conn.Reset()
		return machine.Proven{}, cert, err
	}
	_ = conn.Close() // the other side may have closed it already: all has been said
	return proven, conn.PeerCertificate(), nil
}

// recognize makes sure that a peer is the machine whose name it has, where that can be known. bound: streams to it must have this
// certificate.
func (v *visit) recognize(ctx context.Context, peer *client.Peer) (cert [32]byte, bound bool, err error) {
	t := v.trust
	if needed, err := t.needsProof(peer); !needed || err != nil {
		return cert, false, err
	}
	t.mu.Lock()
	maps.DeleteFunc(t.certs, func(peer *client.Peer, _ [32]byte) bool { return isClosed(peer.Gone()) })
	cert, bound = t.certs[peer]
	t.mu.Unlock()
	if bound {
		return cert, true, nil
	}
	proven, cert, err := v.prove(ctx, peer)
	name := claimedName(peer)
	if _, silent := errors.AsType[*machine.RefusedError](err); silent {
		proven, err = machine.Proven{}, nil
	}
	if err != nil {
		return cert, false, fmt.Errorf("%s: %w", name, err)
	}
	wasKnown := t.known.Check(name, proven.Key) == nil
	if err := t.judge(ctx, name, proven); err != nil {
		return cert, false, err
	}
	if !wasKnown {
		v.status.print("%s is known from now on by its key %s, which %s vouches for", name, auth.EncodeMachineKey(proven.Key), t.server)
	}
	t.note(cert, verdict{name: name})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.certs[peer] = cert
	return cert, true, nil
}

// open opens a stream to a peer that recognize finds nothing against.
func (v *visit) open(ctx context.Context, peer *client.Peer, stream string) (*client.Conn, error) {
	for range maxReachTries {
		cert, bound, err := v.recognize(ctx, peer)
		if err != nil {
			return nil, err
		}
		conn, err := peer.Open(ctx, stream)
		if err != nil || !bound || conn.PeerCertificate() == cert {
			return conn, err
		}
		conn.Reset() // the other side has begun anew since
		v.trust.mu.Lock()
		delete(v.trust.certs, peer)
		v.trust.mu.Unlock()
	}
	return nil, fmt.Errorf("%s begins anew again and again", peer.Name())
}

// reach opens a stream to a peer of that name, and returns it once the other side has taken it. Several commands of a machine may be in
// the room: it tries each until one takes the stream.
func (v *visit) reach(ctx context.Context, name string, wait time.Duration, stream string) (conn *client.Conn, err error) {
	err = v.seek(ctx, name, wait, func(ctx context.Context, peer *client.Peer) error {
		conn, err = v.openAccepted(ctx, peer, stream)
		if e, ok := errors.AsType[*refusedError](err); ok && v.trust.me != nil && strings.HasPrefix(e.why, proveFirst) { // it knows us as a machine, and is none
			if _, _, err := v.prove(ctx, peer); err != nil {
				return fmt.Errorf("%s: %w", peer.Name(), err)
			}
			conn, err = v.openAccepted(ctx, peer, stream)
		}
		return err
	})
	if err != nil {
		return nil, cutShort(ctx, err)
	}
	return conn, nil
}

// openAccepted opens a stream, and waits until the other side has taken it.
func (v *visit) openAccepted(ctx context.Context, peer *client.Peer, stream string) (*client.Conn, error) {
	conn, err := v.open(ctx, peer, stream)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	err = accepted(conn)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Reset()
		return nil, err
	}
	return conn, nil
}

// connect waits for a peer of that name and for a path to it, at most as long as wait says for each, and makes sure that it is the machine
// that is known by the name.
func (v *visit) connect(ctx context.Context, name string, wait time.Duration) (found *client.Peer, err error) {
	err = v.seek(ctx, name, wait, func(ctx context.Context, peer *client.Peer) error {
		_, _, err := v.recognize(ctx, peer)
		found = peer
		return err
	})
	if err != nil {
		return nil, cutShort(ctx, err)
	}
	return found, nil
}

// seek waits for a peer of that name, at most as long as wait says, and for a path to it, likewise. Then it calls try for it, and while that
// fails for the others that have the name. It returns why the first has failed.
func (v *visit) seek(ctx context.Context, name string, wait time.Duration, try func(context.Context, *client.Peer) error) error {
	tried := map[*client.Peer]bool{}
	finding, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	next, err := v.room.WaitPeer(finding, func(peer *client.Peer) bool { return hasName(peer, name) })
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = v.nobody(name, wait)
		}
		return cutShort(ctx, err)
	}
	var first error
	for next != nil {
		tried[next] = true
		patience := wait
		if v.nextOf(name, tried) != nil { // somebody else may answer at once
			patience = min(wait, 5*time.Second)
		}
		err := v.tryPeer(ctx, next, patience, try)
		if err == nil || ctx.Err() != nil {
			return cutShort(ctx, err)
		}
		if _, changed := errors.AsType[*machine.ChangedError](err); changed {
			return err
		}
		if first == nil {
			first = err
		}
		next = v.nextOf(name, tried)
	}
	return first
}

func (v *visit) tryPeer(ctx context.Context, peer *client.Peer, wait time.Duration, try func(context.Context, *client.Peer) error) error {
	v.status.watch(peer)
	connecting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if _, err := peer.Connected(connecting); err != nil {
		return fmt.Errorf("no path to %s within %v: %w", peer.Name(), wait, err)
	}
	return try(ctx, peer)
}

// nextOf returns a peer of that name that was not tried yet, rather one that the server can reach; nil: there is none.
func (v *visit) nextOf(name string, tried map[*client.Peer]bool) *client.Peer {
	left := slices.DeleteFunc(v.room.Peers(), func(peer *client.Peer) bool { return tried[peer] || !hasName(peer, name) })
	if len(left) == 0 {
		return nil
	}
	return left[max(0, slices.IndexFunc(left, func(peer *client.Peer) bool { return !peer.Away() }))]
}

// hasName reports whether PEER means a peer. The server may have put a number behind a machine's name.
func hasName(peer *client.Peer, name string) bool {
	return sameName(peer.Name(), name) || peer.ID() == name || peer.User() == auth.MachineIssuer+":"+name
}

// answer takes a stream by which a peer proves who it is, and asks who we are.
func (v *visit) answer(conn *client.Conn) {
	t := v.trust
	select {
	case t.places <- struct{}{}:
	default:
		conn.Reset()
		return
	}
	v.refusing.Go(func() {
		defer func() { <-t.places }()
		proven, err := machine.Exchange(v.stay, conn, machine.Accepter, t.me)
		if err != nil {
			conn.Reset()
			return
		}
		name := claimedName(conn.Peer())
		found := verdict{}
		if proven.IsMachine() {
			if found.err = t.judge(v.stay, name, proven); found.err == nil {
				found.name = name
			}
		}
		t.note(conn.PeerCertificate(), found)
		_ = conn.Close()
	})
}

// trusted returns the name of the machine that the other side of an accepted stream has proved to be, by the key that is known.
func (v *visit) trusted(conn *client.Conn) (name string, ok bool) {
	found, _ := v.trust.verdictOf(conn.PeerCertificate())
	return found.name, found.name != ""
}

// distrust says why a stream is not taken, before anybody looks at what it is for: its peer has the name of a machine that it has not
// proved to be.
func (v *visit) distrust(conn *client.Conn) (why string) {
	needed, err := v.trust.needsProof(conn.Peer())
	if err != nil {
		v.status.print("%v", err)
		return "this side cannot read which machines it knows"
	}
	if !needed {
		return ""
	}
	name := claimedName(conn.Peer())
	if proved, ok := v.trusted(conn); ok && proved == name {
		return ""
	}
	found, asked := v.trust.verdictOf(conn.PeerCertificate())
	switch {
	case !asked:
		return proveFirst + name
	case found.err != nil:
		v.status.print("refused %s: %v", name, found.err)
	default:
		v.status.print("refused %s: it proves no key", name)
	}
	return "this side knows " + name + " by another key"
}
