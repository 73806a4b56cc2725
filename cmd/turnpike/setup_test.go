package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/setup"
)

// TestSetupFails: where a step fails, or the certificate does not come, setup says how to go on.
func TestSetupFails(t *testing.T) {
	broken := errors.New("it broke")
	p := &program{stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}
	plan := &setup.Plan{Config: &config.Config{}}
	for title, row := range map[string]struct {
		steps []setup.Step
		want  string
	}{
		"a file": {[]setup.Step{{Text: "write it", Do: func(context.Context) error { return broken }}}, "write it: it broke; mend that, and run setup again"},
		"the service": {[]setup.Step{{Text: "write it", Last: true, Do: func(context.Context) error { return nil }}, {Text: "run it", Do: func(context.Context) error { return broken }}},
			"run it: it broke; \"journalctl -u turnpike\" may say more. The configuration is written: mend that, then systemctl enable --now turnpike"},
	} {
		if err := p.install(t.Context(), plan, row.steps); !errors.Is(err, broken) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", title, err)
		}
	}
	plan.Config.TLS.Mode = config.TLSACME
	plan.Config.HTTP.Listen = []string{"127.0.0.1:1"}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.install(over, plan, nil); err == nil || !strings.Contains(err.Error(), "Once it has one: turnpike invite --config /etc/turnpike/turnpike.toml --room lobby") {
		t.Error(err)
	}

	plan.Config.StateDir = t.TempDir()
	problem := plan.Config.ACMEProblemFile()
	if err := errors.Join(os.MkdirAll(filepath.Dir(problem), 0o700), os.WriteFile(problem, []byte("the directory refuses: why\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := p.install(over, plan, nil); err == nil || !strings.Contains(err.Error(), "has no certificate yet (the directory refuses: why)") {
		t.Error(err)
	}
}
