package forward

import (
	"strings"
	"testing"
)

func TestParseSpec(t *testing.T) {
	for text, want := range map[string]Spec{
		"8080:localhost:80":                {Port: 8080, To: Destination{"localhost", 80}},
		"tcp/8080:localhost:80":            {Port: 8080, To: Destination{"localhost", 80}},
		"udp/5353:localhost:53":            {UDP: true, Port: 5353, To: Destination{"localhost", 53}},
		"localhost:8080:NAS.lan.:80":       {Port: 8080, To: Destination{"nas.lan", 80}},
		"127.0.0.1:8080:10.0.0.1:80":       {Port: 8080, To: Destination{"10.0.0.1", 80}},
		"192.168.1.5:8080:localhost:80":    {Bind: "192.168.1.5", Port: 8080, To: Destination{"localhost", 80}},
		":8080:localhost:80":               {Bind: "*", Port: 8080, To: Destination{"localhost", 80}},
		"*:8080:localhost:80":              {Bind: "*", Port: 8080, To: Destination{"localhost", 80}},
		"0:localhost:80":                   {To: Destination{"localhost", 80}},
		"[::1]:8080:[2001:DB8:0::1]:80":    {Bind: "::1", Port: 8080, To: Destination{"2001:db8::1", 80}},
		"8080:[::ffff:192.168.0.1]:80":     {Port: 8080, To: Destination{"192.168.0.1", 80}},
		"8080:[fe80::1%eth0]:80":           {Port: 8080, To: Destination{"fe80::1%eth0", 80}},
		"8080:_dmarc.example.org:65535":    {Port: 8080, To: Destination{"_dmarc.example.org", 65535}},
		"8080:xn--bcher-kva.example.org:1": {Port: 8080, To: Destination{"xn--bcher-kva.example.org", 1}},
	} {
		if got, err := ParseSpec(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, why := range map[string]string{
		"":                          "is not [BIND:]PORT:HOST:PORT",
		"8080":                      "is not [BIND:]PORT:HOST:PORT",
		"8080:80":                   "is not [BIND:]PORT:HOST:PORT",
		"a:8080:localhost:80:1":     "too many colons",
		"8080:::1:80":               "too many colons; IPv6 addresses need brackets",
		"8080:[::1:80":              "a bracket that does not end",
		"8080:[localhost]:80":       "no IPv6 address",
		"8080:[127.0.0.1]:80":       "no IPv6 address",
		"8080:[::1]x:80":            "between a bracket and a colon",
		"8080:localhost:0":          `"0" is no port`,
		"8080:localhost:65536":      `"65536" is no port`,
		"8080:localhost:http":       `"http" is no port`,
		"-1:localhost:80":           `"-1" is no port`,
		"8080::80":                  `"" is no host`,
		"8080:local host:80":        "is no host",
		"8080:a..b:80":              "is no host",
		"8080:bücher.example.org:1": "is no host",
		"8080:127.1:80":             "neither a name nor an address",
		"8080:0x7f000001:80":        "neither a name nor an address",
		"8080:2130706433:80":        "neither a name nor an address",
		"8080:017700000001:80":      "neither a name nor an address",
		"8080:0177.0.0.1:80":        "neither a name nor an address",
		"8080:/run/a.sock":          "has a path in it",
		"8080:" + strings.Repeat("a.", 130) + "a:80": "is no host",
	} {
		if got, err := ParseSpec(text); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %+v, %v; want %q", text, got, err, why)
		}
	}
}

func TestParseDynamic(t *testing.T) {
	for text, want := range map[string]Spec{
		"1080":           {Port: 1080},
		"0":              {},
		"localhost:1080": {Port: 1080},
		"[::1]:1080":     {Bind: "::1", Port: 1080},
		":1080":          {Bind: "*", Port: 1080},
	} {
		if got, err := ParseDynamic(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "udp/1080", "1:2:3", "x"} {
		if got, err := ParseDynamic(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// FuzzSpecs: what is read is written the same way, and never longer than a stream's line may be.
func FuzzSpecs(f *testing.F) {
	for _, text := range []string{"8080:localhost:80", "udp/:1:[::1]:2", "*:0:[fe80::1%eth0]:9", "localhost:22", "nas.lan:*", "*:*", "1080"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := ParseDestination(text); err == nil {
			again, err := ParseDestination(d.String())
			if err != nil || again != d {
				t.Errorf("%q is %+v, and %q is %+v, %v", text, d, d.String(), again, err)
			}
			if len(d.String()) > maxDestination || strings.ContainsAny(d.String(), "\n\r\x00/ ") {
				t.Errorf("%q is %q", text, d.String())
			}
		}
		if s, err := ParseSpec(text); err == nil && (s.To.Port == 0 || s.To.Host == "") {
			t.Errorf("%q leads nowhere: %+v", text, s)
		}
		if s, err := ParseDynamic(text); err == nil && (s.UDP || s.To != Destination{}) {
			t.Errorf("%q leads somewhere: %+v", text, s)
		}
		var a Allow
		if a.Set(text) == nil {
			var again Allow
			if err := again.Set(a.String()); err != nil || again.String() != a.String() {
				t.Errorf("%q is %q, and that is %q, %v", text, a.String(), again.String(), err)
			}
		}
		var r AllowRemote
		if r.Set(text) == nil {
			var again AllowRemote
			if err := again.Set(r.String()); err != nil || again.String() != r.String() {
				t.Errorf("%q is %q, and that is %q, %v", text, r.String(), again.String(), err)
			}
		}
	})
}
