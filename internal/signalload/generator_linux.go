package signalload

import (
	"context"
	"fmt"
	"time"

	"example.org/turnpike/internal/turnload"
)

// Generator holds the sessions of a Config. Its methods are called from one goroutine.
type Generator struct {
	cfg      Config
	sessions []*session // by number
	poller   *poller    // of all sessions between runs
	setup    Setup
	runs     uint32
}

// Open logs the sessions in, and joins them in pairs.
func Open(ctx context.Context, cfg Config) (*Generator, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	g := &Generator{cfg: cfg, poller: p, sessions: make([]*session, cfg.Sessions)}
	for i := range g.sessions {
		g.sessions[i] = &session{number: i, cfg: &g.cfg}
	}
	if err := g.open(ctx); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

func (g *Generator) open(ctx context.Context) error {
	var err error
	if g.setup.RSSBefore, err = g.memory(); err != nil {
		return err
	}
	watch, err := g.startClock()
	if err != nil {
		return err
	}
	if err := g.step(ctx, stageGreeted, g.connect); err != nil {
		return err
	}
	g.setup.Sessions = len(g.sessions)
	if g.setup.Took, g.setup.LoginTime, err = g.readClock(watch); err != nil {
		return err
	}
	if err := g.step(ctx, stageEntered, (*session).enter); err != nil {
		return err
	}
	for _, s := range g.sessions {
		before, after := g.cfg.Dialect.envelope(s.number, g.sessions[mate(s.number)].address)
		if s.template, err = newFrameTemplate(before, after, g.cfg.Size); err != nil {
			return err
		}
	}
	if _, ok := g.cfg.Dialect.(resumer); ok && g.cfg.Return {
		if err := g.awaitTokens(ctx); err != nil {
			return err
		}
	}
	if g.cfg.PID != 0 {
		if err := g.settle(ctx); err != nil {
			return err
		}
	}
	g.setup.RSSAfter, err = g.memory()
	return err
}

// settle waits until the server has come to rest, and answers its pings meanwhile.
func (g *Generator) settle(ctx context.Context) error {
	st := &stepper{g: g, open: map[*session]time.Time{}, buf: make([]byte, readSize)}
	for begin := time.Now(); time.Since(begin) < g.cfg.Settle; nap(10 * time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := st.poll(); err != nil {
			return err
		}
	}
	return nil
}

// Config returns what the generator was opened with.
func (g *Generator) Config() *Config { return &g.cfg }

// Setup returns the figures of logging the sessions in.
func (g *Generator) Setup() Setup { return g.setup }

func (g *Generator) memory() (int64, error) {
	if g.cfg.PID == 0 {
		return 0, nil
	}
	n, err := turnload.ResidentBytes(g.cfg.PID)
	if err != nil {
		return 0, fmt.Errorf("the memory of process %d: %w", g.cfg.PID, err)
	}
	return n, nil
}

// clock is a time, and the server's processor time until then.
type clock struct {
	at     time.Time
	server time.Duration
}

func (g *Generator) startClock() (clock, error) {
	c := clock{at: time.Now()}
	if g.cfg.PID == 0 {
		return c, nil
	}
	var err error
	if c.server, err = turnload.ProcessTime(g.cfg.PID); err != nil {
		return c, fmt.Errorf("the processor time of process %d: %w", g.cfg.PID, err)
	}
	return c, nil
}

// readClock returns the time and the server's processor time since a clock was read.
func (g *Generator) readClock(since clock) (passed, server time.Duration, err error) {
	now, err := g.startClock()
	return now.at.Sub(since.at), now.server - since.server, err
}

// Max searches the highest rate with a p99 of at most MaxP99. It makes runs of load's duration, the first at load's rate.
func (g *Generator) Max(ctx context.Context, load Load, report func(*Result)) (Maximum, error) {
	var found Maximum
	_, loader, err := turnload.SearchMax(load.Rate, func(rate float64) (turnload.Verdict, error) {
		load.Rate = rate
		r, err := g.Run(ctx, load)
		if err != nil {
			return turnload.Verdict{}, err
		}
		if report != nil {
			report(r)
		}
		v := r.verdict()
		if v.Good && (found.Result == nil || r.Rate > found.Result.Rate) {
			found.Result = r
		}
		return v, nil
	})
	found.LoaderLimited = loader
	return found, err
}

// Close says farewell and closes all sockets.
func (g *Generator) Close() {
	g.leave()
	for _, s := range g.sessions {
		if s.sock != nil {
			s.sock.close()
		}
	}
	g.sessions = nil
	g.poller.close()
}
