package client

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// look is how often the network is looked at where nobody tells of changes.
const look = time.Second

// watchNetwork calls changed whenever the addresses of this machine, or its way to the internet, are others than before, until ctx
// ends.
func watchNetwork(ctx context.Context, changed func()) {
	news, stop := networkNews(ctx)
	defer stop()
	before := surroundings()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	ticks := ticker.C
	if news != nil {
		ticks = nil
	}
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-news:
			if !ok { // the kernel tells no more
				news, ticks = nil, ticker.C
			}
		case <-ticks:
		}
		if now := surroundings(); now != "" && now != before {
			before = now
			changed()
		}
	}
}

// surroundings says from where this machine reaches others: its addresses, and those that it would send from. It is empty if nothing
// can be said.
func surroundings() string {
	var parts []string
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && !ip.IP.IsLinkLocalUnicast() {
			parts = append(parts, ip.String())
		}
	}
	slices.Sort(parts)
	for _, far := range []string{"8.8.8.8:53", "[2001:4860:4860::8888]:53"} { // nothing is sent there
		parts = append(parts, sourceTo(far))
	}
	return strings.Join(parts, " ")
}

// sourceTo is the address that a datagram to far would leave from, "none" if there is no way.
func sourceTo(far string) string {
	conn, err := net.Dial("udp", far)
	if err != nil {
		return "none"
	}
	defer conn.Close()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		return fmt.Sprint(err)
	}
	return host
}
