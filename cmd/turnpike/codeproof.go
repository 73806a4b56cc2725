package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"example.org/turnpike/client"
	"example.org/turnpike/internal/code"
	"example.org/turnpike/internal/forward"
)

// Here both sides of a code prove to each other that they know its words: first the sender's side, then the receiver's.

// accept takes the streams that are opened, until ctx ends or the room was left.
func (s *sending) accept(ctx context.Context) {
	for {
		conn, err := s.v.room.Accept(ctx)
		if err != nil {
			return
		}
		if r := s.known(conn); r != nil && conn.Name() != codeStream {
			r.offer(conn)
			continue
		}
		free, ok := s.takePlace(conn.Peer(), conn.Name() == codeStream)
		if !ok {
			conn.Reset()
			continue
		}
		s.running.Go(func() {
			defer free()
			s.judge(ctx, conn)
		})
	}
}

// takePlace takes a place among those who wait, so that nobody has all of them.
func (s *sending) takePlace(peer *client.Peer, proof bool) (free func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if proof {
		if s.proofs[peer] {
			return nil, false
		}
		s.proofs[peer] = true
		return func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.proofs, peer)
		}, true
	}
	if s.early[peer] >= maxEarly {
		return nil, false
	}
	s.early[peer]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.early[peer]--; s.early[peer] == 0 {
			delete(s.early, peer)
		}
	}, true
}

// judge serves a stream of somebody who has proved nothing yet.
func (s *sending) judge(ctx context.Context, conn *client.Conn) {
	select {
	case s.proving <- struct{}{}:
	case <-ctx.Done():
		conn.Reset()
		return
	}
	if conn.Name() == codeStream {
		s.prove(ctx, conn)
		<-s.proving
		return
	}
	<-s.proving // a proof that was under way when the stream came is noted
	if r := s.known(conn); r != nil {
		r.offer(conn)
		return
	}
	forward.Refuse(conn, "first prove that you know the code")
}

// prove has the other side prove that it knows the code. The caller has the place in proving.
func (s *sending) prove(ctx context.Context, conn *client.Conn) {
	if why := s.refusal(conn.Peer()); why != "" {
		forward.Refuse(conn, why)
		return
	}
	proving, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	stop := context.AfterFunc(proving, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	if err := forward.Accept(conn); err != nil {
		conn.Reset()
		return
	}
	err := code.Send(proving, conn, s.code.Words())
	switch name := harmless(conn.Peer().Name()); {
	case err == nil:
		s.admit(ctx, conn)
	case errors.Is(err, code.ErrWrong):
		s.fail(fmt.Errorf("%s had other words, or somebody is in between; the code is burnt, and nobody else can use it", name))
	case errors.Is(err, code.ErrBroken):
		s.fail(fmt.Errorf("%s began to prove that it knows the code, and did not; that counts as a wrong guess, and the code is burnt", name))
	}
	_ = conn.Close() // no reset, which would overtake what says that the words were wrong
}

// refusal says why a peer may not try the code, empty if it may.
func (s *sending) refusal(peer *client.Peer) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.burnt != nil {
		return "the code is burnt: somebody had other words"
	}
	there := s.served + s.declined
	for _, r := range s.receivers {
		if r.peer == peer {
			return "" // it comes by another connection
		}
		if !r.peer.Away() {
			there++
		}
	}
	if there >= s.to {
		return "all receivers have come that the code is for"
	}
	return ""
}

// fail ends the code. Those who have proved to know it go on.
func (s *sending) fail(why error) {
	s.mu.Lock()
	first := s.burnt == nil
	if first {
		s.burnt = why
	}
	others := len(s.receivers)
	s.mu.Unlock()
	s.burn()
	if first && others > 0 {
		s.v.status.print("%v; transfers that run go on", why)
	}
	s.wake()
}

// burn ends the code at the server. Where the server is gone, so is the code.
func (s *sending) burn() {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_ = s.slot.Burn(ctx)
}

func (s *sending) known(conn *client.Conn) *receiver {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.receivers[conn.PeerCertificate()]
}

// admit lets a peer have the files, by all its connections with this certificate.
func (s *sending) admit(ctx context.Context, conn *client.Conn) {
	peer, certificate := conn.Peer(), conn.PeerCertificate()
	s.mu.Lock()
	defer s.mu.Unlock()
	for before, r := range s.receivers {
		if r.peer == peer { // it has begun anew
			delete(s.receivers, before)
			s.receivers[certificate] = r
			return
		}
	}
	for len(s.receivers) > 0 && s.served+s.declined+len(s.receivers) >= s.to {
		if !s.dropAway() { // the newcomer may be the one that is away
			return
		}
	}
	r := &receiver{s: s, peer: peer, streams: make(chan *client.Conn, maxStreams), dropped: make(chan struct{})}
	s.receivers[certificate] = r
	s.running.Go(func() { r.run(ctx) })
}

// dropAway gives up a receiver that has lost the server. The caller holds mu.
func (s *sending) dropAway() bool {
	for certificate, r := range s.receivers {
		if r.peer.Away() {
			delete(s.receivers, certificate)
			close(r.dropped)
			return true
		}
	}
	return false
}

// offered is a stream for a proof, or why a peer gives none.
type offered struct {
	peer *client.Peer
	conn *client.Conn
	err  error
}

// find asks those in the room for the sender, and has it prove that it knows the words.
func (r *receiving) find(ctx context.Context) error {
	if _, err := r.v.room.WaitPeer(ctx, nil); err != nil {
		return err
	}
	peers, others := r.likeliest(r.v.room.Peers())
	asking, cancel := context.WithCancel(ctx)
	if others {
		asking, cancel = context.WithTimeout(ctx, othersWait)
	}
	defer cancel()
	answers := make(chan offered, len(peers))
	for _, peer := range peers {
		go func() {
			conn, err := ask(asking, peer)
			answers <- offered{peer, conn, err}
		}()
	}
	err := errors.New("nobody is there")
	for n := range peers {
		a := <-answers
		if a.err != nil {
			err = a.err
			r.vain[a.peer]++
			continue
		}
		cancel() // each proof gives away one guess, and so nobody else is asked
		go func() {
			for range len(peers) - n - 1 {
				if other := <-answers; other.err == nil {
					other.conn.Reset()
				}
			}
		}()
		return r.prove(ctx, a.conn)
	}
	return err
}

// likeliest returns the peers that were asked in vain the least often: somebody who takes the stream and proves nothing must not keep this
// side from the sender. others: there are more.
func (r *receiving) likeliest(peers []*client.Peer) (likeliest []*client.Peer, others bool) {
	maps.DeleteFunc(r.vain, func(peer *client.Peer, _ int) bool { return isClosed(peer.Gone()) })
	for _, peer := range peers {
		switch {
		case len(likeliest) == 0 || r.vain[peer] < r.vain[likeliest[0]]:
			likeliest = []*client.Peer{peer}
		case r.vain[peer] == r.vain[likeliest[0]]:
			likeliest = append(likeliest, peer)
		}
	}
	return likeliest, len(likeliest) < len(peers)
}

// ask opens a stream for a proof. Senders take it, and receivers refuse it.
func ask(ctx context.Context, peer *client.Peer) (*client.Conn, error) {
	conn, err := peer.Open(ctx, codeStream)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	err = accepted(conn)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Reset()
		return nil, err
	}
	return conn, nil
}

// prove has both sides prove that they know the words.
func (r *receiving) prove(ctx context.Context, conn *client.Conn) error {
	peer := conn.Peer()
	err := code.Receive(ctx, conn, r.words)
	_ = conn.Close() // no reset, which would overtake what says that the words were wrong
	switch {
	case errors.Is(err, code.ErrWrong):
		return finalError{fmt.Errorf("these are not the words of %s, or somebody is in between; the code is burnt, so ask for a new one", peer.Name())}
	case errors.Is(err, code.ErrBroken):
		return finalError{fmt.Errorf("the connection to %s broke in the proof that both know the words; that counts as a wrong guess, so ask for a new code", peer.Name())}
	case err != nil: // such as code.ErrUnanswered: another one may be the sender
		r.vain[peer]++
		return err
	}
	r.sender, r.certificate = peer, conn.PeerCertificate()
	r.mu.Lock()
	r.proved = peer
	r.mu.Unlock()
	r.v.status.watch(peer)
	return nil
}
