package main

import (
	"strings"
	"testing"

	"example.org/turnpike/internal/turnload"
)

func TestBenchFlags(t *testing.T) {
	p := &program{environ: []string{"TURNPIKE_BENCH_SECRET=from the environment"}}
	f, err := p.readBenchFlags([]string{"turn:192.0.2.7", "--calls", "100", "--direction", "both", "--max", "--pid", "17"})
	if err != nil {
		t.Fatal(err)
	}
	if f.Seconds != 2 || f.uri.Port != 3478 || f.Config.Calls != 100 || !strings.HasSuffix(f.Config.Credential(3).Username, ":bench3") {
		t.Errorf("%+v", f)
	}
}

// TestBenchTransports: a URI says how clients reach the server, and stun: stands for Binding requests.
func TestBenchTransports(t *testing.T) {
	p := &program{environ: []string{"TURNPIKE_BENCH_SECRET=from the environment"}}
	for uri, want := range map[string]turnload.Transport{
		"turn:turn.example.org":                     turnload.OverUDP,
		"turn:turn.example.org?transport=tcp":       turnload.OverTCP,
		"turns:turn.example.org":                    turnload.OverTLS,
		"turns:turn.example.org:5349?transport=udp": turnload.OverDTLS,
		"stun:turn.example.org":                     turnload.OverUDP,
	} {
		f, err := p.readBenchFlags([]string{uri})
		if err != nil {
			t.Fatal(uri, err)
		}
		cfg := f.Config
		if cfg.Transport != want || cfg.Binding != strings.HasPrefix(uri, "stun:") || cfg.TLS.ServerName != "turn.example.org" || cfg.TLS.InsecureSkipVerify {
			t.Errorf("%s: %+v", uri, cfg)
		}
	}
}

func TestBenchSignalFlags(t *testing.T) {
	p := &program{environ: []string{"TURNPIKE_BENCH_TICKET=from the environment"}}
	f, err := p.readSignalFlags([]string{"https://turn.example.org", "--sessions", "100", "--max", "--pid", "17"})
	if err != nil {
		t.Fatal(err)
	}
	if f.Seconds != 2 || f.Config.Sessions != 100 || f.Config.Host != "turn.example.org" || f.Config.TLS == nil || f.Config.TLS.ServerName != "turn.example.org" {
		t.Errorf("%+v", f)
	}
}
