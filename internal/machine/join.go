package machine

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"example.org/turnpike/auth"
)

const (
	askTime   = 15 * time.Second
	maxAnswer = 64 << 10

	// clockSlack is how far the clocks may be apart before the server refuses tickets, less what an answer takes.
	clockSlack = 25 * time.Second
)

// Order is what Join needs.
type Order struct {
	Dir    string // the folder of the user's configuration
	Server string // scheme://host[:port]
	Invite string // the token, without a link around it
	Name   string // that the machine asks for

	Now func() time.Time // as in Machine
}

// ServerError is a refusal of the server's: a code for programs, and a sentence.
type ServerError struct {
	Code, Message string
}

func (e *ServerError) Error() string { return e.Message }

// Join has the server take this machine in, and keeps its key. What was there of an earlier joining is replaced once the server
// has agreed. If the answer is lost, Join may be called again: it asks with the same key.
func Join(ctx context.Context, o Order) (*Machine, error) {
	if !auth.IsMachineName(o.Name) {
		return nil, fmt.Errorf(`%q is no name for a machine; use 1 to %d of a-z, 0-9 and "-", with no "-" at either end`, o.Name, auth.MaxNameRunes)
	}
	path := keyPath(o.Dir, o.Server)
	asked := path + ".asked" // until the server has agreed
	m, err := load(asked, o.Server)
	if err != nil || m.Name != o.Name {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		m = &Machine{Server: o.Server, Name: o.Name, key: key}
		if err := m.save(asked); err != nil {
			return nil, fmt.Errorf("keep this machine's key: %w", err)
		}
	}
	m.Now = o.Now
	proof, err := m.Ticket()
	if err != nil {
		return nil, err
	}
	var answer struct {
		Name, Room string
		Role       auth.Role
	}
	err = ask(ctx, o.Server, http.MethodPost, "/api/v1/machines", "", map[string]string{
		"invite": o.Invite, "name": o.Name, "key": auth.EncodeMachineKey(m.Key()), "proof": proof,
	}, &answer)
	if err != nil {
		return nil, err
	}
	if answer.Name != o.Name {
		return nil, fmt.Errorf("%s calls this machine %.40q, and not %s", o.Server, answer.Name, o.Name)
	}
	m.Room, m.Role = answer.Room, answer.Role
	err = m.save(asked)
	if err == nil {
		err = os.Rename(asked, path) // so that no key is left there for the next joining
	}
	if err != nil {
		return nil, fmt.Errorf("keep this machine's key: %w", err)
	}
	return m, nil
}

// Vouch asks the server for the key of another machine. ErrUnknown: the server has no machine of that name that we may see.
func (m *Machine) Vouch(ctx context.Context, name string) (ed25519.PublicKey, error) {
	ticket, err := m.Ticket()
	if err != nil {
		return nil, err
	}
	var answer struct{ Name, Key string }
	err = ask(ctx, m.Server, http.MethodGet, "/api/v1/machines/"+url.PathEscape(name), ticket, nil, &answer)
	if e, ok := errors.AsType[*ServerError](err); ok && e.Code == "not-found" {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	key, err := auth.ParseMachineKey(answer.Key)
	if err != nil || answer.Name != name {
		return nil, fmt.Errorf("%s vouches for no key of %s: its answer cannot be read", m.Server, name)
	}
	return key, nil
}

// ClockOff returns by how much the server's clock is ahead of the machine's, zero if both agree as far as tickets need it.
func (m *Machine) ClockOff(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	response, err := request(ctx, m.Server, http.MethodGet, "/healthz", "", nil)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	theirs, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return 0, err
	}
	off := theirs.Sub(timeBy(m.Now)).Round(time.Second)
	if off.Abs() <= clockSlack {
		return 0, nil
	}
	return off, nil
}

// ask sends a request with an object, nil for none, and reads the answer into another.
func ask(ctx context.Context, server, method, path, ticket string, object, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var body io.Reader
	if object != nil {
		data, err := json.Marshal(object)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	response, err := request(ctx, server, method, path, ticket, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: %w", server, err)
	}
	if response.StatusCode != http.StatusOK {
		var failed struct{ Error ServerError }
		if json.Unmarshal(data, &failed) == nil && failed.Error.Message != "" {
			return &failed.Error
		}
		return fmt.Errorf("%s answers %s; is it a turnpike server that takes machines?", server, response.Status)
	}
	if json.Unmarshal(data, answer) != nil {
		return fmt.Errorf("%s answers something else than a turnpike server does", server)
	}
	return nil
}

// request sends one. No redirect leads a ticket or an invite elsewhere.
func request(ctx context.Context, server, method, path, ticket string, body io.Reader) (*http.Response, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of a server", server)
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())) {
		return nil, fmt.Errorf("%s: over http everybody on the way can read what lets a machine in; write https://", server)
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(server, "/")+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if ticket != "" {
		r.Header.Set("Authorization", "Bearer "+ticket)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL, which the line has already
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be reached: %w", server, err)
	}
	return response, nil
}
