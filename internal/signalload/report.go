package signalload

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// Report holds the results of a bench.
type Report struct {
	Server  string // its URL
	Config  *Config
	Setup   Setup
	Result  *Result // nil if nothing was sent
	Maximum Maximum // of --max

	Returned *Returned // of --return
}

// sessionBytes returns the growth of the server's memory for each session.
func (r *Report) sessionBytes() float64 {
	return float64(r.Setup.RSSAfter-r.Setup.RSSBefore) / float64(r.Setup.Sessions)
}

func (r *Report) loginRate() float64 { return float64(r.Setup.Sessions) / r.Setup.Took.Seconds() }

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	cfg := r.Config
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s  %s\n", name, fmt.Sprintf(format, args...))
	}
	who := ""
	if cfg.Members {
		who = ", as members"
	}
	row("log-ins", "%d in %v (%.0f a second), in rooms of two"+who, r.Setup.Sessions, r.Setup.Took.Round(100*time.Microsecond), r.loginRate())
	if cfg.PID != 0 {
		row("memory", "%.1f KB an idle session: process %d grew from %.1f to %.1f MB", r.sessionBytes()/1024, cfg.PID,
			float64(r.Setup.RSSBefore)/(1<<20), float64(r.Setup.RSSAfter)/(1<<20))
		row("processor", "%s a log-in", showMicros(r.Setup.LoginTime/time.Duration(r.Setup.Sessions)))
	}
	if res := r.Result; res != nil {
		row("sent", "messages of %d bytes, %.0f a second for %v", cfg.Size, float64(res.Sent)/res.Duration.Seconds(), res.Duration)
		row("delivered", "%.0f messages a second, %.1f Mbit/s", res.DeliveredRate(), float64(res.Bytes)*8/res.Duration.Seconds()/1e6)
		row("lost", "%.3f %%: %d of %d", 100*res.Loss(), res.Lost(), res.Sent)
		row("latency", "p50 %s  p99 %s  p99.9 %s", showMicros(res.Latency.Percentile(50)), showMicros(res.Latency.Percentile(99)),
			showMicros(res.Latency.Percentile(99.9)))
		if cfg.PID != 0 {
			row("processor", "%.1f µs a message", float64(res.ServerTimePerMessage())/1e3)
		}
		if res.LoaderSkipped > 0 {
			row("note", "this loader could not keep up and left out %d messages; try more --workers", res.LoaderSkipped)
		}
	}
	if r.Maximum.Result != nil {
		row("highest rate", "%.0f messages a second with a p99 latency of at most %v", r.Maximum.Result.Rate, MaxP99)
		if r.Maximum.LoaderLimited {
			row("note", "the loader can do no more; the server may. Try more --workers, or another machine")
		}
	}
	if back := r.Returned; back != nil {
		row("return", "all are back %v after the first was lost; %d of %d are the sessions of before", back.Took.Round(time.Millisecond), back.Resumed, r.Setup.Sessions)
		row("", "a log-in took p50 %s  p99 %s, with %d tries", showMicros(back.Login.Percentile(50)), showMicros(back.Login.Percentile(99)), back.Tries)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func showMicros(d time.Duration) string { return fmt.Sprintf("%.0f µs", float64(d)/1e3) }

// reportJSON is the report for programs. Rates are messages a second, times microseconds unless their name says more.
type reportJSON struct {
	Server   string `json:"server"`
	Sessions int    `json:"sessions"`
	Members  bool   `json:"members,omitempty"`
	Size     int    `json:"size"`

	LoginsPerSecond float64 `json:"logins_per_second"`
	RSSPerSession   float64 `json:"rss_bytes_per_session,omitempty"`
	CPUPerLogin     float64 `json:"cpu_per_login,omitempty"`

	Load *loadJSON `json:"load,omitempty"`
	Max  *maxJSON  `json:"max,omitempty"`

	Return *returnJSON `json:"return,omitempty"`
}

type returnJSON struct {
	Seconds  float64 `json:"seconds"`
	Resumed  int     `json:"resumed"`
	Tries    int     `json:"tries"`
	LoginP50 float64 `json:"login_p50"`
	LoginP99 float64 `json:"login_p99"`
}

type loadJSON struct {
	Seconds       float64 `json:"seconds"`
	Rate          float64 `json:"rate"`
	DeliveredRate float64 `json:"delivered_rate"`
	DeliveredBits float64 `json:"delivered_bits_per_second"`
	Sent          uint64  `json:"sent"`
	Received      uint64  `json:"received"`
	Loss          float64 `json:"loss"`
	LoaderSkipped uint64  `json:"loader_skipped"`
	P50           float64 `json:"latency_p50"`
	P99           float64 `json:"latency_p99"`
	P999          float64 `json:"latency_p99_9"`
	CPUPerMessage float64 `json:"cpu_per_message,omitempty"`
}

type maxJSON struct {
	Rate          float64 `json:"rate"`
	LoaderLimited bool    `json:"loader_limited"`
}

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	cfg := r.Config
	out := reportJSON{Server: r.Server, Sessions: cfg.Sessions, Members: cfg.Members, Size: cfg.Size, LoginsPerSecond: r.loginRate()}
	if cfg.PID != 0 {
		out.RSSPerSession = r.sessionBytes()
		out.CPUPerLogin = float64(r.Setup.LoginTime) / 1e3 / float64(r.Setup.Sessions)
	}
	if res := r.Result; res != nil {
		us := func(p float64) float64 { return float64(res.Latency.Percentile(p)) / 1e3 }
		out.Load = &loadJSON{
			Seconds: res.Duration.Seconds(), Rate: res.Rate, DeliveredRate: res.DeliveredRate(),
			DeliveredBits: float64(res.Bytes) * 8 / res.Duration.Seconds(), Sent: res.Sent, Received: res.Received,
			Loss: res.Loss(), LoaderSkipped: res.LoaderSkipped, P50: us(50), P99: us(99), P999: us(99.9),
			CPUPerMessage: float64(res.ServerTimePerMessage()) / 1e3,
		}
	}
	if best := r.Maximum.Result; best != nil {
		out.Max = &maxJSON{best.Rate, r.Maximum.LoaderLimited}
	}
	if back := r.Returned; back != nil {
		out.Return = &returnJSON{
			back.Took.Seconds(), back.Resumed, back.Tries, float64(back.Login.Percentile(50)) / 1e3, float64(back.Login.Percentile(99)) / 1e3,
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}
