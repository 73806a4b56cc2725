package turnload

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// Report is the result of a bench.
type Report struct {
	Config  *Config
	Setup   Setup
	Result  *Result // nil if nothing was sent
	Maximum Maximum // of --max
}

// callRate is the rate of one call, in packets a second.
func (r *Report) callRate() float64 {
	return r.Config.NominalRate() / float64(r.Config.Calls)
}

// allocationBytes is the server's growth for each allocation.
func (r *Report) allocationBytes() float64 {
	return float64(r.Setup.RSSAfter-r.Setup.RSSBefore) / float64(r.Setup.Allocations)
}

func (r *Report) allocationRate() float64 {
	if r.Setup.Allocations == 0 {
		return 0
	}
	return float64(r.Setup.Allocations) / r.Setup.Took.Seconds()
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	cfg := r.Config
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s  %s\n", name, fmt.Sprintf(format, args...))
	}
	if !cfg.Binding {
		row("allocations", "%d in %v (%.0f a second), %s", r.Setup.Allocations, r.Setup.Took.Round(100*time.Microsecond), r.allocationRate(), r.kind())
	}
	if cfg.PID != 0 {
		row("memory", "%.1f KB an allocation: process %d grew from %.1f to %.1f MB", r.allocationBytes()/1024, cfg.PID,
			float64(r.Setup.RSSBefore)/(1<<20), float64(r.Setup.RSSAfter)/(1<<20))
	}
	if res := r.Result; res != nil {
		row("sent", "%s, %.0f packets a second for %v", r.load(), float64(res.Sent)/res.Duration.Seconds(), res.Duration)
		row("delivered", "%.0f packets a second, %.1f Mbit/s", res.DeliveredRate(), float64(res.Bytes)*8/res.Duration.Seconds()/1e6)
		row("lost", "%.3f %%: %d of %d", 100*res.Loss(), res.Lost(), res.Sent)
		row("latency", "p50 %s  p99 %s  p99.9 %s", micros(res, 50), micros(res, 99), micros(res, 99.9))
		if res.Reordered > 0 {
			row("reordered", "%d", res.Reordered)
		}
		if res.LoaderDropped > 0 {
			row("note", "this loader itself dropped %d packets; let it have more processor time (--workers, taskset) or raise net.core.rmem_max", res.LoaderDropped)
		}
		if res.LoaderSkipped > 0 {
			row("note", "this loader could not keep up and left out %d packets; try more --workers", res.LoaderSkipped)
		}
	}
	if r.Maximum.Result != nil {
		rate := r.Maximum.Result.Rate
		row("highest rate", "%.0f packets a second with less than %v %% lost: %.0f calls", rate, 100*MaxLoss, rate/r.callRate())
		if r.Maximum.LoaderLimited {
			row("note", "the loader can do no more; the server may. Try more --workers, or another machine")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// load says what was sent.
func (r *Report) load() string {
	if r.Config.Binding {
		return "Binding requests"
	}
	over := ""
	if r.Config.carried() {
		over = " over " + strings.ToUpper(string(r.Config.Transport))
	}
	return r.Config.Profile.Name + " " + string(r.Config.Direction) + over
}

// kind says what each allocation has.
func (r *Report) kind() string {
	with := "a channel each"
	if r.Config.Indications {
		with = "a permission each, for indications"
	}
	if r.Config.Relayed {
		return with + ", to each other"
	}
	return with
}

func micros(r *Result, percentile float64) string {
	return fmt.Sprintf("%.0f µs", float64(r.Latency.Percentile(percentile))/1e3)
}

// reportJSON is the report for programs. Rates are packets a second, times microseconds unless their name says more.
type reportJSON struct {
	Server      string `json:"server"`
	Transport   string `json:"transport"`
	Profile     string `json:"profile"`
	Direction   string `json:"direction"`
	Calls       int    `json:"calls"`
	Indications bool   `json:"indications"`
	Relayed     bool   `json:"relayed"`

	Allocations          int     `json:"allocations"`
	AllocationsPerSecond float64 `json:"allocations_per_second"`
	RSSPerAllocation     float64 `json:"rss_bytes_per_allocation,omitempty"`

	Load *loadJSON `json:"load,omitempty"`
	Max  *maxJSON  `json:"max,omitempty"`
}

type loadJSON struct {
	Seconds       float64 `json:"seconds"`
	Rate          float64 `json:"rate"`
	DeliveredRate float64 `json:"delivered_rate"`
	DeliveredBits float64 `json:"delivered_bits_per_second"`
	Sent          uint64  `json:"sent"`
	Received      uint64  `json:"received"`
	Loss          float64 `json:"loss"`
	Reordered     uint64  `json:"reordered"`
	LoaderDropped uint64  `json:"loader_dropped"`
	LoaderSkipped uint64  `json:"loader_skipped"`
	P50           float64 `json:"latency_p50"`
	P99           float64 `json:"latency_p99"`
	P999          float64 `json:"latency_p99_9"`
}

type maxJSON struct {
	Rate          float64 `json:"rate"`
	Calls         float64 `json:"calls"`
	LoaderLimited bool    `json:"loader_limited"`
}

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	cfg := r.Config
	out := reportJSON{
		Server: cfg.Server.String(), Transport: string(cmp.Or(cfg.Transport, OverUDP)), Profile: cfg.Profile.Name, Direction: string(cfg.Direction), Calls: cfg.Calls,
		Indications: cfg.Indications, Relayed: cfg.Relayed,
		Allocations: r.Setup.Allocations, AllocationsPerSecond: r.allocationRate(),
	}
	if cfg.PID != 0 {
		out.RSSPerAllocation = r.allocationBytes()
	}
	if res := r.Result; res != nil {
		us := func(p float64) float64 { return float64(res.Latency.Percentile(p)) / 1e3 }
		out.Load = &loadJSON{
			Seconds: res.Duration.Seconds(), Rate: res.Rate, DeliveredRate: res.DeliveredRate(),
			DeliveredBits: float64(res.Bytes) * 8 / res.Duration.Seconds(), Sent: res.Sent, Received: res.Received,
			Loss: res.Loss(), Reordered: res.Reordered, LoaderDropped: res.LoaderDropped, LoaderSkipped: res.LoaderSkipped,
			P50: us(50), P99: us(99), P999: us(99.9),
		}
	}
	if best := r.Maximum.Result; best != nil {
		out.Max = &maxJSON{best.Rate, best.Rate / r.callRate(), r.Maximum.LoaderLimited}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}
