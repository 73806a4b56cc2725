package signaling

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"example.org/turnpike/signal/wire"
)

const (
	dialTimeout = 10 * time.Second
	maxMessage  = 4 << 20 // bytes of a message of the server: a welcome with 16 rooms of 16 sessions has far fewer
	maxAnswer   = 1 << 20 // bytes of an answer over HTTP
)

// Server is where a server is reached.
type Server struct {
	root *url.URL // of its pages and its API
	tls  *tls.Config
}

// NewServer reads the address of a server's page. Without TLS it must be this machine's, unless insecure is set.
func NewServer(address string, config *tls.Config, insecure bool) (*Server, error) {
	const whole = "Write the address whole, such as https://turn.example.org."
	if address == "" {
		return nil, &Error{Code: CodeBadURL, Message: "The address of the server is missing.", Hint: whole}
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, &Error{Code: CodeBadURL, Message: fmt.Sprintf("%q is not the address of a server.", RedactURL(address)), Hint: whole}
	}
	scheme := map[string]string{"http": "http", "https": "https", "ws": "http", "wss": "https"}[u.Scheme]
	switch {
	case scheme == "":
		return nil, &Error{Code: CodeBadURL, Message: fmt.Sprintf("%q is not the address of a server.", RedactURL(address)), Hint: whole}
	case scheme == "http" && !insecure && !isLoopback(u.Hostname()):
		return nil, &Error{Code: CodeBadURL, Message: "http:// sends the ticket where everybody on the way can read it.",
			Hint: "Write https://, or set Insecure."}
	}
	return &Server{root: &url.URL{Scheme: scheme, Host: u.Host, Path: "/"}, tls: config}, nil
}

// RedactURL leaves out what may be a secret: a password stands before the host, and an invite in the fragment.
func RedactURL(address string) string {
	if at := strings.IndexAny(address, "#?"); at >= 0 {
		address = address[:at] + "[redacted]"
	}
	if at := strings.LastIndex(address, "@"); at >= 0 {
		address = "[redacted]" + address[at:]
	}
	return address
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") { // names below it may be asked of a DNS server
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// String returns the address, without a path.
func (sv *Server) String() string { return sv.root.Scheme + "://" + sv.root.Host }

// Dial opens the WebSocket of signaling. It is a [Dial].
func (sv *Server) Dial(ctx context.Context, heard func()) (Conn, error) {
	u := *sv.root
	u.Scheme, u.Path = strings.Replace(u.Scheme, "http", "ws", 1), "/signal"
	dialer := websocket.Dialer{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: sv.tls, HandshakeTimeout: dialTimeout,
		Subprotocols: []string{wire.Subprotocol},
	}
	conn, response, err := dialer.DialContext(ctx, u.String(), nil)
	switch {
	case err != nil && response != nil:
		return nil, sv.refused(response)
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, sv.unreachable(err)
	case conn.Subprotocol() != wire.Subprotocol:
		_ = conn.Close()
		return nil, sv.notTurnpike("It takes WebSockets, but not those of turnpike.")
	}
	conn.SetReadLimit(maxMessage)
	pong := conn.PingHandler()
	conn.SetPingHandler(func(data string) error {
		heard()
		return pong(data)
	})
	return webSocket{conn}, nil
}

// webSocket is a [Conn].
type webSocket struct{ conn *websocket.Conn }

func (w webSocket) ReadMessage() ([]byte, error) {
	_, data, err := w.conn.ReadMessage()
	return data, err
}

func (w webSocket) WriteMessage(data []byte) error {
	return w.conn.WriteMessage(websocket.TextMessage, data)
}

func (w webSocket) Close() error { return w.conn.Close() }

// NewTicket asks the server for a ticket: for an invite, or without one for a guest's. An empty name has the server choose.
func (sv *Server) NewTicket(ctx context.Context, name, invite string) (string, error) {
	body := struct {
		Name   string `json:"name"`
		Invite string `json:"invite,omitempty"`
	}{name, invite}
	var answer struct {
		Ticket string `json:"ticket"`
	}
	if err := sv.Request(ctx, http.MethodPost, "tickets", "", body, &answer); err != nil {
		return "", err
	}
	if answer.Ticket == "" {
		return "", sv.notTurnpike("It answers, but gives no ticket.")
	}
	return answer.Ticket, nil
}

// Request sends a request to the server's API, with a ticket if there is one, and reads the answer. The path is what follows /api/v1/.
func (sv *Server) Request(ctx context.Context, method, path, ticket string, body, answer any) error {
	sent, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", path, err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, sv.root.JoinPath("api/v1", path).String(), bytes.NewReader(sent))
	if err != nil {
		return fmt.Errorf("ask for %s: %w", path, err)
	}
	request.Header.Set("Content-Type", "application/json")
	if ticket != "" {
		request.Header.Set("Authorization", "Bearer "+ticket)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: sv.tls, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return sv.unreachable(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return sv.refused(response)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(answer); err != nil {
		return sv.notTurnpike("It answers, but not as turnpike does.")
	}
	return nil
}

// refused makes an error of an answer over HTTP that is none of success.
func (sv *Server) refused(response *http.Response) error {
	var body struct {
		Error struct{ Code, Message string } `json:"error"`
	}
	_ = json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&body) // another server's answer is no JSON
	retryAfter, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	e := &Error{Code: body.Error.Code, Message: printable(body.Error.Message), RetryAfter: time.Duration(max(0, retryAfter)) * time.Second}
	status := response.StatusCode
	switch {
	case e.Code != "":
		e.Retryable, e.Hint = passes(e.Code), hint(e.Code)
	case status == http.StatusTooManyRequests:
		e.Code, e.Message, e.Retryable = string(wire.CodeRateLimited), "The server has too many connections from this address.", true
	case status >= 502 && status <= 504:
		e.Code, e.Message, e.Retryable = CodeOffline, fmt.Sprintf("%s is going away, or nothing answers behind its proxy (HTTP %d).", sv, status), true
	case status >= 300 && status < 400:
		return &Error{Code: CodeBadURL, Message: fmt.Sprintf("%s sends its visitors to another address.", sv),
			Hint: "Use that address: " + printable(RedactURL(response.Header.Get("Location"))) + "."}
	case status == http.StatusForbidden || status == http.StatusUnauthorized || status == http.StatusProxyAuthRequired:
		e.Code, e.Message = string(wire.CodeForbidden), fmt.Sprintf("%s lets nobody through (HTTP %d).", sv, status)
		e.Hint = "A proxy before it must let /signal and /api pass."
	default:
		return sv.notTurnpike(fmt.Sprintf("It answers with HTTP %d.", status))
	}
	return e
}

func (sv *Server) notTurnpike(why string) error {
	return &Error{Code: CodeNotTurnpike, Message: fmt.Sprintf("No turnpike answers at %s. %s", sv, why),
		Hint: "Is the address right? A proxy before the server must let WebSockets through to /signal."}
}

// unreachable makes an error of one that came before any answer.
func (sv *Server) unreachable(err error) error {
	e := &Error{Code: CodeOffline, Retryable: true, Err: err, Message: fmt.Sprintf("Nothing answers at %s.", sv),
		Hint: "Is the address right, and does the server run?"}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		e.Code, e.Retryable = CodeCertificate, false
		e.Message = fmt.Sprintf("The certificate of %s is not trusted: %s.", sv, certificateProblem(err))
		e.Hint = "Give the authority that signed it in TLS.RootCAs, or have the server get a certificate that everybody trusts."
		return e
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		e.Code, e.Retryable = CodeBadURL, false
		e.Message, e.Hint = fmt.Sprintf("%s does not speak TLS.", sv), "If it is meant so, write http:// and set Insecure."
		return e
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return sv.unreachable(tls.RecordHeaderError{Msg: err.Error()})
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		e.Message, e.Hint = fmt.Sprintf("There is no host %s.", sv.root.Hostname()), "Is the address right?"
		return e
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		e.Code, e.Message = CodeTimeout, fmt.Sprintf("%s did not answer in time.", sv)
		e.Hint = "A firewall may be in the way."
	}
	return e
}

// certificateProblem is the innermost sentence of a failed verification.
func certificateProblem(err error) string {
	text := err.Error()
	if at := strings.Index(text, "x509: "); at >= 0 {
		text = text[at+len("x509: "):]
	}
	return printable(strings.TrimSuffix(text, "."))
}
