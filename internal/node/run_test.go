package node

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestDrainWaitsForRelays(t *testing.T) {
	s := start(t)
	target := relayCredential(t, s)
	client, err := target.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.close()
	relay, err := client.Allocate()
	if err != nil {
		t.Fatal(err)
	}

	close(s.drain)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for status := 200; status != 503; {
		if status, _ = get(t, http.DefaultClient, s.row("web")+"/readyz"); ctx.Err() != nil {
			t.Fatal("still ready while draining")
		}
	}
	for { // a moment passes until new relays are refused, too
		late, err := target.connect(ctx)
		if err != nil {
			t.Fatal(err)
		}
		second, err := late.Allocate()
		if err == nil {
			_ = second.Close()
		}
		late.close()
		if err != nil {
			break
		}
	}
	select {
	case err := <-s.ended:
		t.Fatalf("the server ended with %v while a relay was there", err)
	default:
	}
	if err := relay.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.wait(); err != nil {
		t.Errorf("the server ended with %v: %s", err, s.log.String())
	}
}

func TestDrainTimeout(t *testing.T) {
	s := start(t, "--drain-timeout", "50ms")
	client, err := relayCredential(t, s).connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.close()
	if _, err := client.Allocate(); err != nil {
		t.Fatal(err)
	}
	close(s.drain)
	if err := s.wait(); err != nil || !strings.Contains(s.log.String(), "relays were still there") {
		t.Errorf("the server ended with %v: %s", err, s.log.String())
	}
}

func TestStopEndsADrain(t *testing.T) {
	s := start(t, "--drain-timeout", "1h")
	client, err := relayCredential(t, s).connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.close()
	if _, err := client.Allocate(); err != nil {
		t.Fatal(err)
	}
	close(s.drain)
	s.cancel()
	if err := s.wait(); err != nil {
		t.Errorf("the server ended with %v: %s", err, s.log.String())
	}
}
