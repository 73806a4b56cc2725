package signalload

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal"
)

// restartable is a signaling server on a port that the next one gets, too.
type restartable struct {
	t      *testing.T
	secret auth.Secret
	addr   string
	stop   func()
}

func (s *restartable) start() {
	s.t.Helper()
	many := signal.Rate{PerSecond: 1e6, Burst: 1e6}
	srv := signal.New(signal.Config{
		VerifyTicket: func(token string) (auth.Ticket, error) {
			return auth.Ticket{User: auth.User{Issuer: auth.Issuer, Subject: token}, Name: token, Role: auth.RoleMember, Rooms: []string{"*"}}, nil
		},
		ResumeWindow: time.Minute, ResumeTokens: auth.NewResumeTokens(s.secret, time.Now, rand.Reader),
		Limits: signal.Limits{AddrHellos: many, AddrJoins: many, Joins: many},
	})
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Error(err) // in the goroutine that restarts it, too
		return
	}
	s.addr = l.Addr().String()
	web := &http.Server{Handler: srv}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.t.Error(err)
		}
	}()
	s.stop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(srv.Shutdown(ctx), web.Close()); err != nil {
			s.t.Error(err)
		}
		<-ended
	}
}

// TestReturn: all sessions are back after a restart, and are those of before.
func TestReturn(t *testing.T) {
	const sessions = 40
	server := &restartable{t: t, secret: auth.NewSecret([]byte("secret of the tests, 32 bytes or more")), addr: "127.0.0.1:0"}
	server.start()
	defer func() { server.stop() }()
	g, err := Open(t.Context(), Config{
		Server: netip.MustParseAddrPort(server.addr), Host: "example.com", Sessions: sessions, Members: true, Return: true,
		Dialect: Turnpike{Run: "test", Ticket: func(session int) (string, error) { return fmt.Sprintf("member %d", session), nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		server.stop()
		server.start()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	back, err := g.Return(ctx)
	<-restarted
	if err != nil {
		t.Fatal(err)
	}
	if back.Resumed != sessions || back.Tries < sessions || back.Took <= 0 || back.Login.Count() != sessions {
		t.Errorf("%d of %d sessions are those of before, after %d tries in %v", back.Resumed, sessions, back.Tries, back.Took)
	}
	r, err := g.Run(t.Context(), Load{Rate: 100, Duration: 200 * time.Millisecond}) // they still reach each other
	if err != nil || r.Received == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
