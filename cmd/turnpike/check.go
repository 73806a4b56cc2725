package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"turnpike/auth"
	"turnpike/internal/config"
	"turnpike/signal/wire"
)

// result is what one step of a check found.
type result struct {
	Check   string   `json:"check"`
	URL     string   `json:"url"`
	OK      bool     `json:"ok"`
	Detail  string   `json:"detail,omitempty"`  // of a success
	Problem string   `json:"problem,omitempty"` // of a failure: what is wrong and what to do
	Relayed []string `json:"relayed,omitempty"`
	Millis  float64  `json:"ms"`
}

// checker goes through a server as a client would.
type checker struct {
	base    string // scheme://host[:port]
	timeout time.Duration
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	client  *http.Client

	ticket string
	invite string
	mint   func() (string, error) // a ticket made here; nil if this machine cannot
	own    *config.Config         // of the server checked; nil: it is another than the configuration's
	inside string                 // where that one tells this machine who relays; empty: nowhere

	report  func(result)
	failed  int
	checked int
}

func (p *program) check(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("check", flag.ContinueOnError)
	var flags config.Flags
	flags.Register(fs)
	ticket := fs.String("ticket", "", "")
	invite := fs.String("invite", "", "")
	timeout := fs.Duration("timeout", 10*time.Second, "")
	asJSON := fs.Bool("json", false, "")
	rest, err := parseFlags(fs, args, 1)
	if err != nil {
		return err
	}
	if *timeout <= 0 {
		return &usageError{"check", fmt.Errorf("--timeout %v is not positive", *timeout)}
	}
	cfg, err := flags.Load(p.getenv, checkIssuer)
	if err != nil {
		return err
	}
	c := &checker{timeout: *timeout, ticket: *ticket, invite: inviteToken(*invite), mint: minter(cfg)}
	c.dial = new(net.Dialer).DialContext
	switch {
	case len(rest) == 1:
		c.base, err = baseURL(rest[0])
	case strings.Contains(*invite, "://"):
		c.base, err = baseURL(*invite)
	default:
		c.base, c.dial = ownServer(cfg)
		c.own = cfg
		if config.ListensOnLoopback(cfg.Metrics.Listen) {
			c.inside = "http://" + cfg.Metrics.Listen + "/allocations"
		}
	}
	if err != nil {
		return &usageError{"check", err}
	}
	c.client = &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: c.dial, DisableKeepAlives: true}}

	results := []result{}
	c.report = func(r result) { results = append(results, r) }
	if !*asJSON {
		c.report = func(r result) { _, _ = io.WriteString(p.stdout, r.line()) }
	}
	c.run(ctx)
	if *asJSON {
		e := json.NewEncoder(p.stdout)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		err = e.Encode(results)
	} else {
		_, err = fmt.Fprintln(p.stdout, c.total())
	}
	if err == nil && c.failed > 0 {
		return errReported
	}
	return err
}

func (r result) line() string {
	if !r.OK {
		return fmt.Sprintf("FAIL %-9s  %-44s  %s\n", r.Check, r.URL, r.Problem)
	}
	took := strconv.FormatFloat(r.Millis, 'f', 1, 64) + " ms"
	if r.Detail != "" {
		took = r.Detail + "  " + took
	}
	return fmt.Sprintf("ok   %-9s  %-44s  %s\n", r.Check, r.URL, took)
}

func (c *checker) total() string {
	if c.failed > 0 {
		return fmt.Sprintf("%d of %d checks failed", c.failed, c.checked)
	}
	return fmt.Sprintf("all %d checks passed", c.checked)
}

// ownServer is the server of cfg on this machine: the URL that its certificate is for, reached by its first listener. Where a load
// balancer has to be passed, it is reached as from elsewhere.
func ownServer(cfg *config.Config) (string, func(ctx context.Context, network, addr string) (net.Conn, error)) {
	listener := cfg.HTTP.Listen[0]
	base := cfg.ListenerURL(listener)
	if cfg.TLS.Mode == config.TLSFiles {
		base = cfg.PublicURL(cfg.HTTP.Listen)
	}
	if cfg.HTTP.ProxyProtocol {
		return cfg.PublicURL(cfg.HTTP.Listen), new(net.Dialer).DialContext
	}
	return base, func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, listener)
	}
}

// baseURL takes the scheme and the host out of what the user typed, which may be a link or only a host.
func baseURL(s string) (string, error) {
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", fmt.Errorf("%q is not the URL of a server; write it like https://turn.example.org", s)
	}
	return u.Scheme + "://" + u.Host, nil
}

// minter makes tickets with the secret in the state directory, if there is one that may be read. It makes none anew.
func minter(cfg *config.Config) func() (string, error) {
	if f, err := os.Open(cfg.SecretFile()); err != nil {
		return nil
	} else if f.Close() != nil {
		return nil
	}
	return func() (string, error) {
		secret, err := auth.LoadOrCreateSecret(cfg.SecretFile(), rand.Reader)
		if err != nil {
			return "", err
		}
		ticket := auth.Ticket{Name: checkName(), Rooms: []string{"*"}, Role: auth.RoleMember}
		token, _, err := auth.NewTickets(secret, time.Now, rand.Reader).Issue(ticket, cfg.Auth.TicketTTL)
		return token, err
	}
}

// checkName is new each time, so that two checks at once do not take each other's name.
func checkName() string { return "check " + auth.NewID(rand.Reader, 6) }

// step runs one check within the timeout and reports it. It returns whether it succeeded.
func (c *checker) step(ctx context.Context, name, target string, do func(ctx context.Context, r *result) error) bool {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	r := result{Check: name, URL: target}
	start := time.Now()
	err := do(ctx, &r)
	if r.Millis == 0 {
		r.Millis = float64(time.Since(start).Microseconds()) / 1000
	}
	r.OK = err == nil
	c.checked++
	if err != nil {
		c.failed++
		r.Detail, r.Problem = "", oneLine(err.Error())
	}
	c.report(r)
	return r.OK
}

// run does every step that the ones before allow.
func (c *checker) run(ctx context.Context) {
	token := c.ticket
	if !c.step(ctx, "web", c.base, c.checkHealth) {
		return
	}
	if token == "" && !c.step(ctx, "ticket", c.base+"/api/v1/tickets", func(ctx context.Context, r *result) (err error) {
		token, err = c.getTicket(ctx, r)
		return err
	}) {
		return
	}
	socket, servers := (*websocket.Conn)(nil), []wire.ICEServer(nil)
	endpoint := "ws" + strings.TrimPrefix(c.base, "http") + "/signal"
	if !c.step(ctx, "signaling", endpoint, func(ctx context.Context, r *result) (err error) {
		socket, servers, err = c.signIn(ctx, endpoint, token, r)
		return err
	}) {
		return
	}
	heard := make(chan struct{})
	go func() { // reading answers the server's pings: the session has to live while its credentials are tried
		defer close(heard)
		for {
			if _, _, err := socket.NextReader(); err != nil {
				return
			}
		}
	}()
	for _, server := range servers {
		for _, raw := range server.URLs {
			c.checkICE(ctx, raw, server)
		}
	}
	if c.own != nil {
		c.checkOwn(ctx, servers)
		c.checkOwnWeb(ctx)
	}
	c.checkOffload(ctx)
	c.checkNAT(ctx, servers)
	if bye, err := wire.Encode(&wire.Bye{}); err == nil {
		_ = socket.WriteMessage(websocket.TextMessage, bye)
	}
	_ = socket.SetReadDeadline(time.Now().Add(time.Second)) // for the server to close
	<-heard
	_ = socket.Close()
}

func (c *checker) checkHealth(ctx context.Context, r *result) error {
	status, body, err := c.fetch(ctx, http.MethodGet, "/readyz", nil)
	switch {
	case err != nil:
		return fmt.Errorf("%s; %s", dialProblem(err), "is the server running, and does the URL lead to it?")
	case status == http.StatusServiceUnavailable:
		return errors.New("the server is starting or draining; try again, or start it anew")
	case status != http.StatusOK:
		return fmt.Errorf("/readyz answers %d %s; is this a turnpike server, and does the reverse proxy hand everything on?", status, oneLine(string(body)))
	}
	return nil
}

// getTicket exchanges the invite for a ticket, or comes in as a guest, or makes one.
func (c *checker) getTicket(ctx context.Context, r *result) (string, error) {
	body, err := json.Marshal(map[string]string{"name": checkName(), "invite": c.invite})
	if err != nil {
		return "", err
	}
	status, data, err := c.fetch(ctx, http.MethodPost, "/api/v1/tickets", body)
	if err != nil {
		return "", errors.New(dialProblem(err))
	}
	var answer struct {
		Ticket string                          `json:"ticket"`
		Role   string                          `json:"role"`
		Error  *struct{ Code, Message string } `json:"error"`
	}
	if err := json.Unmarshal(data, &answer); err != nil || status == http.StatusOK && answer.Ticket == "" {
		return "", fmt.Errorf("answers %d and no JSON; does the reverse proxy hand /api on?", status)
	}
	if answer.Error == nil {
		r.Detail = "as " + answer.Role
		return answer.Ticket, nil
	}
	if answer.Error.Code == "invite-required" && c.mint != nil {
		r.Detail = "made here, since strangers need an invite"
		return c.mint()
	}
	if answer.Error.Code == "invite-required" {
		return "", errors.New("strangers need an invite here; pass --invite with the link of \"turnpike invite --room check\", or run this on the server's machine with its --config or --state")
	}
	return "", fmt.Errorf("%s (%s)", answer.Error.Message, answer.Error.Code)
}

// fetch makes one request and reads an answer of at most 64 KiB.
func (c *checker) fetch(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, data, err
}

// signIn opens a session and returns what it may use.
func (c *checker) signIn(ctx context.Context, endpoint, token string, r *result) (*websocket.Conn, []wire.ICEServer, error) {
	dialer := websocket.Dialer{Proxy: http.ProxyFromEnvironment, NetDialContext: c.dial, Subprotocols: []string{wire.Subprotocol}}
	socket, resp, err := dialer.DialContext(ctx, endpoint, nil)
	if err != nil {
		if resp != nil {
			return nil, nil, fmt.Errorf("no WebSocket here (%s); a reverse proxy must hand on Upgrade and Connection", resp.Status)
		}
		return nil, nil, errors.New(dialProblem(err))
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
	r.Detail = "signed in as " + welcome.Role
	return socket, welcome.ICEServers, nil
}

func hello(ctx context.Context, socket *websocket.Conn, token string) (*wire.Welcome, error) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = socket.SetReadDeadline(deadline)
		_ = socket.SetWriteDeadline(deadline)
	}
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
			return nil, fmt.Errorf("the server refuses the ticket: %s (%s)", m.Message, m.Code)
		}
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
