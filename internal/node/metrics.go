package node

import (
	"log/slog"
	"net/http"
	"net/http/pprof"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/httpapi"
	"example.org/turnpike/signal"
	"example.org/turnpike/turnserver"
)

// newMetricsServer serves /metrics. Only where nobody but this machine reaches it does it also serve /allocations,
// which names clients, and pprof, because a heap dump has secrets.
func newMetricsServer(cfg *config.Config, turn *turnserver.Server, sig *signal.Server, certs *certificates, verifier *auth.Verifier, ended *ended, version string, log *slog.Logger) *http.Server {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collector{turn, sig, certs, verifier, ended},
		buildInfo(version),
	)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}))
	if config.ListensOnLoopback(cfg.Metrics.Listen) {
		mux.HandleFunc("GET /allocations", func(w http.ResponseWriter, _ *http.Request) { writeAllocations(w, turn.Snapshot(), turn.Offload()) })
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return &http.Server{
		Handler:           httpapi.RefuseRebinding(mux),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      2 * time.Minute, // a profile takes as long as its request says
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// buildInfo is 1, with the version as a label, so that a dashboard can tell what runs where.
func buildInfo(version string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "turnpike_build_info", Help: "1; the labels say which build this is.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version(), "goos": runtime.GOOS, "goarch": runtime.GOARCH},
	}, func() float64 { return 1 })
}

// collector reads the gauges and counters of the two servers when Prometheus asks. It describes none beforehand,
// because only the servers know which counters they have.
type collector struct {
	turn     *turnserver.Server
	signal   *signal.Server
	certs    *certificates // nil: no TLS
	verifier *auth.Verifier
	ended    *ended
}

func (collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(name, help string, value int) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, float64(value))
	}
	for transport, n := range c.turn.AllocationsByTransport() {
		desc := prometheus.NewDesc("turnpike_turn_allocations", "Relays that exist now, by their client's transport.", []string{"transport"}, nil)
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), transport)
	}
	for table, n := range c.turn.Entries() {
		desc := prometheus.NewDesc("turnpike_turn_entries", "Entries of the tables that grow with what clients make; zero when all have gone.", []string{"table"}, nil)
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), table)
	}
	gauge("turnpike_turn_relay_addresses", "Addresses at which new relays are made now.", len(c.turn.RelayAddresses()))
	offloaded := c.turn.Offload()
	on := 0
	if offloaded.On {
		on = 1
	}
	gauge("turnpike_turn_offload", "1 if the kernel forwards established flows.", on)
	gauge("turnpike_turn_flows_offloaded", "Channels, and peers of indications, that the kernel forwards now.", offloaded.Flows)
	pending, open := c.turn.PeerConnections()
	for state, n := range map[string]int{"pending": pending, "open": open} {
		desc := prometheus.NewDesc("turnpike_turn_peer_connections", "TCP connections with peers that exist now.", []string{"state"}, nil)
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), state)
	}
	if c.certs != nil {
		expiry := 0
		if leaf := c.certs.leaf(); leaf != nil {
			expiry = int(leaf.NotAfter.Unix())
		}
		gauge("turnpike_tls_certificate_expiry_timestamp_seconds", "When the certificate in force ends, in Unix time; 0: there is none yet.", expiry)
		out <- total("tls_certificate_reloads", c.certs.reloaded.Load(), label{"result", "ok"})
		out <- total("tls_certificate_reloads", c.certs.failed.Load(), label{"result", "failed"})
	}
	for _, page := range c.verifier.KeyPages() {
		read := 0.0
		if !page.Read.IsZero() {
			read = float64(page.Read.Unix())
		}
		desc := prometheus.NewDesc("turnpike_issuer_keys_read_timestamp_seconds",
			"When the page of an issuer's keys (jwks_url) was last read, in Unix time; 0: never.", []string{"issuer"}, nil)
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, read, page.Issuer)
	}
	stats := c.signal.Stats()
	gauge("turnpike_signal_sockets", "Signaling connections that are open now.", stats.Sockets)
	gauge("turnpike_signal_sessions", "Signaling sessions that exist now.", stats.Sessions)
	gauge("turnpike_signal_sessions_away", "Signaling sessions that have no connection at the moment.", stats.Away)
	gauge("turnpike_signal_unacknowledged_bytes", "Messages that are kept until clients have acknowledged them.", int(stats.KeptBytes))
	gauge("turnpike_signal_users", "Users who are online now.", stats.Users)
	gauge("turnpike_signal_rooms", "Rooms that exist now.", stats.Rooms)
	gauge("turnpike_signal_calls", "Calls that ring or are answered now.", stats.Calls)
	out <- total("state_write_failures", c.ended.failures.Load())
	for _, t := range c.turn.Counters() {
		out <- total("turn_"+t.Name, t.Value, label{reasonLabel(t.Name), t.Reason}, label{"transport", t.Transport})
	}
	for _, t := range c.signal.Counters() {
		out <- total("signal_"+t.Name, t.Value, label{reasonLabel(t.Name), t.Reason})
	}
}
