package signaling

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"

	"github.com/gorilla/websocket"

	"example.org/turnpike/signal/wire"
)

// TestErrorsPrint: whatever a server says, or somebody in its place, its words in an error do not command a terminal.
func TestErrorsPrint(t *testing.T) {
	const wicked = "wicked\x1b[2J\u009b2J\r"
	answers := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/signal" {
			w.Header().Set("Location", "https://wicked\u009b2J") // Go's client refuses a header with the other ones
			w.WriteHeader(http.StatusFound)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":{"code":"bad-request","message":"wicked\u001b[2J\u009b2J\r"}}`))
	}))
	defer answers.Close()
	server, err := NewServer(answers.URL, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	_, moved := server.Dial(t.Context(), func() {})
	_, refused := server.NewTicket(t.Context(), "Ann", "")
	for what, err := range map[string]error{
		"an answer":          refused,
		"an address":         moved,
		"a refusal":          serverError(&wire.Error{Code: "of-later", Message: wicked}),
		"the word of an end": new(Signaling).closedBecause(&websocket.CloseError{Code: 4999, Text: wicked}),
		"a certificate":      errors.New(certificateProblem(errors.New("x509: certificate is valid for " + wicked))),
	} {
		text := err.Error()
		if strings.ContainsFunc(text, unicode.IsControl) || !strings.Contains(text, "wicked") {
			t.Errorf("%s: %q", what, text)
		}
	}
}
