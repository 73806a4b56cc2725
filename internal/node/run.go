package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"example.org/turnpike/turnserver"
)

// Run serves until ctx ends, or after drain is closed until the relays have ended. It prints a banner to stdout once it
// serves, and has closed everything when it returns.
func (n *Node) Run(ctx context.Context, drain <-chan struct{}, stdout io.Writer) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))                            // turnserver changes it (SpareProcessors)
	failed := make(chan error, len(n.webListeners)+len(n.redirectListeners)+3) // one for each server goroutine, so that none ever waits
	var serving sync.WaitGroup
	serving.Go(func() { failed <- n.web.Serve(n.webConns) })
	for _, l := range n.webListeners {
		serving.Go(func() {
			if err := n.turn.ServeStreams(l, n.webStreams()); err != nil {
				failed <- err
			}
		})
	}
	if len(n.redirectListeners) > 0 {
		serving.Go(func() { failed <- n.redirects.Serve(n.redirectConns) })
	}
	for _, l := range n.redirectListeners {
		serving.Go(func() {
			if err := n.turn.ServeStreams(l, turnserver.StreamOptions{NoTURN: true, Other: n.redirectConns.give}); err != nil {
				failed <- err
			}
		})
	}
	stopWatching, ignored := func() {}, n.options.Hangup
	if n.certs != nil {
		stopWatching, ignored = n.certs.start(n.options.Hangup), nil
	}
	if n.metricsListener != nil {
		serving.Go(func() { failed <- n.metrics.Serve(n.metricsListener) })
	}
	if n.adminSocket != nil {
		serving.Go(func() {
			if err := n.admin.Serve(n.adminSocket); !errors.Is(err, http.ErrServerClosed) { // it ends nobody's call
				n.log.Error("\"turnpike users\", \"turnpike kick\" and \"turnpike machines\" reach this server no more", "err", err)
			}
		})
	}
	background, stopBackground := context.WithCancel(context.Background())
	serving.Go(func() { n.watchInvites(background) })
	serving.Go(func() { n.watchMachines(background) })
	serving.Go(func() { n.ended.keep(background) })
	serving.Go(func() { n.watchSecret(background) })
	serving.Go(func() { returnMemory(background) })
	serving.Go(func() { n.finder.follow(background, n.turn.LookAgain) })
	n.api.SetReady(true)
	n.banner(stdout)
	n.notify(daemon.SdNotifyReady)

	watchdog, stopWatchdog := newWatchdog()
	defer stopWatchdog()
	var err error
	draining := false
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case <-drain:
			draining, running = true, false
		case err = <-failed:
			err, running = fmt.Errorf("serve http: %w", err), false
		case <-watchdog:
			n.alive()
		case <-ignored:
			n.log.Info("SIGHUP: there is no certificate to read again (tls.mode is \"off\"); for other changes start the server anew")
		}
	}
	n.api.SetReady(false)
	n.notify(daemon.SdNotifyStopping)
	if draining {
		n.drain(ctx, watchdog)
	}
	stopWatching()
	stopBackground()
	n.Close()
	serving.Wait()
	n.log.Info("stopped")
	return err
}

// newWatchdog ticks twice in the time after which systemd starts a silent server anew, if systemd does so.
func newWatchdog() (tick <-chan time.Time, stop func()) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return nil, func() {}
	}
	t := time.NewTicker(interval / 2)
	return t.C, t.Stop
}

// alive tells systemd that the server does not hang: both parts still give an answer, which takes their locks.
func (n *Node) alive() {
	n.turn.Allocations()
	n.signal.Stats()
	n.notify(daemon.SdNotifyWatchdog)
}

// notify tells systemd, if it started us.
func (n *Node) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Warn("tell systemd", "state", state, "err", err)
	}
}

// Close ends everything, in about a second at most.
func (n *Node) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := n.signal.Shutdown(ctx); err != nil {
		n.log.Warn("close signaling", "err", err)
	}
	for _, s := range []*http.Server{n.web, n.redirects, n.metrics, n.admin} {
		if s.Shutdown(ctx) != nil { // a request, or a connection that a browser opened ahead, outlasted the wait
			_ = s.Close()
		}
	}
	n.closeAuth()
	n.closeListeners()
	if err := n.turn.Close(); err != nil {
		n.log.Warn("close turn", "err", err)
	}
}
