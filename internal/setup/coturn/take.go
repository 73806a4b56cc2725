package coturn

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// minSecret is the length of the shortest secret that turnpike takes.
const minSecret = 16

func (c *conversion) set(key, value string) {
	if value == "" {
		c.left("has no value")
		return
	}
	c.Keys[key] = value
	c.took("%s = %s", key, value)
}

func (c *conversion) setPort(port *string) {
	if n, err := strconv.ParseUint(c.line.value, 10, 16); err != nil || n == 0 {
		c.left("%q is no port", c.line.value)
		return
	}
	*port = strings.TrimLeft(c.line.value, "0")
	c.took("port %s", *port)
}

func (c *conversion) path() string {
	if c.line.value == "" || filepath.IsAbs(c.line.value) {
		return c.line.value
	}
	return filepath.Join(c.dir, c.line.value)
}

func (c *conversion) addr() (netip.Addr, bool) {
	a, err := netip.ParseAddr(c.line.value)
	if err != nil || a.Zone() != "" {
		c.left("%q is no IP address", c.line.value)
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

func (c *conversion) takeListen() {
	if a, ok := c.addr(); ok {
		c.listen = append(c.listen, a.String())
		c.took("turn.listen")
	}
}

func (c *conversion) takeRelay() {
	if a, ok := c.addr(); ok {
		c.relays = append(c.relays, a.String())
		c.took("turn.relay_addresses")
	}
}

// takeExternal reads "public" or "public/private".
func (c *conversion) takeExternal() {
	public, private, mapped := strings.Cut(c.line.value, "/")
	outside, err := netip.ParseAddr(public)
	if err != nil || outside.Zone() != "" {
		c.left("%q is no IP address", public)
		return
	}
	inside := netip.IPv4Unspecified()
	if outside.Is6() {
		inside = netip.IPv6Unspecified()
	}
	if mapped {
		if inside, err = netip.ParseAddr(private); err != nil || inside.Zone() != "" || inside.Is4() != outside.Is4() {
			c.left("%q is no IP address of the family of %s", private, public)
			return
		}
	}
	if inside == outside {
		c.same("maps an address to itself")
		return
	}
	c.externals = append(c.externals, inside.String()+"="+outside.String())
	c.took("turn.external_addresses: %s is %s outside", inside, outside)
}

func (c *conversion) takeNoTCPRelay() {
	c.set("turn.tcp_relaying", strconv.FormatBool(!c.line.on()))
}

func (c *conversion) takeMobility() { c.set("turn.mobility", strconv.FormatBool(c.line.on())) }

func (c *conversion) takeUseSecret() {
	if !c.line.on() {
		c.same("is off: there are no secrets of apps")
		return
	}
	c.same("turn.shared_secrets turns it on")
}

// takeSecret never repeats the secret in a note.
func (c *conversion) takeSecret() {
	switch n := len(c.line.value); {
	case n < minSecret:
		c.left("the secret is shorter than %d characters; make one with: openssl rand -hex 32, and give it to the app", minSecret)
	case strings.ContainsAny(c.line.value, "\"'\\\n\r"):
		c.left("the secret has quotes or backslashes; make one with: openssl rand -hex 32, and give it to the app")
	default:
		c.Secrets = append(c.Secrets, c.line.value)
		c.took("TURNPIKE_TURN_SHARED_SECRETS; its users may relay to every public address")
	}
}

func (c *conversion) takeSeparator() {
	if c.line.value == ":" {
		c.same("is the colon")
		return
	}
	c.left("turnpike separates time and user by a colon; tell the apps")
}

func (c *conversion) takeSpan(list *[]span, key string) {
	s, err := parseSpan(c.line.value)
	if err != nil {
		c.left("%q %v", c.line.value, err)
		return
	}
	*list = append(*list, s)
	c.took("%s", key)
}

func (c *conversion) takeCount(key string) {
	n, err := strconv.ParseUint(c.line.value, 10, 31)
	switch {
	case err != nil:
		c.left("%q is no number", c.line.value)
	case n == 0:
		c.left("0 means no limit, and turnpike always has one; %s has its default", key)
	default:
		c.set(key, strconv.FormatUint(n, 10))
	}
}

// takeBandwidth reads bytes a second.
func (c *conversion) takeBandwidth(key string) {
	n, err := strconv.ParseUint(c.line.value, 10, 36)
	switch {
	case err != nil:
		c.left("%q is no number of bytes a second", c.line.value)
	case n == 0:
		c.same("is unlimited, as %s is by default", key)
	default:
		c.set(key, fmt.Sprintf("%d kbit/s", max(1, n*8/1000)))
	}
}

// finish makes the keys that several lines have a part in.
func (c *conversion) finish() {
	c.finishTLS()
	c.finishListen()
	if c.minPort != "" || c.maxPort != "" {
		first, last := c.minPort, c.maxPort
		if first == "" {
			first = "49152"
		}
		if last == "" {
			last = "65535"
		}
		c.Keys["turn.relay_ports"] = first + "-" + last
	}
	for key, list := range map[string][]string{"turn.external_addresses": c.externals, "turn.relay_addresses": c.relays} {
		if len(list) > 0 {
			c.Keys[key] = strings.Join(list, ",")
		}
	}
	for key, spans := range map[string][]span{"turn.deny_peers": without(c.denied, c.allowed), "turn.allow_peers": c.allowed} {
		if len(spans) > 0 {
			c.Keys[key] = prefixList(spans)
		}
	}
	if !c.prometheus {
		c.leave("there is no line prometheus; turnpike has metrics anyway, see metrics.listen", "prometheus-port", "prometheus-address")
	} else {
		c.Keys["metrics.listen"] = net.JoinHostPort(orElse(c.metricsAddr, "127.0.0.1"), orElse(c.metricsPort, "9641"))
	}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// leave turns a note that a line was taken into one that it was not, since the lines that it needs are not there.
func (c *conversion) leave(why string, keys ...string) {
	c.Taken = slices.DeleteFunc(c.Taken, func(n Note) bool {
		if !slices.Contains(keys, n.Key) {
			return false
		}
		n.Text = why
		c.Left = append(c.Left, n)
		return true
	})
}

// finishTLS takes a certificate with its key.
func (c *conversion) finishTLS() {
	if c.cert == "" || c.key == "" {
		c.noTLS, c.noDTLS = true, true
		c.leave("a certificate needs both cert and pkey", "cert", "pkey")
		c.leave("there are no listeners for TLS and DTLS without cert and pkey; turnpike takes TURN over TLS at http.listen", "tls-listening-port")
		return
	}
	c.Keys["tls.mode"], c.Keys["tls.cert_file"], c.Keys["tls.key_file"] = "files", c.cert, c.key
}

// finishListen names the listeners, unless they are turnpike's own.
func (c *conversion) finishListen() {
	if len(c.listen) == 0 && c.port == "3478" && !c.noUDP && !c.noTCP && c.noTLS && c.noDTLS {
		return
	}
	hosts := c.listen
	if len(hosts) == 0 {
		hosts = []string{"0.0.0.0", "::"}
	}
	var out []string
	for _, host := range hosts {
		for _, l := range []struct {
			off           bool
			network, port string
		}{{c.noUDP, "udp", c.port}, {c.noTCP, "tcp", c.port}, {c.noTLS || c.tlsPort == "443", "tls", c.tlsPort}, {c.noDTLS, "dtls", c.tlsPort}} {
			if !l.off {
				out = append(out, l.network+"://"+net.JoinHostPort(host, l.port))
			}
		}
	}
	c.Keys["turn.listen"] = strings.Join(out, ",") // none, if all are off: turnpike then takes TURN at http.listen alone
}
