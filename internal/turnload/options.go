package turnload

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	defaultSeconds    = 10
	defaultMaxSeconds = 2 // of each trial of --max

	warmup = 500 * time.Millisecond
	settle = 10 * time.Second // before memory is read: the server must be at rest
)

// Options describe a bench, as the flags of `turnpike bench` do. Errors name these flags.
type Options struct {
	Config  Config
	Rate    float64 // packets a second of all calls; 0: the profile's own
	Seconds float64 // to measure; 0: only make the allocations
	Max     bool    // search the highest rate
}

// UnsetSeconds as Seconds stands for the default.
const UnsetSeconds = -1

// Check refuses options that make no load, and fills in the default of Seconds.
func (o *Options) Check() error {
	if o.Seconds < 0 {
		if o.Seconds != UnsetSeconds {
			return fmt.Errorf("--seconds %v is negative", o.Seconds)
		}
		o.Seconds = defaultSeconds
		if o.Max {
			o.Seconds = defaultMaxSeconds
		}
	}
	cfg := &o.Config
	cfg.Hold, cfg.Settle = o.Seconds == 0, settle
	if cfg.Binding {
		cfg.Profile, cfg.Direction = bindingProfile(), Up
	}
	switch {
	case cfg.Binding && (cfg.Hold || cfg.Indications || cfg.Relayed || cfg.Peer.IsValid() || cfg.PID != 0):
		return errors.New("stun: is Binding requests, which go neither with --seconds 0 nor with --indications, --relayed, --peer or --pid")
	case cfg.Calls < 1:
		return fmt.Errorf("--calls %d is too few", cfg.Calls)
	case cfg.Workers < 1:
		return fmt.Errorf("--workers %d is too few", cfg.Workers)
	case o.Rate < 0:
		return fmt.Errorf("--rate %v is negative", o.Rate)
	case cfg.Hold && (o.Max || cfg.Relayed):
		return errors.New("--seconds 0 only holds allocations, which goes neither with --max nor with --relayed")
	case cfg.Relayed && cfg.Peer.IsValid():
		return errors.New("--relayed has no peers, so --peer is of no use")
	}
	return nil
}

// Bench makes the load and measures it. Meanwhile it calls progress with the result of the last trial of --max. Its
// errors say what to do.
func (o *Options) Bench(ctx context.Context, progress func(fraction float64, trial string)) (*Report, error) {
	g, err := Open(ctx, o.Config)
	if err != nil {
		return nil, o.explain(err)
	}
	defer g.Close()
	report := &Report{Config: &o.Config, Setup: g.Setup()}
	var last *Result
	load := Load{
		Rate: o.Rate, Duration: time.Duration(o.Seconds * float64(time.Second)), Warmup: warmup,
		Progress: func(fraction float64) { progress(fraction, trialLine(last)) },
	}
	switch {
	case o.Config.Hold:
	case o.Max:
		report.Maximum, err = g.Max(ctx, load, func(r *Result) { last = r })
		report.Result = report.Maximum.Result
	default:
		report.Result, err = g.Run(ctx, load)
	}
	if err != nil {
		return nil, o.explain(err)
	}
	if report.Result == nil && !o.Config.Hold {
		return nil, fmt.Errorf("every rate loses more than %v %%, down to a thousandth of what was asked for", MaxLoss*100)
	}
	return report, nil
}

// trialLine tells of the last trial of --max, while the next one runs.
func trialLine(r *Result) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("%.0f packets a second: %.2f %% lost", r.Rate, 100*r.Loss())
}

// explain tells the user what an error means, and what to do.
func (o *Options) explain(err error) error {
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok {
		return fmt.Errorf("%v: %w", o.Config.Server, err)
	}
	var hint string
	switch refused.Code {
	case 401:
		hint = "; is the secret, or the password, the server's?"
	case 403:
		hint = "; its policy forbids the peers, which are addresses of this machine. Allow them for the test (turnpike: turn.allow_peers), name others with --peer, or use --relayed"
	case 486:
		hint = "; its quota of allocations for a user is too low (turnpike: limits.allocations_per_user); with --secret each call is a user"
	case 508:
		hint = "; all its relays are taken: wait until old allocations expire, or widen its range of ports"
	}
	return fmt.Errorf("%v: %w%s", o.Config.Server, refused, hint)
}
