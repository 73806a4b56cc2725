package signalload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	defaultSeconds    = 10
	defaultMaxSeconds = 2 // of each trial of --max

	warmup = 500 * time.Millisecond
	settle = 10 * time.Second // before memory is read: the server must be at rest
)

// Options are the options of `turnpike bench signal`. Errors about them name its flags.
type Options struct {
	Server  string // its URL
	Config  Config
	Rate    float64 // messages a second of all sessions
	Seconds float64 // of the measurement; 0: only log in; UnsetSeconds: the default
	Max     bool    // search the highest rate
	Return  bool    // at last, wait for a restart of the server
}

// UnsetSeconds lets Check choose the Seconds.
const UnsetSeconds = -1

// Check refuses options that make no load, and chooses the Seconds if they are unset.
func (o *Options) Check() error {
	if o.Seconds == UnsetSeconds {
		o.Seconds = defaultSeconds
		if o.Max {
			o.Seconds = defaultMaxSeconds
		}
	}
	cfg := &o.Config
	cfg.Settle, cfg.Return = settle, o.Return
	switch {
	case o.Seconds < 0:
		return fmt.Errorf("--seconds %v is negative", o.Seconds)
	case o.Seconds == 0 && o.Max:
		return errors.New("--seconds 0 only logs in, which does not go with --max")
	case cfg.Sessions < 2 || cfg.Sessions%2 != 0:
		return fmt.Errorf("--sessions %d is not an even number of at least 2", cfg.Sessions)
	case cfg.Size < MinSize || cfg.Size > MaxSize:
		return fmt.Errorf("--size %d is not between %d and %d", cfg.Size, MinSize, MaxSize)
	case cfg.Workers < 1:
		return fmt.Errorf("--workers %d is too few", cfg.Workers)
	case o.Rate <= 0:
		return fmt.Errorf("--rate %v is too low", o.Rate)
	}
	return nil
}

// Bench makes the load and measures it. Meanwhile it calls progress with the results of the last trial of --max. Its
// errors say what to do.
func (o *Options) Bench(ctx context.Context, progress func(fraction float64, trial string)) (*Report, error) {
	g, err := Open(ctx, o.Config)
	if err != nil {
		return nil, o.explain(err)
	}
	defer g.Close()
	report := &Report{Server: o.Server, Config: &o.Config, Setup: g.Setup()}
	var last *Result
	load := Load{
		Rate: o.Rate, Duration: time.Duration(o.Seconds * float64(time.Second)), Warmup: warmup,
		Progress: func(fraction float64) { progress(fraction, trialLine(last)) },
	}
	switch {
	case o.Seconds == 0:
	case o.Max:
		report.Maximum, err = g.Max(ctx, load, func(r *Result) { last = r })
		report.Result = report.Maximum.Result
	default:
		report.Result, err = g.Run(ctx, load)
	}
	if err != nil {
		return nil, o.explain(err)
	}
	if report.Result == nil && o.Seconds != 0 {
		return nil, fmt.Errorf("at every rate, down to a thousandth of what was asked for, messages take longer than %v", MaxP99)
	}
	if o.Return {
		progress(0, "all sessions are there: restart the server now")
		if report.Returned, err = g.Return(ctx); err != nil {
			return nil, o.explain(err)
		}
	}
	return report, nil
}

// trialLine describes the last trial of --max while the next one runs.
func trialLine(r *Result) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("%.0f messages a second: p99 %s", r.Rate, showMicros(r.Latency.Percentile(99)))
}

// explain tells the user what an error means, and what to do.
func (o *Options) explain(err error) error {
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok {
		return fmt.Errorf("%s: %w", o.Server, err)
	}
	hint := ""
	switch {
	case refused.Status == http.StatusTooManyRequests:
		hint = "; all of the load comes from one address: raise limits.sessions_per_address and limits.connections_per_address"
	case refused.Status == http.StatusServiceUnavailable:
		hint = "; it is going away"
	case refused.Status != 0:
		hint = "; is it a turnpike, and does the reverse proxy hand on Upgrade and Connection?"
	case refused.Code == "unauthorized":
		hint = "; was the ticket made with this server's secret, and is it still valid?"
	case refused.Code == "rate-limited":
		hint = "; at log-in, raise limits.sessions, limits.sessions_per_address, limits.hellos_per_second_per_address and limits.joins_per_minute_per_address; " +
			"after it a session sends more than it may: raise limits.messages_per_second, or take more --sessions"
	}
	if strings.HasSuffix(refused.Code, " slow") {
		hint = "; messages waited for a session until its queue was full: take a lower --rate, or more --sessions"
	}
	return fmt.Errorf("%s: %w%s", o.Server, refused, hint)
}
