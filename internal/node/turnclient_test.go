package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"github.com/pion/turn/v4"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// turnTarget is a TURN address with a credential.
type turnTarget struct {
	uri        *stun.URI
	credential auth.Credential
}

// turnClient is pion's client on a socket of its own.
type turnClient struct {
	*turn.Client
	close func()
}

// dial is connect for the length of a test, which fails if it cannot.
func (t turnTarget) dial(test *testing.T) *turnClient {
	test.Helper()
	client, err := t.connect(test.Context())
	if err != nil {
		test.Fatal(err)
	}
	test.Cleanup(client.close)
	return client
}

// connect opens a socket to the target. It is closed when ctx ends, too.
func (t turnTarget) connect(ctx context.Context) (*turnClient, error) {
	server := net.JoinHostPort(t.uri.Host, strconv.Itoa(t.uri.Port))
	conn, err := t.socket(server)
	if err != nil {
		return nil, err
	}
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: server,
		Username:       t.credential.Username,
		Password:       t.credential.Password,
		Conn:           conn,
	})
	if err == nil {
		err = client.Listen()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	end := func() {
		client.Close()
		_ = conn.Close()
	}
	stop := context.AfterFunc(ctx, end)
	return &turnClient{client, func() {
		if stop() {
			end()
		}
	}}, nil
}

func (t turnTarget) socket(server string) (net.PacketConn, error) {
	if t.uri.Proto == stun.ProtoTypeUDP {
		return net.ListenPacket("udp4", "127.0.0.1:0")
	}
	conn, err := net.Dial("tcp", server)
	if err != nil {
		return nil, err
	}
	return turn.NewSTUNConn(conn), nil
}

// send sends a packet from one relay to the other until it arrives, since UDP may lose it.
func send(ctx context.Context, from, to net.PacketConn) error {
	payload := []byte(rand.Text())
	buf := make([]byte, 1500)
	for {
		if _, err := from.WriteTo(payload, to.LocalAddr()); err != nil {
			return err
		}
		if err := to.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			return err
		}
		for {
			n, addr, err := to.ReadFrom(buf)
			if err != nil {
				break
			}
			if string(buf[:n]) == string(payload) && addr.String() == from.LocalAddr().String() {
				return nil
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// relayCredential comes in as a guest and returns a TURN target with a credential.
func relayCredential(t *testing.T, s *testNode) turnTarget {
	t.Helper()
	req, err := http.NewRequest("GET", s.row("web")+"/api/v1/ice-servers", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+ticketFrom(t, s, "Ada", ""))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var ice struct{ ICEServers []wire.ICEServer }
	if err := json.NewDecoder(resp.Body).Decode(&ice); err != nil || len(ice.ICEServers) == 0 {
		t.Fatalf("iceServers: %+v, %v", ice, err)
	}
	relays := ice.ICEServers[len(ice.ICEServers)-1] // before it stands STUN, if there is UDP
	uri, err := stun.ParseURI(relays.URLs[0])
	if err != nil || relays.Username == "" {
		t.Fatalf("iceServers: %+v, %v", ice, err)
	}
	return turnTarget{uri: uri, credential: auth.Credential{Username: relays.Username, Password: relays.Credential}}
}
