package coturn

import (
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

func convert(t *testing.T, text string) *Result {
	t.Helper()
	r, err := Convert(text, "/etc")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestKeys: every key that coturn's samples have has a rule, and every rule is for such a key.
func TestKeys(t *testing.T) {
	known := rules()
	unused := maps.Clone(known)
	for _, name := range []string{"testdata/keys-4.17.txt", "testdata/keys-earlier.txt"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for key := range strings.FieldsSeq(string(text)) {
			if _, ok := known[key]; !ok {
				t.Errorf("%s: no rule for %s", name, key)
			}
			delete(unused, key)
		}
	}
	for key := range unused {
		t.Errorf("a rule for %s, which no list has", key)
	}
	for key, r := range known {
		if r.take == nil == (r.why == "") {
			t.Errorf("%s must be taken, or say why not", key)
		}
	}
}

// TestConvert: what each key becomes.
func TestConvert(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want map[string]string
	}{
		"nothing":          {"# listening-port=1\n\n", nil},
		"a port":           {"listening-port=3479", map[string]string{"turn.listen": "udp://0.0.0.0:3479,tcp://0.0.0.0:3479,udp://[::]:3479,tcp://[::]:3479"}},
		"addresses":        {"listening-ip=10.0.0.5\nlistening-ip=2001:db8::5", map[string]string{"turn.listen": "udp://10.0.0.5:3478,tcp://10.0.0.5:3478,udp://[2001:db8::5]:3478,tcp://[2001:db8::5]:3478"}},
		"no TCP":           {"no-tcp\nlistening-ip=10.0.0.5", map[string]string{"turn.listen": "udp://10.0.0.5:3478"}},
		"no listener":      {"no-tcp\nno-udp", map[string]string{"turn.listen": ""}},
		"no TCP, said off": {"no-tcp=no\nno-udp = false", nil},
		"a certificate": {"cert=cert.pem\npkey=/k/key.pem\nlistening-ip=10.0.0.5\nno-dtls", map[string]string{"tls.mode": "files", "tls.cert_file": "/etc/cert.pem",
			"tls.key_file": "/k/key.pem", "turn.listen": "udp://10.0.0.5:3478,tcp://10.0.0.5:3478,tls://10.0.0.5:5349"}},
		"TLS on 443": {"cert=/c\npkey=/k\ntls-listening-port=443\nno-dtls\nlistening-ip=10.0.0.5",
			map[string]string{"tls.mode": "files", "tls.cert_file": "/c", "tls.key_file": "/k", "turn.listen": "udp://10.0.0.5:3478,tcp://10.0.0.5:3478"}},
		"mapped":         {"external-ip=60.70.80.91/172.17.19.101", map[string]string{"turn.external_addresses": "172.17.19.101=60.70.80.91"}},
		"external":       {"external-ip=60.70.80.91\nexternal-ip=2600::1", map[string]string{"turn.external_addresses": "0.0.0.0=60.70.80.91,::=2600::1"}},
		"ports":          {"min-port=50000\nmax-port=51000", map[string]string{"turn.relay_ports": "50000-51000"}},
		"one port":       {"min-port=50000", map[string]string{"turn.relay_ports": "50000-65535"}},
		"realm":          {"realm=\"north.gov\"", map[string]string{"turn.realm": "north.gov"}},
		"realm, spaced":  {"realm north.gov", map[string]string{"turn.realm": "north.gov"}},
		"quotas":         {"user-quota=12\ntotal-quota=1200\nmax-bps=3000000\nbps-capacity=0", map[string]string{"limits.allocations_per_user": "12", "limits.allocations": "1200", "limits.bandwidth_per_allocation": "24000 kbit/s"}},
		"a small rate":   {"max-bps=10", map[string]string{"limits.bandwidth_per_allocation": "1 kbit/s"}},
		"relaying":       {"no-tcp-relay\nmobility\nrelay-ip=10.0.0.5", map[string]string{"turn.tcp_relaying": "false", "turn.mobility": "true", "turn.relay_addresses": "10.0.0.5"}},
		"peers":          {"denied-peer-ip=83.166.64.0-83.166.95.255\nallowed-peer-ip=83.166.64.0-83.166.79.255", map[string]string{"turn.deny_peers": "83.166.80.0/20", "turn.allow_peers": "83.166.64.0/20"}},
		"metrics":        {"prometheus", map[string]string{"metrics.listen": "127.0.0.1:9641"}},
		"metrics, where": {"prometheus\nprometheus-port=9000\nprometheus-address=10.0.0.5", map[string]string{"metrics.listen": "10.0.0.5:9000"}},
	} {
		if got := convert(t, test.text); !maps.Equal(got.Keys, test.want) {
			t.Errorf("%s: %v\nwant %v", name, got.Keys, test.want)
		}
	}
}

// TestLeft: what cannot be taken is told with its line and a reason, and never with a secret.
func TestLeft(t *testing.T) {
	for text, want := range map[string]string{
		"user=ada:lovelace1234567890":    "turnpike has no list of users",
		"static-auth-secret=north":       "shorter than 16 characters",
		"no-auth":                        "relays for nobody without a credential",
		"alternate-server=1.2.3.4":       "only while it drains",
		"listening-port=0":               "is no port",
		"external-ip=here":               "is no IP address",
		"external-ip=1.2.3.4/::1":        "of the family of 1.2.3.4",
		"denied-peer-ip=9.9.9.9-1.1.1.1": "its end is not behind its beginning",
		"user-quota=many":                "is no number",
		"total-quota=0":                  "0 means no limit",
		"frobnicate":                     "is no key of coturn 4.17",
		"rest-api-separator=;":           "by a colon",
		"realm=":                         "has no value",
		"max-bps=99999999999999999":      "is no number of bytes",
		"psql-userdb=\"host=h password=p4ssw0rdp4ssw0rd\"": "has no database",
	} {
		r := convert(t, "\n"+text+"\n")
		if len(r.Left) != 1 || r.Left[0].Line != 2 || !strings.Contains(r.Left[0].Text, want) {
			t.Errorf("%s: %v, want %s", text, r.Left, want)
		}
		if len(r.Keys)+len(r.Taken)+len(r.Default) > 0 {
			t.Errorf("%s: %v %v %v", text, r.Keys, r.Taken, r.Default)
		}
		if value, isUser := strings.CutPrefix(text, "user=ada:"); isUser && strings.Contains(r.Left[0].Text, value) {
			t.Errorf("%s: %s", text, r.Left[0].Text)
		}
	}
}

// TestLeftWithoutOthers: a line that means nothing without another is not said to be taken.
func TestLeftWithoutOthers(t *testing.T) {
	for text, want := range map[string]string{
		"cert=/c.pem":                  "needs both cert and pkey",
		"pkey=/k.pem":                  "needs both cert and pkey",
		"tls-listening-port=5349":      "no listeners for TLS",
		"prometheus-port=9000":         "no line prometheus",
		"prometheus-address=127.0.0.1": "no line prometheus",
	} {
		if r := convert(t, text); len(r.Left) != 1 || !strings.Contains(r.Left[0].Text, want) || len(r.Taken)+len(r.Keys) > 0 {
			t.Errorf("%s: left %v, taken %v, keys %v", text, r.Left, r.Taken, r.Keys)
		}
	}
}

// TestSecrets: secrets are apart, and in no note.
func TestSecrets(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	r := convert(t, "use-auth-secret\nstatic-auth-secret="+secret+"\nstatic-auth-secret=another-of-sixteen")
	if !slices.Equal(r.Secrets, []string{secret, "another-of-sixteen"}) || len(r.Keys) > 0 {
		t.Errorf("%q %v", r.Secrets, r.Keys)
	}
	for _, n := range append(r.Taken, r.Default...) {
		if strings.Contains(n.Text, secret) {
			t.Error(n.Text)
		}
	}
}

func TestTooLongALine(t *testing.T) {
	if _, err := Convert(strings.Repeat("x", maxLine+1), "/etc"); err == nil {
		t.Error("no error")
	}
}

// TestSpans: ranges become prefixes with just their addresses.
func TestSpans(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1-10.0.0.6":                          "10.0.0.1/32,10.0.0.2/31,10.0.0.4/31,10.0.0.6/32",
		"0.0.0.0-255.255.255.255":                    "0.0.0.0/0",
		"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "::/0",
		"10.0.0.0/9":                                 "10.0.0.0/9",
		"::1":                                        "::1/128",
	} {
		s, err := parseSpan(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := prefixList([]span{s}); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	hole := span{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")}
	whole := span{netip.MustParseAddr("10.0.0.0"), netip.MustParseAddr("10.0.0.7")}
	if got := prefixList(without([]span{whole}, []span{hole})); got != "10.0.0.0/31,10.0.0.4/30" {
		t.Error(got)
	}
	if got := without([]span{whole}, []span{whole}); len(got) != 0 {
		t.Error(got)
	}
}

// FuzzConvert: each line with a key ends in just one note, no secret is in a note or a key, and what is denied stays denied.
func FuzzConvert(f *testing.F) {
	f.Add("listening-port=3478\nexternal-ip=1.2.3.4/10.0.0.1\ndenied-peer-ip=10.0.0.0-10.0.0.9\nallowed-peer-ip=10.0.0.5")
	f.Add("static-auth-secret=0123456789abcdef\nuse-auth-secret\nrealm = \"x\"\ncert=a\npkey=b")
	f.Add("--no-tcp off\nmin-port=1\nmax-port=2\nprometheus\nprometheus-address=::1")
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := parse(text)
		if err != nil {
			t.Skip()
		}
		r, err := Convert(text, "/etc")
		if err != nil {
			t.Fatal(err)
		}
		notes := slices.Concat(r.Taken, r.Default, r.Left)
		if len(notes) != len(lines) {
			t.Fatalf("%d notes for %d lines: %v", len(notes), len(lines), notes)
		}
		for _, secret := range r.Secrets {
			for _, n := range notes {
				if n.Key == "static-auth-secret" && strings.Contains(n.Text, secret) {
					t.Fatalf("%q has the secret", n.Text)
				}
			}
		}
		for _, p := range strings.Split(r.Keys["turn.deny_peers"], ",") {
			if _, err := netip.ParsePrefix(p); p != "" && err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestPage: the page for those who come from coturn names every key.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/coturn.md")
	if err != nil {
		t.Fatal(err)
	}
	known := rules()
	for key := range known {
		if !strings.Contains(string(page), "`"+key+"`") {
			t.Errorf("docs/coturn.md has no %s", key)
		}
	}
}
