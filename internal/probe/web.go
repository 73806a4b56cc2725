package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// web is a server over HTTP.
type web struct {
	base   string // scheme://host[:port]
	client *http.Client
}

// maxAnswer bounds the bytes read of an answer.
const maxAnswer = 64 << 10

func (w web) health(ctx context.Context, f *Finding) error {
	status, body, err := w.fetch(ctx, http.MethodGet, "/readyz", nil)
	switch {
	case isCertificate(err): // it runs, and the URL leads to it
		return &untrusted{dialProblem(err)}
	case err != nil:
		return fmt.Errorf("%s; %s", dialProblem(err), "is the server running, and does the URL lead to it?")
	case status == http.StatusServiceUnavailable:
		return errors.New("the server is starting or draining; try again, or start it anew")
	case status != http.StatusOK:
		return fmt.Errorf("/readyz answers %d %s; is this a turnpike server, and does the reverse proxy hand everything on?", status, oneLine(string(body)))
	}
	if version := w.about(ctx).Version; version != "" {
		f.Detail = "turnpike " + version
	}
	return nil
}

// untrusted is that clients do not trust the certificate.
type untrusted struct{ why string }

func (u *untrusted) Error() string { return u.why }

// about is what a server tells of itself; servers of before tell less.
type about struct {
	Version string
	URLs    []string // of STUN and TURN
}

func (w web) about(ctx context.Context) (a about) {
	status, body, err := w.fetch(ctx, http.MethodGet, clientPath, nil)
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &a) != nil {
		return about{}
	}
	a.URLs = a.URLs[:min(len(a.URLs), mostURLs)]
	return a
}

// mostURLs bounds how many addresses a server, or somebody in its place, has us try. Ours names five at most.
const mostURLs = 8

func (w web) metrics(ctx context.Context, _ *Finding) error {
	status, body, err := w.fetch(ctx, http.MethodGet, "/metrics", nil)
	switch {
	case err != nil:
		return fmt.Errorf("%s; is the server running with this metrics.listen?", dialProblem(err))
	case status != http.StatusOK || !bytes.Contains(body, []byte("# TYPE ")):
		return fmt.Errorf("answers %d and no metrics; does another program have this port?", status)
	}
	return nil
}

// fetch makes one request, and reads an answer of at most maxAnswer.
func (w web) fetch(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, data, err
}
