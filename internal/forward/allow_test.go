package forward

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestAllow(t *testing.T) {
	for _, row := range []struct {
		allow, asked string
		want         bool
	}{
		{"localhost:22", "localhost:22", true},
		{"22", "localhost:22", true},
		{"localhost:22", "LOCALHOST.:22", true},
		{"localhost:22", "127.0.0.1:22", true},
		{"localhost:22", "[::1]:22", true},
		{"localhost:22", "[::ffff:127.0.0.1]:22", true},
		{"localhost:22", "127.0.0.2:22", false},
		{"localhost:22", "0.0.0.0:22", false},
		{"localhost:22", "localhost:23", false},
		{"localhost:22", "udp/localhost:22", false},
		{"udp/localhost:53", "udp/localhost:53", true},
		{"udp/localhost:53", "localhost:53", false},
		{"127.0.0.1:22", "localhost:22", false}, // it is also ::1
		{"localhost:22", "evil.example.org:22", false},
		{"localhost:22", "localhost.evil.org:22", false},
		{"localhost:22", "foo.localhost:22", false},
		{"nas.lan:*", "nas.lan:1", true},
		{"nas.lan:*", "nas.lan:65535", true},
		{"nas.lan:*", "nas2.lan:1", false},
		{"*:443", "example.org:443", true},
		{"*:443", "192.168.1.1:443", true},
		{"*:443", "example.org:80", false},
		{"*:*", "example.org:80", true},
		{"*:*", "localhost:22", false},
		{"*:*", "127.0.0.1:22", false},
		{"*:*", "127.9.9.9:22", false},
		{"*:*", "[::1]:22", false},
		{"*:*", "0.0.0.0:22", false},
		{"*:*", "[::]:22", false},
		{"*:*", "[::ffff:127.0.0.1]:22", false},
		{"*:*", "[::127.0.0.1]:22", false},
		{"*:*", "[64:ff9b::7f00:1]:22", false},
		{"*:*", "169.254.169.254:80", false},
		{"*:*", "[fd00:ec2::254]:80", false},
		{"*:*", "168.63.129.16:80", false},
		{"[fd00:ec2::254]:80", "[fd00:ec2::254]:80", true},
		{"*:*", "[fe80::1%eth0]:80", false},
		{"*:*", "224.0.0.1:80", false},
		{"169.254.169.254:80", "169.254.169.254:80", true},
		{"*:*, localhost:22", "localhost:22", true},
		{"", "localhost:22", false},
	} {
		var a Allow
		if row.allow != "" {
			if err := a.Set(row.allow); err != nil {
				t.Errorf("%q: %v", row.allow, err)
				continue
			}
		}
		text, isUDP := strings.CutPrefix(row.asked, "udp/")
		d, err := ParseDestination(text)
		if err != nil {
			t.Errorf("%q: %v", row.asked, err)
			continue
		}
		if got := a.permits(isUDP, d); got != row.want {
			t.Errorf("allowed is %q, %q: %v", row.allow, row.asked, got)
		}
	}
	for text, why := range map[string]string{
		"localhost":      "write it like localhost:22",
		"localhost:":     "is no port",
		"localhost:0":    "is no port",
		"*.lan:80":       "is no host",
		"a:b:c":          "is not HOST:PORT",
		"localhost:22,,": "is not HOST:PORT",
		"::1:22":         "is not HOST:PORT",
	} {
		var a Allow
		if err := a.Set(text); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v; want %q", text, err, why)
		}
	}
}

// TestResolve: a name of somebody else's never leads to what only this machine reaches, and what was judged is what is connected to.
func TestResolve(t *testing.T) {
	for _, row := range []struct {
		host  string
		found []string
		want  []string
		err   string
	}{
		{"localhost", []string{"10.0.0.1"}, []string{"127.0.0.1", "::1"}, ""}, // nobody is asked
		{"10.0.0.1", nil, []string{"10.0.0.1"}, ""},
		{"127.0.0.1", nil, []string{"127.0.0.1"}, ""}, // it was allowed as it stands
		{"nas.lan", []string{"192.168.1.5"}, []string{"192.168.1.5"}, ""},
		{"evil.org", []string{"127.0.0.1"}, nil, "only this machine reaches"},
		{"evil.org", []string{"0.0.0.0"}, nil, "only this machine reaches"},
		{"evil.org", []string{"::"}, nil, "only this machine reaches"},
		{"evil.org", []string{"::ffff:127.0.0.1"}, nil, "only this machine reaches"},
		{"evil.org", []string{"169.254.169.254"}, nil, "only this machine reaches"},
		{"evil.org", []string{"127.0.0.1", "93.184.216.34"}, []string{"93.184.216.34"}, ""},
		{"gone.org", nil, nil, "no such host"},
	} {
		asked := 0
		got, err := resolve(t.Context(), func(context.Context, string, string) (addrs []netip.Addr, _ error) {
			asked++
			for _, text := range row.found {
				addrs = append(addrs, netip.MustParseAddr(text))
			}
			return addrs, nil
		}, row.host)
		var want []netip.Addr
		for _, text := range row.want {
			want = append(want, netip.MustParseAddr(text))
		}
		if !slices.Equal(got, want) || (err != nil) != (row.err != "") || err != nil && !strings.Contains(err.Error(), row.err) || asked > 1 {
			t.Errorf("%s, which is at %v: %v, %v, after %d lookups", row.host, row.found, got, err, asked)
		}
	}
	if _, err := resolve(t.Context(), func(context.Context, string, string) ([]netip.Addr, error) {
		return nil, errors.New("no server answers")
	}, "a.org"); err == nil {
		t.Error("a failure of the resolver is none")
	}
}

func TestAllowRemote(t *testing.T) {
	for _, row := range []struct {
		allow, bind string
		port        uint16
		want        bool
	}{
		{"8080", "", 8080, true},
		{"localhost:8080", "", 8080, true},
		{"8080", "", 8081, false},
		{"8080", "*", 8080, false},
		{"8080", "192.168.1.5", 8080, false},
		{"192.168.1.5:8080", "192.168.1.5", 8080, true},
		{"*:8080", "192.168.1.5", 8080, true},
		{"*:8080", "*", 8080, true},
		{"*:8080", "", 8080, true},
		{"*", "", 1024, true},
		{"*", "", 0, true},
		{"*", "", 1023, false},
		{"*", "*", 8080, false},
		{"*:*", "*", 8080, true},
		{"80", "", 80, true},
		{"80", "", 0, false},
		{"udp/5353", "", 5353, false},
	} {
		var a AllowRemote
		if err := a.Set(row.allow); err != nil {
			t.Errorf("%q: %v", row.allow, err)
			continue
		}
		if got := a.permits(Spec{Bind: row.bind, Port: row.port}); got != row.want {
			t.Errorf("allowed is %q, %q port %d: %v", row.allow, row.bind, row.port, got)
		}
	}
	for _, text := range []string{"", "0", "a", "1:2:3", "localhost:0", "8080:localhost:80"} {
		var a AllowRemote
		if a.Set(text) == nil {
			t.Errorf("%q is taken as %s", text, a.String())
		}
	}
}
