package setup

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// TestSTUN: a STUN server's answer is the public address.
func TestSTUN(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			m := &stun.Message{Raw: append([]byte{}, buf[:n]...)}
			if m.Decode() != nil {
				continue
			}
			answer := stun.MustBuild(m, stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IPv4(45, 33, 7, 10), Port: 7})
			_, _ = conn.WriteTo(answer.Raw, from)
		}
	})
	defer serving.Wait()
	defer conn.Close()
	got, err := (Host{}).STUN(t.Context(), conn.LocalAddr().String(), netip.MustParseAddr("127.0.0.1"))
	if err != nil || got != netip.MustParseAddr("45.33.7.10") {
		t.Errorf("%v %v", got, err)
	}
}

// TestMetadata: a cloud's page is asked with the header that it wants, after a token if there is one.
func TestMetadata(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/token":
			_, _ = io.WriteString(w, "t0ken")
		case r.URL.Path == "/aws" && r.Header.Get("X-aws-ec2-metadata-token") == "t0ken", r.URL.Path == "/google" && r.Header.Get("Metadata-Flavor") == "Google":
			_, _ = io.WriteString(w, "45.33.7.10\n")
		default:
			http.Error(w, "no", http.StatusForbidden)
		}
	}))
	defer srv.Close()
	for _, page := range []metadataPage{
		{cloud: "AWS", token: srv.URL + "/token", url: srv.URL + "/aws"},
		{cloud: "Google", url: srv.URL + "/google", header: [2]string{"Metadata-Flavor", "Google"}},
	} {
		if got, err := page.ask(t.Context()); err != nil || got != netip.MustParseAddr("45.33.7.10") {
			t.Errorf("%s: %v %v", page.cloud, got, err)
		}
	}
	if _, err := (metadataPage{cloud: "Other", url: srv.URL + "/google"}).ask(t.Context()); err == nil {
		t.Error("a refusal is an address")
	}
}

// TestDate: the clock of a web server is read.
func TestDate(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", "Mon, 02 Jan 2006 15:04:05 GMT")
	}))
	defer srv.Close()
	if got, err := (Host{}).Date(t.Context(), srv.URL, ""); err != nil || !got.Equal(time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC)) {
		t.Errorf("%v %v", got, err)
	}
}
