package httpapi

import "testing"

func TestAllowsOrigin(t *testing.T) {
	o := &origins{allowed: []string{"https://app.example.org", "capacitor://localhost", "app://"}, own: "https://turn.example.org"}
	tests := []struct {
		origin string
		want   bool
	}{
		{"http://10.0.0.5:8080", true}, // the Host header
		{"https://turn.example.org", true},
		{"https://app.example.org", true},
		{"HTTPS://App.example.org", true},
		{"http://app.example.org", false},
		{"https://app.example.org:444", false},
		{"https://evil.example", false},
		{"http://10.0.0.5", false},
		{"capacitor://localhost", true},
		{"app://", true},
		{"tauri://localhost", false},
		{"tauri://10.0.0.5:8080", false}, // only the host is ours
		{"null", false},
		{"", false},
	}
	for _, test := range tests {
		if got := o.allow(request("192.0.2.1:1", "10.0.0.5:8080", "Origin: "+test.origin)); got != test.want {
			t.Errorf("origin %q: allowed is %v, want %v", test.origin, got, test.want)
		}
	}
	if !o.allow(request("192.0.2.1:1", "10.0.0.5:8080")) {
		t.Error("a program, which sends no Origin, is refused")
	}
	if o.allow(request("192.0.2.1:1", "10.0.0.5:8080", "Origin: https://app.example.org", "Origin: https://evil.example")) {
		t.Error("two Origin headers are allowed")
	}
}
