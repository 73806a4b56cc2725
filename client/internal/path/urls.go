package path

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/pion/stun/v4"

	"example.org/turnpike/signal/wire"
)

// credential is for one server. Without a name it is asked for the public address alone.
type credential struct{ username, password, host string }

func (c credential) relays() bool { return c.username != "" }

// endpoint is a way to a server: one of the URLs of [wire.ICEServer].
type endpoint struct {
	protocol string // udp, tcp, tls or dtls
	host     string
	port     uint16
	credential
}

// parse returns the endpoints that ICE servers name, those that relay first. Those that it does not understand it leaves out.
func parse(servers []wire.ICEServer, log *slog.Logger) []endpoint {
	var all []endpoint
	for _, s := range servers {
		for _, raw := range s.URLs {
			e, ok := parseURL(raw)
			if !ok {
				if log != nil {
					log.Warn("the server's URL is none of STUN or TURN", "url", raw)
				}
				continue
			}
			if strings.HasPrefix(raw, "turn") {
				e.credential = credential{username: s.Username, password: s.Credential}
			}
			e.credential.host = e.host
			all = append(all, e)
		}
	}
	// A server that is named for both is asked once, for both.
	slices.SortStableFunc(all, func(a, b endpoint) int {
		switch {
		case a.relays() == b.relays():
			return 0
		case a.relays():
			return -1
		}
		return 1
	})
	return all
}

func parseURL(raw string) (endpoint, bool) {
	u, err := stun.ParseURI(raw)
	if err != nil || u.Host == "" || u.Port < 1 || u.Port > 65535 {
		return endpoint{}, false
	}
	e := endpoint{host: u.Host, port: uint16(u.Port)}
	secure := u.Scheme == stun.SchemeTypeTURNS || u.Scheme == stun.SchemeTypeSTUNS
	switch {
	case u.Proto == stun.ProtoTypeUDP && !secure:
		e.protocol = "udp"
	case u.Proto == stun.ProtoTypeTCP && !secure:
		e.protocol = "tcp"
	case u.Proto == stun.ProtoTypeTCP:
		e.protocol = "tls"
	case u.Proto == stun.ProtoTypeUDP:
		e.protocol = "dtls"
	default:
		return endpoint{}, false
	}
	return e, true
}
