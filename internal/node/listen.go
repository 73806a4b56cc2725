package node

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"syscall"

	"example.org/turnpike/internal/httpapi"
	"example.org/turnpike/turnserver"
)

// Open opens every socket. If one cannot be opened, Close closes the others.
func (n *Node) Open() (err error) {
	for i, addr := range n.cfg.HTTP.Listen {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return n.cfg.Errorf(fmt.Sprintf("http.listen[%d]", i), "%s", listenProblem(addr, err))
		}
		n.webListeners = append(n.webListeners, l)
	}
	if err := n.openRedirects(); err != nil {
		return err
	}
	if addr := n.cfg.Metrics.Listen; addr != "" {
		if n.metricsListener, err = net.Listen("tcp", addr); err != nil {
			return n.cfg.Errorf("metrics.listen", "%s", listenProblem(addr, err)+`, or set it to "" for no metrics`)
		}
	}
	if err := n.turn.Start(); err != nil {
		return n.turnProblem(err)
	}
	if n.adminSocket, err = listenAdmin(n.cfg.AdminSocket()); err != nil { // the server is of use without it
		n.log.Warn("\"turnpike users\" and \"turnpike kick\" cannot reach this server", "err", err)
	}
	n.ice.PublicHost, n.ice.Web, n.ice.PublicPort = n.cfg.PublicHost, n.webTURN(), n.cfg.PublicPort
	for _, l := range n.turn.Addrs() {
		n.ice.Listeners = append(n.ice.Listeners, httpapi.Listener{Network: l.Network, Addr: l.Addr})
	}
	n.ice.Relays = n.relaysNow
	n.ice.Draining, n.ice.AlternateHost = n.turn.Draining, n.cfg.TURN.AlternateDomain
	for _, a := range n.cfg.TURN.AlternateServer {
		n.ice.Alternates = append(n.ice.Alternates, httpapi.Alternate(a))
	}
	return nil
}

func (n *Node) closeListeners() {
	if n.adminSocket != nil {
		_ = n.adminSocket.Close()
	}
	for _, l := range append(n.webListeners, n.redirectListeners...) {
		_ = l.Close()
	}
	if n.metricsListener != nil {
		_ = n.metricsListener.Close()
	}
}

// webAddrs are the addresses that HTTP is served on, ports resolved.
func (n *Node) webAddrs() []string {
	addrs := make([]string, len(n.webListeners))
	for i, l := range n.webListeners {
		addrs[i] = n.cfg.HTTP.Listen[i]
		if host, port, err := net.SplitHostPort(addrs[i]); err == nil && port == "0" {
			_, port, _ = net.SplitHostPort(l.Addr().String())
			addrs[i] = net.JoinHostPort(host, port)
		}
	}
	return addrs
}

// listenProblem says in a sentence why addr cannot be listened on, and what to do.
func listenProblem(addr string, err error) string {
	switch {
	case isErrno(err, syscall.EADDRINUSE, 10048):
		return addr + " is in use by another program; stop it or choose another port"
	case isErrno(err, syscall.EACCES, 10013):
		return addr + " may not be opened by this user; ports below 1024 need root or CAP_NET_BIND_SERVICE, others do not"
	case isErrno(err, syscall.EADDRNOTAVAIL, 10049):
		return addr + " is not an address of this machine; use one that it has"
	}
	return fmt.Sprintf("cannot listen on %s: %v", addr, err)
}

// isErrno also knows the number that Windows uses, which the syscall package does not map.
func isErrno(err error, unix syscall.Errno, windows syscall.Errno) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && (errno == unix || runtime.GOOS == "windows" && errno == windows)
}

// turnProblem names the key of what turnserver could not open.
func (n *Node) turnProblem(err error) error {
	if e, ok := errors.AsType[*turnserver.ListenError](err); ok {
		problem := listenProblem(e.Listener.String(), err)
		for i, l := range n.cfg.TURN.Listen {
			if l.Network == e.Listener.Network && l.Addr == e.Listener.Addr {
				return n.cfg.Errorf(fmt.Sprintf("turn.listen[%d]", i), "%s", problem)
			}
		}
		return n.cfg.Errorf("turn.nat_discovery_port", "%s", problem)
	}
	if e, ok := errors.AsType[*turnserver.RelayAddressError](err); ok {
		return n.cfg.Errorf("turn.relay_addresses", "%s", listenProblem(e.Local.String(), err))
	}
	if e, ok := errors.AsType[*turnserver.OffloadError](err); ok {
		return n.cfg.Errorf("turn.offload", `%w; or set it to "auto"`, e.Err)
	}
	return err
}
