//go:build linux

package e2e

import (
	"fmt"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// TestLoadBalancer uses curl as the load balancer. Only the trusted host gets the pages, and only with a PROXY header.
func TestLoadBalancer(t *testing.T) {
	need(t, "curl")
	t.Parallel()
	lab := netlab.New(t)
	host := lab.Public("server")
	config, ca := configure(t, lab, host, defaultListen)
	balancer, stranger := lab.Public("balancer"), lab.Public("stranger")
	ctx, cancel := within(t, time.Minute)
	defer cancel()
	cmd := host.Command(ctx, turnpike, "serve", "--config", config, "--http-proxy-protocol", "true", "--http-trusted-proxies", balancer.Addr().String())
	var log output
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Dir = t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // cancel has killed it
		if t.Failed() {
			t.Logf("the server's log:\n%s", log.String())
		}
	})
	curl := func(from *netlab.Host, url string, args ...string) (string, error) {
		args = append([]string{"-sS", "--max-time", "5", "--cacert", ca.caFile}, append(args, url)...)
		out, err := from.Command(ctx, "curl", args...).CombinedOutput()
		return string(out), err
	}
	var out string
	var err error
	for deadline := time.After(20 * time.Second); ; {
		if out, err = curl(balancer, publicURL+"/healthz", "--haproxy-protocol"); err == nil {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("curl with a PROXY header: %v\n%s", err, out)
		case <-time.After(50 * time.Millisecond):
		}
	}
	if out != "ok\n" {
		t.Errorf("curl with a PROXY header: %q", out)
	}
	for name, try := range map[string]func() (string, error){
		"the load balancer without a header": func() (string, error) { return curl(balancer, publicURL+"/healthz") },
		"a stranger with one":                func() (string, error) { return curl(stranger, publicURL+"/healthz", "--haproxy-protocol") },
		"a stranger without one":             func() (string, error) { return curl(stranger, publicURL+"/healthz") },
	} {
		out, err := try()
		if _, ended := err.(*exec.ExitError); !ended {
			t.Errorf("%s: %v, %q", name, err, out)
		}
	}
	metrics, err := curl(host, "http://127.0.0.1:9090/metrics")
	if err != nil {
		t.Fatalf("%v: %s", err, metrics)
	}
	for reason, want := range map[string]string{"proxy_header": "1", "not_a_trusted_proxy": "2"} {
		line := regexp.MustCompile(fmt.Sprintf(`turnpike_turn_streams_closed_total\{reason="%s"\} (\d+)`, reason)).FindStringSubmatch(metrics)
		if line == nil || line[1] != want {
			t.Errorf("%s: %v, want %s", reason, line, want)
		}
	}
}
