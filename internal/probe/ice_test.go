package probe

import (
	"net"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/auth"
)

// TestICESaysWhatToDo holds that each way to fail ends in a sentence for the server's operator.
func TestICESaysWhatToDo(t *testing.T) {
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()

	tests := []struct {
		name, url, want string
	}{
		{"STUN without an answer", "stun:" + silent.LocalAddr().String(), "no answer from udp port"},
		{"TURN without an answer", "turn:" + silent.LocalAddr().String() + "?transport=udp", "open it in the firewall"},
		{"a closed port", "turn:" + closed.Addr().String() + "?transport=tcp", "refuses the connection"},
		{"a name that nobody knows", "turn:turnpike.invalid:3478?transport=udp", "set public_host to one that clients can look up"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			timeout := 20 * time.Second
			if strings.Contains(test.name, "without an answer") {
				timeout = 300 * time.Millisecond
			}
			f := ICE(t.Context(), timeout, test.url, auth.Credential{Username: "1900000000:s.x", Password: "wrong"})
			if f.OK || !strings.Contains(f.Problem, test.want) {
				t.Errorf("got %+v, want %q in it", f, test.want)
			}
		})
	}
}
