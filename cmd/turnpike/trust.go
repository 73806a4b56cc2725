package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/client"
	"example.org/turnpike/internal/machine"
)

// Bounds of what room mates can have a command keep and do.
const (
	maxVerdicts       = 1024
	maxExchanges      = 64
	maxExchangesOfOne = 4
	maxReachTries     = 3

	vouchPause = 5 * time.Second // for so long an answer of the server about one machine counts

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

	mu sync.Mutex
	// Guarded by mu.
	verdicts   map[[32]byte]verdict        // by the certificate of the other side
	recognized map[*client.Peer]recognized // peers that have proved to be what was looked for
	exchanges  map[*client.Peer]int        // that go on, begun by them
	ongoing    int                         // all of these
	vouched    map[string]vouched          // by the name of the machine
}

// recognized is whom a peer has proved to be, and the certificate of its streams.
type recognized struct {
	name string
	cert [32]byte
}

// vouched is what the server has said of a machine.
type vouched struct {
	key ed25519.PublicKey
	err error
	at  time.Time
}

// identity is the machine that a peer has to be, if it is one.
type identity struct {
	name string
	told bool // the server says that it is this machine
}

// shownPeer is what the server says of a peer. It may say another thing the next moment.
type shownPeer interface {
	ID() string
	User() string
	Name() string
}

// identify says whom a peer has to be: whom the user asked for, because the server may call anybody by that name at any moment. Where the
// user asked for nobody, or for a session, it is whom the server says.
func identify(peer shownPeer, asked string) identity {
	name, isMachine := machineOf(peer)
	if !isMachine {
		_, name, _ = auth.CleanName(peer.Name())
	}
	if asked == "" || asked == peer.ID() {
		return identity{name, isMachine}
	}
	_, wanted, _ := auth.CleanName(asked)
	return identity{wanted, isMachine && name == wanted}
}

// machineOf returns the name of the machine that a peer is, as the server says.
func machineOf(peer shownPeer) (name string, ok bool) {
	return strings.CutPrefix(peer.User(), auth.MachineIssuer+":")
}

// verdict is what was found out about the other end of a connection.
type verdict struct {
	name string // of the machine that it has proved to be, with the key that is known; empty: of none
	err  error  // why it is not the machine that it says
}

func newTrust(p *program, a access) *trust {
	t := &trust{
		server: a.base, me: a.machine, verdicts: map[[32]byte]verdict{},
		recognized: map[*client.Peer]recognized{}, exchanges: map[*client.Peer]int{}, vouched: map[string]vouched{},
	}
	if dir, err := p.userConfigDir(); err == nil {
		t.known = machine.OpenKnown(dir, a.base)
	}
	return t
}

// needsProof reports whether a peer must prove a key: one is known for its name, or both sides are machines.
func (t *trust) needsProof(who identity) (bool, error) {
	if t.known == nil {
		return false, nil
	}
	err := t.known.Check(who.name, nil)
	if _, pinned := errors.AsType[*machine.ChangedError](err); pinned {
		return true, nil
	}
	if err != nil && !errors.Is(err, machine.ErrUnknown) {
		return false, err
	}
	return t.me != nil && who.told, nil
}

// judge compares what a peer has proved with what is known, and asks the server about a machine that is new. isNew: it is known from now
// on.
func (t *trust) judge(ctx context.Context, who identity, proven machine.Proven) (isNew bool, err error) {
	if t.known == nil {
		return false, machine.ErrUnknown
	}
	if proven.IsMachine() && proven.Name != who.name {
		return false, fmt.Errorf("%s proves to be another machine, %s", who.name, proven.Name)
	}
	err = t.known.Check(who.name, proven.Key)
	switch {
	case !errors.Is(err, machine.ErrUnknown):
		return false, err
	case !proven.IsMachine() && who.told:
		return false, fmt.Errorf("%s proves no key, and %s says that it is a machine", who.name, t.server)
	case t.me == nil || !who.told:
		return false, err
	}
	key, err := t.vouch(ctx, who.name)
	switch {
	case errors.Is(err, machine.ErrUnknown):
		return false, fmt.Errorf("%s vouches for no machine %s", t.server, who.name)
	case err != nil:
		return false, &undecidedError{err}
	case !key.Equal(proven.Key):
		return false, fmt.Errorf("%s has another key than the one that %s vouches for: another machine may stand in its place", who.name, t.server)
	}
	err = t.known.Pin(who.name, key)
	if _, changed := errors.AsType[*machine.ChangedError](err); err != nil && !changed {
		return false, &undecidedError{err}
	}
	return err == nil, err
}

// undecidedError is why nobody can judge a peer at this moment. It may prove itself again.
type undecidedError struct{ cause error }

func (e *undecidedError) Error() string { return e.cause.Error() }

func (e *undecidedError) Unwrap() error { return e.cause }

// vouch asks the server for a machine's key. A room mate that proves itself again and again does not make us ask each time.
func (t *trust) vouch(ctx context.Context, name string) (ed25519.PublicKey, error) {
	t.mu.Lock()
	said, found := t.vouched[name]
	t.mu.Unlock()
	if found && time.Since(said.at) < vouchPause {
		return said.key, said.err
	}
	asking, cancel := context.WithTimeout(ctx, judgeTime)
	defer cancel()
	key, err := t.me.Vouch(asking, name)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.vouched, func(_ string, said vouched) bool { return time.Since(said.at) >= vouchPause })
	t.vouched[name] = vouched{key, err, time.Now()}
	return key, err
}

// note keeps a verdict. Beyond the bound others are forgotten: they prove themselves again.
func (t *trust) note(cert [32]byte, v verdict) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.noteLocked(cert, v)
}

// noteLocked is note. The caller holds mu.
func (t *trust) noteLocked(cert [32]byte, v verdict) {
	_, again := t.verdicts[cert]
	for other := range t.verdicts {
		if again || len(t.verdicts) < maxVerdicts {
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

// recognize makes sure that a peer is the machine that the server says, where that can be known. bound: streams to it must have this
// certificate.
func (v *visit) recognize(ctx context.Context, peer *client.Peer) (cert [32]byte, bound bool, err error) {
	return v.recognizeAs(ctx, peer, "")
}

// recognizeAs is recognize for the peer that somebody has asked for.
func (v *visit) recognizeAs(ctx context.Context, peer *client.Peer, asked string) (cert [32]byte, bound bool, err error) {
	t, who := v.trust, identify(peer, asked)
	if needed, err := t.needsProof(who); !needed || err != nil {
		return cert, false, err
	}
	if before, ok := t.before(peer, who.name); ok {
		return before, true, nil
	}
	proven, cert, err := v.prove(ctx, peer)
	if _, silent := errors.AsType[*machine.RefusedError](err); silent {
		proven, err = machine.Proven{}, nil
	}
	if err != nil {
		return cert, false, fmt.Errorf("%s: %w", who.name, err)
	}
	isNew, err := t.judge(ctx, who, proven)
	if err != nil {
		return cert, false, err
	}
	if isNew {
		v.status.print("%s is known from now on by its key %s, which %s vouches for", who.name, auth.EncodeMachineKey(proven.Key), t.server)
	}
	t.note(cert, verdict{name: who.name})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.recognized[peer] = recognized{who.name, cert}
	return cert, true, nil
}

// before returns the certificate of a peer that has proved to be a machine.
func (t *trust) before(peer *client.Peer, name string) (cert [32]byte, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.recognized, func(peer *client.Peer, _ recognized) bool { return isClosed(peer.Gone()) })
	r, found := t.recognized[peer]
	if !found || r.name != name {
		return cert, false
	}
	t.noteLocked(r.cert, verdict{name: name}) // others may have had it forgotten
	return r.cert, true
}

// open opens a stream to a peer that recognize finds nothing against.
func (v *visit) open(ctx context.Context, peer *client.Peer, stream string) (*client.Conn, error) {
	return v.openAs(ctx, peer, "", stream)
}

// openAs is open for the peer that somebody has asked for.
func (v *visit) openAs(ctx context.Context, peer *client.Peer, asked, stream string) (*client.Conn, error) {
	for range maxReachTries {
		cert, bound, err := v.recognizeAs(ctx, peer, asked)
		if err != nil {
			return nil, err
		}
		conn, err := peer.Open(ctx, stream)
		if err != nil || !bound || conn.PeerCertificate() == cert {
			return conn, err
		}
		conn.Reset() // the other side has begun anew since
		v.trust.mu.Lock()
		delete(v.trust.recognized, peer)
		v.trust.mu.Unlock()
	}
	return nil, fmt.Errorf("%s begins anew again and again", peer.Name())
}

// reach opens a stream to a peer of that name, and returns it once the other side has taken it. Several commands of a machine may be in
// the room: it tries each until one takes the stream.
func (v *visit) reach(ctx context.Context, name string, wait time.Duration, stream string) (conn *client.Conn, err error) {
	err = v.seek(ctx, name, wait, func(ctx context.Context, peer *client.Peer) error {
		conn, err = v.openAccepted(ctx, peer, name, stream)
		if e, ok := errors.AsType[*refusedError](err); ok && v.trust.me != nil && strings.HasPrefix(e.why, proveFirst) { // it knows us as a machine, and is none
			if _, _, err := v.prove(ctx, peer); err != nil {
				return fmt.Errorf("%s: %w", peer.Name(), err)
			}
			conn, err = v.openAccepted(ctx, peer, name, stream)
		}
		return err
	})
	if err != nil {
		return nil, cutShort(ctx, err)
	}
	return conn, nil
}

// openAccepted opens a stream, and waits until the other side has taken it.
func (v *visit) openAccepted(ctx context.Context, peer *client.Peer, asked, stream string) (*client.Conn, error) {
	conn, err := v.openAs(ctx, peer, asked, stream)
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
		_, _, err := v.recognizeAs(ctx, peer, name)
		found = peer
		return err
	})
	if err != nil {
		return nil, cutShort(ctx, err)
	}
	return found, nil
}

// answer takes a stream by which a peer proves who it is, and asks who we are.
func (v *visit) answer(conn *client.Conn) {
	t := v.trust
	if !t.takePlace(conn.Peer()) {
		conn.Reset()
		return
	}
	v.refusing.Go(func() {
		defer t.freePlace(conn.Peer())
		proven, err := machine.Exchange(v.stay, conn, machine.Accepter, t.me)
		if err != nil {
			conn.Reset()
			return
		}
		who, found := identify(conn.Peer(), ""), verdict{}
		if proven.IsMachine() {
			isNew := false
			if isNew, found.err = t.judge(v.stay, who, proven); found.err == nil {
				found.name = who.name
			}
			if isNew {
				v.status.print("%s is known from now on by its key %s, which %s vouches for", who.name, auth.EncodeMachineKey(proven.Key), t.server)
			}
		}
		t.note(conn.PeerCertificate(), found)
		_ = conn.Close()
	})
}

// takePlace takes a place for an exchange that a peer has begun. No peer has all of them.
func (t *trust) takePlace(peer *client.Peer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.exchanges[peer] >= maxExchangesOfOne || t.ongoing >= maxExchanges {
		return false
	}
	t.ongoing++
	t.exchanges[peer]++
	return true
}

func (t *trust) freePlace(peer *client.Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ongoing--
	if t.exchanges[peer]--; t.exchanges[peer] == 0 {
		delete(t.exchanges, peer)
	}
}

// trusted returns the name of the machine that the other side of an accepted stream is: it has proved the key that is known, and the server
// says at this moment that it is this machine. So a machine that was revoked is none, also if it comes back as a guest with its old key.
func (v *visit) trusted(conn *client.Conn) (name string, ok bool) {
	return v.trust.machineBehind(conn.Peer(), conn.PeerCertificate())
}

func (t *trust) machineBehind(peer shownPeer, cert [32]byte) (name string, ok bool) {
	found, _ := t.verdictOf(cert)
	if who := identify(peer, ""); found.name != "" && who.told && who.name == found.name {
		return found.name, true
	}
	return "", false
}

// distrust says why a stream is not taken, before anybody looks at what it is for: its peer has the name of a machine that it has not
// proved to be.
func (v *visit) distrust(conn *client.Conn) (why string) {
	why, here := v.trust.against(conn.Peer(), conn.PeerCertificate())
	if here != nil {
		v.refused(conn.Peer(), "%v", here)
	}
	return why
}

// against returns what is said to a peer that is not taken for the machine of its name, and what is said about it here, if it is worth a line.
func (t *trust) against(peer shownPeer, cert [32]byte) (why string, here error) {
	who := identify(peer, "")
	needed, err := t.needsProof(who)
	if err != nil {
		return "this side cannot read which machines it knows", err
	}
	if !needed {
		return "", nil
	}
	found, asked := t.verdictOf(cert)
	_, undecided := errors.AsType[*undecidedError](found.err)
	switch {
	case !asked:
		return proveFirst + who.name, nil
	case undecided:
		return proveFirst + who.name, fmt.Errorf("refused %s: %w", who.name, found.err)
	case found.err != nil:
		here = fmt.Errorf("refused %s: %w", who.name, found.err)
	case found.name == who.name && who.name != "":
		return "", nil
	default:
		here = fmt.Errorf("refused %s: it proves no key", who.name)
	}
	return "this side knows " + who.name + " by another key", here
}
