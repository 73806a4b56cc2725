package probe

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

const ssdpAnswer = "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nUSN: uuid:x\r\nLOCATION: http://192.168.3.1:5000/root.xml\r\n\r\n"

// TestSSDP: a device speaks for its own address only.
func TestSSDP(t *testing.T) {
	from := netip.MustParseAddr("192.168.3.1")
	for name, test := range map[string]struct {
		message string
		ok      bool
	}{
		"a gateway":         {ssdpAnswer, true},
		"another port":      {strings.Replace(ssdpAnswer, ":5000", "", 1), true},
		"another machine":   {strings.Replace(ssdpAnswer, "192.168.3.1", "192.168.3.9", 1), false},
		"this machine":      {strings.Replace(ssdpAnswer, "192.168.3.1", "127.0.0.1", 1), false},
		"a name":            {strings.Replace(ssdpAnswer, "192.168.3.1", "gateway.local", 1), false},
		"a file":            {strings.Replace(ssdpAnswer, "http://192.168.3.1:5000/", "file:///etc/", 1), false},
		"no location":       {strings.Replace(ssdpAnswer, "LOCATION", "X", 1), false},
		"an error":          {strings.Replace(ssdpAnswer, "200 OK", "404 No", 1), false},
		"a search":          {"M-SEARCH * HTTP/1.1\r\n\r\n", false},
		"nothing":           {"", false},
		"half of an answer": {ssdpAnswer[:40], false},
	} {
		if _, err := parseSSDP([]byte(test.message), from, nil); (err == nil) != test.ok {
			t.Errorf("%s: %v, want it taken: %v", name, err, test.ok)
		}
	}
}

func FuzzSSDP(f *testing.F) {
	f.Add([]byte(ssdpAnswer))
	f.Add([]byte("NOTIFY * HTTP/1.1\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nLocation: http://[::1]/\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n"))
	from := netip.MustParseAddr("192.168.3.1")
	f.Fuzz(func(t *testing.T, b []byte) {
		answer, err := parseSSDP(b, from, nil)
		if err != nil {
			return
		}
		at, err := url.Parse(answer.Header.Get("Location"))
		if err != nil || at.Hostname() != from.String() || at.Scheme != "http" {
			t.Errorf("%q leads to %v", b, at)
		}
	})
}

const description = `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device><friendlyName>A &lt;router&gt;&#x202e;</friendlyName><deviceList><device>
<serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>%s</controlURL></service></serviceList></device></deviceList></device></root>`

// gateway is a device that describes itself, with control at a URL.
func gateway(t *testing.T, control, external string) (at *url.URL, asked *int) {
	t.Helper()
	asked = new(int)
	mux := http.NewServeMux()
	mux.HandleFunc("/root.xml", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, description, control) })
	mux.HandleFunc("/control", func(w http.ResponseWriter, r *http.Request) {
		*asked++
		body, _ := io.ReadAll(r.Body)
		if action := r.Header.Get("SOAPAction"); !strings.HasSuffix(action, `#GetExternalIPAddress"`) || strings.Contains(string(body), "AddPortMapping") {
			t.Errorf("asked for %s: %s", action, body)
		}
		fmt.Fprintf(w, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><u:GetExternalIPAddressResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1"><NewExternalIPAddress>%s</NewExternalIPAddress></u:GetExternalIPAddressResponse></s:Body></s:Envelope>`, external)
	})
	mux.HandleFunc("/elsewhere.xml", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/root.xml", http.StatusFound) })
	mux.HandleFunc("/endless.xml", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, "<a>"+strings.Repeat(" ", 1<<16)); err != nil {
				return
			}
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL + "/root.xml")
	if err != nil {
		t.Fatal(err)
	}
	return at, asked
}

// TestDescribeUPnP: a gateway tells its name and its address. It cannot have this machine ask another, follow it elsewhere, or read without end.
func TestDescribeUPnP(t *testing.T) {
	at, asked := gateway(t, "/control", "11.22.33.4")
	if m := describeUPnP(t.Context(), at); !is(m.Found) || m.Name != "A <router>" || m.External != netip.MustParseAddr("11.22.33.4") || *asked != 1 {
		t.Errorf("%+v", m)
	}
	for control, external := range map[string]string{"http://127.0.0.2:9/control": "11.22.33.4", "/control": "no address", "/absent": "11.22.33.4"} {
		at, _ := gateway(t, control, external)
		if m := describeUPnP(t.Context(), at); !is(m.Found) || m.External.IsValid() || m.Why != "it tells no external address" {
			t.Errorf("%s: %+v", control, m)
		}
	}
	for _, path := range []string{"/elsewhere.xml", "/endless.xml", "/absent.xml"} {
		if m := describeUPnP(t.Context(), at.ResolveReference(&url.URL{Path: path})); !is(m.Found) || !strings.HasPrefix(m.Why, "its description cannot be read: ") {
			t.Errorf("%s: %+v", path, m)
		}
	}
}

func FuzzUPnPDevice(f *testing.F) {
	f.Add(fmt.Sprintf(description, "/control"))
	f.Add(strings.Repeat("<device>", 50))
	f.Add(`<root xmlns="urn:schemas-upnp-org:device-1-0"><URLBase>http://127.0.0.1/</URLBase></root>`)
	at := &url.URL{Scheme: "http", Host: "192.168.3.1"}
	f.Fuzz(func(t *testing.T, text string) {
		root, err := parseDevice(strings.NewReader(text), at)
		if err != nil {
			return
		}
		for _, kind := range upnpServices {
			for _, service := range root.Device.FindService(kind) {
				endpoint := service.NewSOAPClient().EndpointURL
				if sameHost(&endpoint, netip.MustParseAddr("192.168.3.1")) && endpoint.Hostname() != "192.168.3.1" {
					t.Errorf("asks %v", endpoint.String())
				}
			}
		}
		if name := printable(root.Device.FriendlyName); strings.ContainsAny(name, "\x1b\r\n\x00") || len(name) > 210 {
			t.Errorf("%q", name)
		}
	})
}
