package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/httpapi"
)

// ErrNoServer happens if no server runs with a state directory.
var ErrNoServer = errors.New("no server runs with this state")

// User is a user who is online.
type User = httpapi.User

// AdminClient asks the server that runs on this machine with a state directory.
type AdminClient struct {
	cfg  *config.Config
	http http.Client
}

// NewAdminClient makes a client for the server of a configuration. It connects when it is first used.
func NewAdminClient(cfg *config.Config) *AdminClient {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", cfg.AdminSocket())
	}
	return &AdminClient{cfg: cfg, http: http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Users returns who is online.
func (c *AdminClient) Users(ctx context.Context) ([]httpapi.User, error) {
	all := []httpapi.User{}
	for after := ""; ; {
		var answer struct {
			Users []httpapi.User
			Next  string
		}
		if err := c.do(ctx, http.MethodGet, "/users?after="+url.QueryEscape(after), &answer); err != nil {
			return nil, err
		}
		all = append(all, answer.Users...)
		if after = answer.Next; after == "" {
			return all, nil
		}
	}
}

// Machine is a machine that has joined.
type Machine = httpapi.ListedMachine

// Machines returns the machines that have joined.
func (c *AdminClient) Machines(ctx context.Context) ([]Machine, error) {
	all := []Machine{}
	for after := ""; ; {
		var answer struct {
			Machines []Machine
			Next     string
		}
		if err := c.do(ctx, http.MethodGet, "/machines?after="+url.QueryEscape(after), &answer); err != nil {
			return nil, err
		}
		all = append(all, answer.Machines...)
		if after = answer.Next; after == "" {
			return all, nil
		}
	}
}

// RevokeMachine ends a machine, and returns how many sessions it had. auth.ErrNoMachine: there is none of this name.
func (c *AdminClient) RevokeMachine(ctx context.Context, name string) (sessions int, err error) {
	var answer struct{ Sessions int }
	err = c.do(ctx, http.MethodDelete, "/machines/"+url.PathEscape(name), &answer)
	return answer.Sessions, err
}

// Kick throws a user out, and returns how many sessions that concerned.
func (c *AdminClient) Kick(ctx context.Context, who auth.Kick) (sessions int, err error) {
	path := "/users/" + url.PathEscape(who.User)
	if who.Room != "" {
		path = "/rooms/" + url.PathEscape(who.Room) + path
	}
	var answer struct{ Sessions int }
	err = c.do(ctx, http.MethodDelete, path, &answer)
	return answer.Sessions, err
}

// do sends a request and reads the answer.
func (c *AdminClient) do(ctx context.Context, method, path string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost/api/v1/admin"+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), isErrno(err, syscall.ECONNREFUSED, 10061):
		return ErrNoServer
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may not be opened by this user; run this as the server's user, or as root", c.cfg.AdminSocket())
	case err != nil:
		return fmt.Errorf("ask the server at %s: %w", c.cfg.AdminSocket(), adminPathProblem(c.cfg.AdminSocket(), err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var failed struct {
			Error struct{ Code, Message string }
		}
		if err := json.NewDecoder(resp.Body).Decode(&failed); err != nil || failed.Error.Message == "" {
			return fmt.Errorf("the server at %s answered %s", c.cfg.AdminSocket(), resp.Status)
		}
		if failed.Error.Code == "not-found" && strings.HasPrefix(path, "/machines/") {
			return auth.ErrNoMachine
		}
		return errors.New("the server says: " + failed.Error.Message)
	}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return fmt.Errorf("read the answer of the server at %s: %w", c.cfg.AdminSocket(), err)
	}
	return nil
}
