package main

import (
	"strings"
	"testing"
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
