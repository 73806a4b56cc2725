package setup

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pion/stun/v3"
)

// Machine is what setup asks of the machine and its surroundings. Host is the real one.
type Machine interface {
	// Sources are the addresses of the default routes, one a family at most.
	Sources() []netip.Addr
	// Own are all addresses of the interfaces.
	Own() []netip.Addr
	// DefaultRoutes names the default routes of IPv4, each by its gateway and device.
	DefaultRoutes() []string
	Resolve(ctx context.Context, host string) ([]netip.Addr, error)
	// STUN asks a server for the address that local has outside.
	STUN(ctx context.Context, server string, local netip.Addr) (netip.Addr, error)
	// Metadata asks the clouds' metadata services, and says which one answered.
	Metadata(ctx context.Context, local netip.Addr) (netip.Addr, string, error)
	// Listen tells whether a socket can be opened.
	Listen(network, addr string) error
	// Holder names the process that has a port; empty if that cannot be told.
	Holder(ctx context.Context, network, addr string) string
	// Date is the time that a web server has.
	Date(ctx context.Context, url, caFile string) (time.Time, error)
	// Writable complains if a directory cannot be made or written, or has less room. It writes nothing.
	Writable(dir string, room uint64) error
	Now() time.Time
}

// askTimeout bounds each question to somebody else.
const askTimeout = 5 * time.Second

// Host is this machine.
type Host struct {
	Look bool // only look: open no port, not even for a moment
}

// Sources implements Machine, as the server itself finds the addresses that it relays from.
func (Host) Sources() (out []netip.Addr) {
	for network, far := range map[string]string{"udp4": "1.1.1.1:9", "udp6": "[2606:4700:4700::1111]:9"} {
		conn, err := net.Dial(network, far) // it asks for the route, and sends nothing
		if err != nil {
			continue
		}
		if local, err := netip.ParseAddrPort(conn.LocalAddr().String()); err == nil && local.Addr().IsGlobalUnicast() {
			out = append(out, local.Addr().Unmap())
		}
		_ = conn.Close()
	}
	slices.SortFunc(out, netip.Addr.Compare) // IPv4 first
	return out
}

// Own implements Machine.
func (Host) Own() (out []netip.Addr) {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}

// Now implements Machine.
func (Host) Now() time.Time { return time.Now() }

// Resolve implements Machine.
func (Host) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, err
}

// STUN implements Machine.
func (Host) STUN(ctx context.Context, server string, local netip.Addr) (netip.Addr, error) {
	network := "udp4"
	if local.Is6() {
		network = "udp6"
	}
	dialer := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)), Timeout: askTimeout}
	conn, err := dialer.DialContext(ctx, network, server)
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	client, err := stun.NewClient(conn)
	if err != nil {
		return netip.Addr{}, err
	}
	defer client.Close()
	var mapped stun.XORMappedAddress
	var failed error
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return netip.Addr{}, err
	}
	if err := client.Do(request, func(e stun.Event) {
		if failed = e.Error; failed == nil {
			failed = mapped.GetFrom(e.Message)
		}
	}); err != nil {
		return netip.Addr{}, err
	}
	if failed != nil {
		return netip.Addr{}, failed
	}
	addr, _ := netip.AddrFromSlice(mapped.IP)
	return addr.Unmap(), nil
}

// metadata are the pages of clouds that tell the public IPv4 address: a token first, where there must be one.
func metadata() []metadataPage {
	return []metadataPage{
		{cloud: "AWS", token: "http://169.254.169.254/latest/api/token", url: "http://169.254.169.254/latest/meta-data/public-ipv4"},
		{cloud: "Google Cloud", header: [2]string{"Metadata-Flavor", "Google"},
			url: "http://169.254.169.254/computeMetadata/v1/instance/network-interfaces/0/access-configs/0/external-ip"},
		{cloud: "Azure", header: [2]string{"Metadata", "true"},
			url: "http://169.254.169.254/metadata/instance/network/interface/0/ipv4/ipAddress/0/publicIpAddress?api-version=2021-02-01&format=text"},
		{cloud: "Hetzner", url: "http://169.254.169.254/hetzner/v1/metadata/public-ipv4"},
		{cloud: "DigitalOcean", url: "http://169.254.169.254/metadata/v1/interfaces/public/0/ipv4/address"},
	}
}

type metadataPage struct {
	cloud, token, url string
	header            [2]string
}

// Metadata implements Machine.
func (Host) Metadata(ctx context.Context, local netip.Addr) (netip.Addr, string, error) {
	if !local.Is4() {
		return netip.Addr{}, "", errors.New("it has no metadata for IPv6")
	}
	var last error
	for _, page := range metadata() {
		a, err := page.ask(ctx)
		if err == nil {
			return a, "the metadata of " + page.cloud, nil
		}
		last = err
		if _, timeout := errors.AsType[net.Error](err); timeout && strings.Contains(err.Error(), "connect") {
			break // nobody is at that address
		}
	}
	return netip.Addr{}, "", last
}

func (p metadataPage) ask(ctx context.Context) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{Proxy: nil}}
	get := func(method, url string, header [2]string) (string, error) {
		r, err := http.NewRequestWithContext(ctx, method, url, nil)
		if err != nil {
			return "", err
		}
		if header[0] != "" {
			r.Header.Set(header[0], header[1])
		}
		resp, err := client.Do(r)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s answers %s", p.cloud, resp.Status)
		}
		return strings.TrimSpace(string(text)), err
	}
	header := p.header
	if p.token != "" {
		token, err := get(http.MethodPut, p.token, [2]string{"X-aws-ec2-metadata-token-ttl-seconds", "60"})
		if err != nil {
			return netip.Addr{}, err
		}
		header = [2]string{"X-aws-ec2-metadata-token", token}
	}
	text, err := get(http.MethodGet, p.url, header)
	if err != nil {
		return netip.Addr{}, err
	}
	return netip.ParseAddr(text)
}

// Listen implements Machine.
func (h Host) Listen(network, addr string) error {
	if h.Look {
		return h.looksFree(network, addr)
	}
	if strings.HasPrefix(network, "udp") {
		conn, err := net.ListenPacket(network, addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		return err
	}
	return l.Close()
}

// Date implements Machine.
func (Host) Date(ctx context.Context, url, caFile string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return time.Time{}, err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(text)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return time.Time{}, err
	}
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return time.Time{}, err
	}
	defer resp.Body.Close()
	return http.ParseTime(resp.Header.Get("Date"))
}

// Writable implements Machine. It writes nothing.
func (Host) Writable(dir string, room uint64) error {
	for {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			return fmt.Errorf("%s is no directory", dir)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrNotExist) || filepath.Dir(dir) == dir {
			return err
		}
		dir = filepath.Dir(dir)
	}
	if err := mayWrite(dir); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if free, err := freeSpace(dir); err == nil && free < room {
		return fmt.Errorf("%s has only %d bytes of room", dir, free)
	}
	return nil
}
