package probe

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

const ticketsPath = "/api/v1/tickets"

// ticketRequest and ticketAnswer are the parts of the API's request and answer that matter here.
type ticketRequest struct {
	Name   string `json:"name"`
	Invite string `json:"invite"`
}

type ticketAnswer struct {
	Ticket string
	Role   string
	Error  *struct{ Code, Message string }
}

// userName returns a new name each time, so that two checks at once do not take each other's.
func userName() string { return "check " + auth.NewID(rand.Reader, 6) }

// errNeedsInvite is that guests are not let in.
var errNeedsInvite = errors.New("strangers need an invite here; pass --invite with the link of \"turnpike invite --room check\", or run this on the server's machine with its --config or --state")

// getTicket exchanges the invite for a ticket, or comes in as a guest, or makes one.
func (r *run) getTicket(ctx context.Context, f *Finding) (string, error) {
	body, err := json.Marshal(ticketRequest{Name: userName(), Invite: r.Invite})
	if err != nil {
		return "", err
	}
	status, data, err := r.web.fetch(ctx, http.MethodPost, ticketsPath, body)
	if err != nil {
		return "", errors.New(dialProblem(err))
	}
	var answer ticketAnswer
	if err := json.Unmarshal(data, &answer); err != nil || status == http.StatusOK && answer.Ticket == "" {
		return "", fmt.Errorf("answers %d and no JSON; does the reverse proxy hand /api on?", status)
	}
	if answer.Error == nil {
		f.Detail = "as " + answer.Role
		return answer.Ticket, nil
	}
	if answer.Error.Code == "invite-required" && r.Mint != nil {
		f.Detail = "made here, because strangers need an invite"
		return r.Mint(userName())
	}
	if answer.Error.Code == "invite-required" {
		return "", errNeedsInvite
	}
	return "", fmt.Errorf("%s (%s)", answer.Error.Message, answer.Error.Code)
}

// signIn opens a session, and returns the ICE servers that it may use.
func (r *run) signIn(ctx context.Context, token string, f *Finding) (*websocket.Conn, []wire.ICEServer, error) {
	socket, err := r.openSocket(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	welcome, err := hello(ctx, socket, token)
	if err != nil {
		_ = socket.Close()
		return nil, nil, err
	}
	if len(welcome.ICEServers) == 0 {
		_ = socket.Close()
		return nil, nil, errors.New("the server offers no STUN or TURN address to a client that comes by this URL; see public_host and turn.listen")
	}
	f.Detail = "signed in as " + welcome.Role
	return socket, welcome.ICEServers, nil
}

// signalURL is where signaling is.
func (r *run) signalURL() string { return "ws" + strings.TrimPrefix(r.Base, "http") + "/signal" }

// openSocket opens signaling, and says nothing there. Without a configuration of TLS, the certificate must be one to trust.
func (r *run) openSocket(ctx context.Context, config *tls.Config) (*websocket.Conn, error) {
	dialer := websocket.Dialer{Proxy: http.ProxyFromEnvironment, NetDialContext: r.Dial, TLSClientConfig: config, Subprotocols: []string{wire.Subprotocol}}
	socket, resp, err := dialer.DialContext(ctx, r.signalURL(), nil)
	switch {
	case err == nil:
		return socket, nil
	case resp != nil:
		return nil, fmt.Errorf("no WebSocket here (%s); a reverse proxy must hand on Upgrade and Connection", resp.Status)
	}
	return nil, errors.New(dialProblem(err))
}

func hello(ctx context.Context, socket *websocket.Conn, token string) (*wire.Welcome, error) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = socket.SetReadDeadline(deadline)
		_ = socket.SetWriteDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = socket.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	message, err := wire.Encode(&wire.Hello{Ticket: token})
	if err != nil {
		return nil, err
	}
	if err := socket.WriteMessage(websocket.TextMessage, message); err != nil {
		return nil, err
	}
	for {
		_, data, err := socket.ReadMessage()
		if err != nil {
			return nil, fmt.Errorf("no welcome: %w", err)
		}
		message, _, err := wire.ParseServer(data)
		if err != nil {
			return nil, err
		}
		switch m := message.(type) {
		case *wire.Welcome:
			_ = socket.SetReadDeadline(time.Time{})
			return m, socket.SetWriteDeadline(time.Time{})
		case *wire.Error:
			return nil, refusal(m)
		}
	}
}

// refusal says what the server's error means, and what to do.
func refusal(m *wire.Error) error {
	if m.Code == wire.CodeInternal && m.RetryAfter > 0 {
		return errors.New("the server cannot check the ticket: it cannot read the keys of the app that signed it; " +
			"see that the server reaches the jwks_url of that app in [[auth.issuers]] (its log says what is wrong)")
	}
	return fmt.Errorf("the server refuses the ticket: %s (%s)", m.Message, m.Code)
}

// keepSession answers the server's pings, so that the session lives while the steps use its credentials. signOut ends
// it. gone is closed once the connection has ended.
func keepSession(socket *websocket.Conn) (signOut func(), gone <-chan struct{}) {
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for { // reading answers pings
			if _, _, err := socket.NextReader(); err != nil {
				return
			}
		}
	}()
	return func() {
		if bye, err := wire.Encode(&wire.Bye{}); err == nil {
			_ = socket.WriteMessage(websocket.TextMessage, bye)
		}
		_ = socket.SetReadDeadline(time.Now().Add(time.Second)) // for the server to close
		<-heard
		_ = socket.Close()
	}, heard
}
