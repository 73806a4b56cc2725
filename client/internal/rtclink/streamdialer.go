package rtclink

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
)

// dialTimeout bounds the way to a TURN server by TCP or TLS.
const dialTimeout = 10 * time.Second

// streamDialer opens the connections to TURN servers over TCP and TLS. pion would do so itself, with the authorities of the system
// alone. It is told an address only, so the dialer knows which ones are for TLS.
type streamDialer struct {
	config  *tls.Config // nil: the system's authorities
	life    context.Context
	end     context.CancelFunc
	secured atomic.Pointer[map[string]bool] // by address, as pion writes it
}

func newStreamDialer(config *tls.Config) *streamDialer {
	d := &streamDialer{config: config}
	d.life, d.end = context.WithCancel(context.Background())
	return d
}

// serve takes the servers that pion has from now on.
func (d *streamDialer) serve(servers []webrtc.ICEServer) {
	secured := map[string]bool{}
	for _, s := range servers {
		for _, text := range s.URLs {
			if u, err := stun.ParseURI(text); err == nil && u.Scheme == stun.SchemeTypeTURNS && u.Proto == stun.ProtoTypeTCP {
				secured[net.JoinHostPort(u.Host, strconv.Itoa(u.Port))] = true
			}
		}
	}
	d.secured.Store(&secured)
}

// Dial is called by pion while it gathers.
func (d *streamDialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.life, dialTimeout)
	defer cancel()
	if !(*d.secured.Load())[address] {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	config := &tls.Config{}
	if d.config != nil {
		config = d.config.Clone()
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	config.ServerName = host
	return (&tls.Dialer{Config: config}).DialContext(ctx, network, address)
}
