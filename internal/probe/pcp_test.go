package probe

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// TestMapperAnswers reads answers as RFC 6886 §3.2 and RFC 6887 §7.2 draw them.
func TestMapperAnswers(t *testing.T) {
	pcp := func(version, op, result byte) []byte {
		return append([]byte{version, op, 0, result}, make([]byte, 20)...)
	}
	for name, test := range map[string]struct {
		parse   func([]byte) (mapperAnswer, error)
		message []byte
		want    mapperAnswer
		err     string
	}{
		"NAT-PMP":                           {parseNATPMP, []byte{0, 128, 0, 0, 0, 0, 0, 9, 11, 22, 33, 4}, mapperAnswer{external: netip.MustParseAddr("11.22.33.4")}, ""},
		"NAT-PMP, no address":               {parseNATPMP, []byte{0, 128, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0}, mapperAnswer{}, ""},
		"NAT-PMP, switched off":             {parseNATPMP, []byte{0, 128, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0}, mapperAnswer{result: 2}, ""},
		"NAT-PMP, an error without address": {parseNATPMP, []byte{0, 128, 0, 3}, mapperAnswer{result: 3}, ""},
		"NAT-PMP, PCP alone":                {parseNATPMP, pcp(2, 128, 1), mapperAnswer{}, "another version"},
		"NAT-PMP, a request":                {parseNATPMP, []byte{0, 0}, mapperAnswer{}, "no answer"},
		"NAT-PMP, cut off":                  {parseNATPMP, []byte{0, 128, 0, 0, 0, 0, 0, 9, 11, 22, 33}, mapperAnswer{}, "cut off"},
		"NAT-PMP, another operation":        {parseNATPMP, []byte{0, 129, 0, 0, 0, 0, 0, 9, 11, 22, 33, 4}, mapperAnswer{}, "no answer"},
		"PCP":                               {parsePCP, pcp(2, 128, 0), mapperAnswer{}, ""},
		"PCP, another NAT":                  {parsePCP, pcp(2, 128, 12), mapperAnswer{result: 12}, ""},
		"PCP, NAT-PMP alone":                {parsePCP, []byte{0, 128, 0, 1, 0, 0, 0, 0}, mapperAnswer{}, "another version"},
		"PCP, cut off":                      {parsePCP, pcp(2, 128, 0)[:23], mapperAnswer{}, "cut off"},
		"PCP, empty":                        {parsePCP, nil, mapperAnswer{}, "no answer"},
	} {
		got, err := test.parse(test.message)
		if test.err == "" && (err != nil || got != test.want) || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: %+v, %v; want %+v, %q", name, got, err, test.want, test.err)
		}
	}
}

// TestMapperRequests: the bytes are those of RFC 6886 §3.2 and RFC 6887 §14.1, which map nothing.
func TestMapperRequests(t *testing.T) {
	if got := natPMPRequest(); !bytes.Equal(got, []byte{0, 0}) {
		t.Errorf("NAT-PMP: %v", got)
	}
	want := append([]byte{2, 0, 0, 0, 0, 0, 0, 0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 3, 2)
	if got := pcpRequest(netip.MustParseAddr("192.168.3.2")); !bytes.Equal(got, want) {
		t.Errorf("PCP: %v, want %v", got, want)
	}
}

// router answers requests on a port of loopback.
func router(t *testing.T, answer func(request []byte) []byte) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2000)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if b := answer(buf[:n]); b != nil {
				_, _ = conn.WriteToUDPAddrPort(b, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// TestFindMapper: a router that loses the first request is asked again, one that refuses is found, and a closed port is no router.
func TestFindMapper(t *testing.T) {
	asked := 0
	lossy := router(t, func(request []byte) []byte {
		if asked++; asked == 1 {
			return nil
		}
		return []byte{0, 128, 0, 0, 0, 0, 0, 9, 11, 22, 33, 4}
	})
	if m := findNATPMP(t.Context(), lossy); !is(m.Found) || m.External != netip.MustParseAddr("11.22.33.4") || m.At != lossy.String() {
		t.Errorf("%+v", m)
	}
	refusing := router(t, func(request []byte) []byte {
		if request[0] != pcpVersion || len(request) != pcpSize {
			t.Errorf("request %v", request)
		}
		return append([]byte{2, 128, 0, 2}, make([]byte, 20)...)
	})
	if m := findPCP(t.Context(), refusing, netip.MustParseAddr("127.0.0.1")); !is(m.Found) || !strings.Contains(m.Why, "switched off") {
		t.Errorf("%+v", m)
	}
	babbling := router(t, func([]byte) []byte { return bytes.Repeat([]byte{7}, 1200) })
	if m := findPCP(t.Context(), babbling, netip.MustParseAddr("127.0.0.1")); !isNot(m.Found) || m.Why == "" {
		t.Errorf("%+v", m)
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	closed := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	_ = conn.Close()
	if m := findNATPMP(t.Context(), closed); !isNot(m.Found) || m.Why != "" {
		t.Errorf("%+v", m)
	}
}

// FuzzMapperAnswer: no answer of a router is found where the protocol has none, and none is read beyond its end.
func FuzzMapperAnswer(f *testing.F) {
	f.Add([]byte{0, 128, 0, 0, 0, 0, 0, 9, 11, 22, 33, 4})
	f.Add(append([]byte{2, 128, 0, 0}, make([]byte, 20)...))
	f.Add([]byte{0, 128, 0, 1, 0, 0, 0, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		pmp, pmpErr := parseNATPMP(b)
		_, pcpErr := parsePCP(b)
		if pmpErr == nil && pcpErr == nil {
			t.Error("one answer of two versions")
		}
		if pmpErr == nil && (b[0] != 0 || b[1] != 128 || pmp.external.IsValid() && (len(b) < 12 || pmp.result != 0)) {
			t.Errorf("%v is %+v", b, pmp)
		}
		if pcpErr == nil && (len(b) < 24 || b[0] != 2) {
			t.Errorf("%v is PCP", b)
		}
		if len(b) > 3 && b[1] != 128 && (errors.Is(pmpErr, errOtherVersion) || errors.Is(pcpErr, errOtherVersion)) {
			t.Errorf("%v is an answer", b)
		}
	})
}
