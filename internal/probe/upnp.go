package probe

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/ssdp"
	"golang.org/x/net/ipv4"
)

// A router with UPnP answers a search by multicast (SSDP) with the URL of its description, which names its services. goupnp knows the
// messages. The socket and the fetching are ours: goupnp's log what strangers send, take the word of any machine for the URL of any
// other, and read without end.

// upnpSearch is what gateways answer to. Those of version 2 must answer to version 1 also, and not all do.
var upnpSearch = []string{"urn:schemas-upnp-org:device:InternetGatewayDevice:1", "urn:schemas-upnp-org:device:InternetGatewayDevice:2"}

// upnpServices are those that map ports.
var upnpServices = []string{"urn:schemas-upnp-org:service:WANIPConnection:2", "urn:schemas-upnp-org:service:WANIPConnection:1", "urn:schemas-upnp-org:service:WANPPPConnection:1"}

const (
	upnpPatience   = 2 * time.Second        // RawSearch sends whole seconds as MX, in which devices choose when to answer
	upnpGrace      = 300 * time.Millisecond // for a second gateway, once one has answered
	maxUPnPAnswers = 16
)

// findUPnP searches for a gateway that maps ports. local is the address of the interface to search on. gateway is asked by unicast
// also, as many wireless networks carry no multicast.
func findUPnP(whole context.Context, ifi *net.Interface, local, gateway netip.Addr) Mapper {
	ctx, cancel := context.WithTimeout(whole, upnpPatience)
	defer cancel()
	search := &ssdpSearch{ifi: ifi, local: local, to: []netip.AddrPort{netip.MustParseAddrPort("239.255.255.250:1900")}}
	if gateway.IsValid() {
		search.to = append(search.to, netip.AddrPortFrom(gateway, 1900))
	}
	type answer struct {
		responses []*http.Response
		err       error
	}
	answers := make(chan answer, len(upnpSearch))
	for _, target := range upnpSearch {
		go func() {
			found, err := ssdp.RawSearch(ctx, search, target, 2)
			answers <- answer{found, err}
		}()
	}
	var first *http.Response
	var errs []error
	for range upnpSearch {
		a := <-answers
		errs = append(errs, a.err)
		if first == nil && len(a.responses) > 0 {
			first = a.responses[0]
		}
	}
	if first == nil {
		if err := errors.Join(errs...); err != nil {
			return Mapper{Why: oneLine(err.Error())}
		}
		return Mapper{Found: no()}
	}
	at, err := first.Location()
	if err != nil {
		return Mapper{Found: no()}
	}
	return describeUPnP(whole, at)
}

// ssdpSearch sends a search of goupnp's.
type ssdpSearch struct {
	ifi   *net.Interface
	local netip.Addr
	to    []netip.AddrPort
}

// DoWithContext implements ssdp.HTTPUClientCtx.
func (s *ssdpSearch) DoWithContext(req *http.Request, sends int) (out []*http.Response, err error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.local, 0)))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if s.ifi != nil {
		_ = ipv4.NewPacketConn(conn).SetMulticastInterface(s.ifi) // else the system chooses
	}
	ctx := req.Context()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var message bytes.Buffer
	fmt.Fprintf(&message, "%s %s HTTP/1.1\r\n", req.Method, req.URL.RequestURI())
	_ = req.Header.Write(&message)
	message.WriteString("\r\n")
	var sendErr error
	sent := false
	for range sends {
		for _, to := range s.to {
			_, err := conn.WriteToUDPAddrPort(message.Bytes(), to)
			sent = sent || err == nil
			sendErr = errors.Join(sendErr, err)
		}
	}
	if !sent {
		return nil, sendErr
	}
	buf := make([]byte, 2048)
	for len(out) < maxUPnPAnswers {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			break // the end of the wait
		}
		answer, err := parseSSDP(buf[:n], from.Addr(), req)
		if err != nil {
			continue
		}
		if out = append(out, answer); len(out) == 1 && ctx.Err() == nil {
			_ = conn.SetReadDeadline(time.Now().Add(upnpGrace))
		}
	}
	return out, nil
}

// parseSSDP reads an answer to a search. A device may name a URL at its own address only: else any machine of the network could
// have this one ask any other.
func parseSSDP(b []byte, from netip.Addr, req *http.Request) (*http.Response, error) {
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), req)
	if err != nil {
		return nil, err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, errors.New(answer.Status)
	}
	at, err := url.Parse(answer.Header.Get("Location"))
	if err != nil {
		return nil, err
	}
	if !sameHost(at, from) {
		return nil, fmt.Errorf("a device at %s speaks for %s", from, at.Host)
	}
	return answer, nil
}

func sameHost(at *url.URL, host netip.Addr) bool {
	ip, err := netip.ParseAddr(at.Hostname())
	return err == nil && at.Scheme == "http" && ip == host.Unmap()
}

// describeUPnP reads a gateway's description, and asks for its external address.
func describeUPnP(ctx context.Context, at *url.URL) Mapper {
	m := Mapper{Found: yes(), At: at.Host}
	ctx, cancel := context.WithTimeout(ctx, upnpPatience)
	defer cancel()
	host, err := netip.ParseAddr(at.Hostname())
	if err != nil {
		return Mapper{Found: no()}
	}
	client := &http.Client{
		Transport:     boundedTransport{&http.Transport{DisableKeepAlives: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	root, err := fetchDevice(ctx, client, at)
	if err != nil {
		m.Why = "its description cannot be read: " + printable(err.Error())
		return m
	}
	m.Name = printable(root.Device.FriendlyName)
	for _, kind := range upnpServices {
		for _, service := range root.Device.FindService(kind) {
			soap := service.NewSOAPClient()
			if !sameHost(&soap.EndpointURL, host) {
				continue
			}
			soap.HTTPClient = *client
			var out struct{ NewExternalIPAddress string }
			if soap.PerformActionCtx(ctx, kind, "GetExternalIPAddress", nil, &out) != nil {
				continue
			}
			if ip, err := netip.ParseAddr(strings.TrimSpace(out.NewExternalIPAddress)); err == nil && !ip.IsUnspecified() {
				m.External = ip.Unmap().WithZone("") // a zone is any text
				return m
			}
		}
	}
	m.Why = "it tells no external address"
	return m
}

// fetchDevice reads a description.
func fetchDevice(ctx context.Context, client *http.Client, at *url.URL) (*goupnp.RootDevice, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	return parseDevice(resp.Body, at)
}

func parseDevice(r io.Reader, at *url.URL) (*goupnp.RootDevice, error) {
	root := new(goupnp.RootDevice)
	decoder := xml.NewDecoder(r)
	decoder.DefaultSpace = goupnp.DeviceXMLNamespace
	if err := decoder.Decode(root); err != nil {
		return nil, err
	}
	base := at
	if root.URLBaseStr != "" {
		var err error
		if base, err = url.Parse(root.URLBaseStr); err != nil {
			return nil, err
		}
	}
	root.SetURLBase(base)
	return root, nil
}

// boundedTransport cuts answers off, as a device of the network may be anybody's.
type boundedTransport struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, 4*maxAnswer), resp.Body}
	}
	return resp, err
}
