package client_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/client"
	"example.org/turnpike/internal/testcert"
)

func newServer(t *testing.T, args ...string) *server {
	t.Helper()
	s, err := startServer(t.TempDir(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

// TestDialFails: each thing that can be wrong has a code of its own, a sentence that names the place, and a hint.
func TestDialFails(t *testing.T) {
	s, closed := newServer(t), newServer(t, "--auth-guests", "never")
	empty := httptest.NewServer(http.NotFoundHandler())
	defer empty.Close()
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		http.Error(w, "away", http.StatusServiceUnavailable)
	}))
	defer away.Close()
	moved := httptest.NewServer(http.RedirectHandler("https://other.example.org/", http.StatusMovedPermanently))
	defer moved.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := "http://" + silent.Addr().String()
	silent.Close()
	unknown := httptest.NewUnstartedServer(http.NotFoundHandler())
	unknown.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that do not trust it
	unknown.StartTLS()
	defer unknown.Close()
	invites := auth.NewInvites(s.secret, func() time.Time { return time.Now().Add(-2 * time.Hour) }, rand.Reader)
	expired, _, err := invites.Issue(auth.Invite{Room: "x"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	other := auth.NewTickets(auth.NewSecret([]byte("the secret of another server, 32 bytes or more")), time.Now, rand.Reader)
	forged, _, err := other.Issue(auth.Ticket{Rooms: []string{"*"}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	failing := errors.New("the app's backend is down")
	for name, tt := range map[string]struct {
		config   client.Config
		code     string
		says     string
		passes   bool
		noHint   bool
		causedBy error
	}{
		"no URL":                 {config: client.Config{}, code: client.CodeBadURL, says: "missing"},
		"no URL at all":          {config: client.Config{URL: "turn.example.org"}, code: client.CodeBadURL, says: "turn.example.org"},
		"another scheme":         {config: client.Config{URL: "ftp://turn.example.org"}, code: client.CodeBadURL, says: "ftp://"},
		"a URL with a password":  {config: client.Config{URL: "https://ann:secret-word@turn.example.org"}, code: client.CodeBadURL, says: "address"},
		"plain HTTP":             {config: client.Config{URL: "http://turn.example.org"}, code: client.CodeBadURL, says: "everybody on the way"},
		"nothing listens":        {config: client.Config{URL: gone}, code: client.CodeOffline, says: gone, passes: true},
		"nothing for a ticket":   {config: client.Config{URL: gone, Ticket: "t"}, code: client.CodeOffline, says: gone, passes: true},
		"no turnpike":            {config: client.Config{URL: empty.URL}, code: client.CodeNotTurnpike, says: empty.URL},
		"no turnpike, ticket":    {config: client.Config{URL: empty.URL, Ticket: "t"}, code: client.CodeNotTurnpike, says: "404"},
		"going away":             {config: client.Config{URL: away.URL, Ticket: "t"}, code: client.CodeOffline, says: "503", passes: true, noHint: true},
		"moved":                  {config: client.Config{URL: moved.URL}, code: client.CodeBadURL, says: "https://other.example.org/"},
		"no TLS":                 {config: client.Config{URL: strings.Replace(s.url, "http:", "https:", 1)}, code: client.CodeBadURL, says: "TLS"},
		"no TLS, ticket":         {config: client.Config{URL: strings.Replace(s.url, "http:", "https:", 1), Ticket: "t"}, code: client.CodeBadURL, says: "TLS"},
		"certificate":            {config: client.Config{URL: unknown.URL}, code: client.CodeCertificate, says: "unknown authority"},
		"certificate, ticket":    {config: client.Config{URL: unknown.URL, Ticket: "t"}, code: client.CodeCertificate, says: "unknown authority"},
		"another name":           {config: client.Config{URL: unknown.URL, TLS: &tls.Config{ServerName: "other"}}, code: client.CodeCertificate, says: unknown.URL},
		"no ticket":              {config: client.Config{URL: s.url, Ticket: "secret-word"}, code: "unauthorized", says: "ticket"},
		"a forged ticket":        {config: client.Config{URL: s.url, Ticket: forged}, code: "unauthorized", says: "ticket"},
		"an expired invite":      {config: client.Config{URL: s.url, Invite: expired}, code: "expired", says: "expired", noHint: true},
		"a link that expired":    {config: client.Config{URL: s.url, Invite: s.url + "/r/x#invite=" + expired}, code: "expired", says: "expired", noHint: true},
		"no invite":              {config: client.Config{URL: closed.url}, code: "invite-required", says: "invite"},
		"a bad name":             {config: client.Config{URL: s.url, Name: strings.Repeat("x", 40)}, code: "bad-request", noHint: true},
		"GetTicket fails":        {config: client.Config{URL: s.url, GetTicket: func(context.Context) (string, error) { return "", failing }}, code: client.CodeTicket, says: "down", passes: true, noHint: true, causedBy: failing},
		"GetTicket knows better": {config: client.Config{URL: s.url, GetTicket: func(context.Context) (string, error) { return "", &client.Error{Code: "mine", Message: "No."} }}, code: "mine", noHint: true},
	} {
		t.Run(name, func(t *testing.T) {
			session, err := client.Dial(t.Context(), tt.config)
			if err == nil {
				session.Close()
				t.Fatal("it is in")
			}
			e, ok := errors.AsType[*client.Error](err)
			if !ok {
				t.Fatalf("%T: %v", err, err)
			}
			if e.Code != tt.code || e.Retryable != tt.passes || (e.Hint == "") != tt.noHint || e.Message == "" || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%+v", e)
			}
			if tt.causedBy != nil && !errors.Is(err, tt.causedBy) {
				t.Errorf("%v is not caused by %v", err, tt.causedBy)
			}
			for _, secret := range []string{"secret-word", expired, forged} {
				if strings.Contains(fmt.Sprintf("%v %+v %#v", err, e, tt.config), secret) {
					t.Errorf("a secret is in %+v or in %+v", e, tt.config)
				}
			}
		})
	}
	session, err := client.Dial(t.Context(), client.Config{URL: away.URL, Ticket: "t"})
	if e, ok := errors.AsType[*client.Error](err); !ok || e.RetryAfter != 7*time.Second {
		t.Errorf("%v, %v", session, err)
	}
	late, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := client.Dial(late, client.Config{URL: s.url}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// TestDial: an invite, a link, a ticket and nothing at all let in, by HTTP and by TLS.
func TestDial(t *testing.T) {
	cert, key, pool := testcert.For(t, t.TempDir(), "localhost")
	plain, secure := newServer(t), newServer(t, "--tls-mode", "files", "--tls-cert-file", cert, "--tls-key-file", key, "--public-host", "localhost", "--auth-guests", "never")
	for _, s := range []*server{plain, secure} {
		invite, _, err := auth.NewInvites(s.secret, time.Now, rand.Reader).Issue(auth.Invite{Room: "x", Role: auth.RoleMember}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		ticket, _, err := auth.NewTickets(s.secret, time.Now, rand.Reader).Issue(auth.Ticket{User: auth.User{Subject: "ann"}, Name: "Ann", Rooms: []string{"x"}}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		address := strings.Replace(s.url, "127.0.0.1", "localhost", 1)
		configs := map[string]client.Config{
			"invite":    {Invite: invite, Name: "Cleo"},
			"link":      {Invite: address + "/r/x#invite=" + invite},
			"ticket":    {Ticket: " " + ticket + "\n"},
			"GetTicket": {GetTicket: func(context.Context) (string, error) { return ticket, nil }},
		}
		if s == plain {
			configs["guest"] = client.Config{}
		}
		for name, c := range configs {
			t.Run(name+" "+address[:5], func(t *testing.T) {
				c.URL, c.TLS = address, &tls.Config{RootCAs: pool}
				session, err := client.Dial(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				defer session.Close()
				room, err := session.Join(t.Context(), "x", client.JoinOptions{Create: true, Size: 4})
				if err != nil || room.ID() != "x" {
					t.Fatal(room, err)
				}
				if want := map[string]string{"ticket": "Ann", "GetTicket": "Ann", "invite": "Cleo"}[name]; want != "" && session.Name() != want {
					t.Errorf("called %q", session.Name())
				}
			})
		}
	}
}

// TestSecretsStayHidden: a Config prints without its secrets, also inside other things.
func TestSecretsStayHidden(t *testing.T) {
	c := client.Config{URL: "https://turn.example.org", Ticket: base64.StdEncoding.EncodeToString([]byte("ticket")), Invite: "an-invite"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		text := fmt.Sprintf(format, struct{ C client.Config }{c}) + fmt.Sprintf(format, c) + fmt.Sprintf(format, &c)
		if strings.Contains(text, c.Ticket) || strings.Contains(text, c.Invite) || !strings.Contains(text, "[redacted]") {
			t.Errorf("%s prints %s", format, text)
		}
	}
}
