package node

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// TestKickEndsRelays holds that a kick ends the relays of a user's sessions, and those by credentials that belong to no
// session, and that such credentials make no more relays; and nothing of others.
func TestKickEndsRelays(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	s := start(t, "--state", state)
	admin := NewAdminClient(load(t, "--state", state))
	victim, other := signIn(t, s, "Victim"), signIn(t, s, "Other")
	meet(other, victim)
	users := func() map[string]User {
		t.Helper()
		all, err := admin.Users(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		byName := map[string]User{}
		for _, u := range all {
			byName[u.Name] = u
		}
		return byName
	}
	user := users()["Victim"].User
	secret, err := auth.LoadSecret(filepath.Join(state, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	// relayOnly is what GET /api/v1/ice-servers gives a user.
	relayOnly := func(user string) *turnClient {
		t.Helper()
		target := relayCredential(t, s)
		target.credential = auth.NewCredentials("turnpike", secret, nil, time.Now).MintRelayOnly(user, time.Hour)
		return target.dial(t)
	}
	stolen := relayOnly(user)
	roomRelays := func() int {
		t.Helper()
		var room struct{ Sessions []struct{ Relays int } }
		if err := admin.do(t.Context(), http.MethodGet, "/rooms/meeting", &room); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, s := range room.Sessions {
			n += s.Relays
		}
		return n
	}
	if n := roomRelays(); n != 0 {
		t.Errorf("the room has %d relays before there are any", n)
	}
	for _, client := range []*turnClient{victim.turn(), other.turn(), stolen} {
		relay, err := client.Allocate()
		if err != nil {
			t.Fatal(err)
		}
		defer relay.Close()
	}
	if u := users(); u["Victim"].Relays != 2 || u["Victim"].Sessions[0].Relays != 1 || u["Other"].Relays != 1 || u["Victim"].Sessions[0].Rooms[0] != "meeting" {
		t.Fatalf("users %+v", u)
	}
	if n := roomRelays(); n != 2 {
		t.Errorf("the room has %d relays, want 2", n)
	}
	if n, err := admin.Kick(t.Context(), auth.Kick{User: user}); n != 1 || err != nil {
		t.Fatalf("ended %d, %v", n, err)
	}
	other.hear("peer-left")
	if _, body := get(t, http.DefaultClient, strings.TrimSuffix(s.row("metrics"), "/metrics")+"/allocations"); strings.Count(body, `"relayed"`) != 1 || !strings.Contains(body, other.welcome.Session) {
		t.Errorf("relays are left: %s", body)
	}
	for what, client := range map[string]*turnClient{"the session's": victim.turn(), "the other": relayOnly(user)} {
		if relay, err := client.Allocate(); err == nil {
			_ = relay.Close()
			t.Errorf("%s credential of before makes relays", what)
		}
	}
	if relay, err := relayOnly("turnpike:someone").Allocate(); err != nil {
		t.Errorf("another user's credential: %v", err)
	} else {
		_ = relay.Close()
	}
	if u := users(); len(u) != 1 || u["Other"].Relays != 1 {
		t.Errorf("users %+v", u)
	}
}

// TestKickAfterRotation: a kick also ends and voids what a former secret has signed, where the user has another pseudonym.
func TestKickAfterRotation(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	s := start(t, "--state", state)
	path := filepath.Join(state, "secret")
	secret, err := auth.LoadSecret(path)
	if err != nil {
		t.Fatal(err)
	}
	const user = "turnpike:mallory"
	target := relayCredential(t, s)
	target.credential = auth.NewCredentials("turnpike", secret, nil, time.Now).MintRelayOnly(user, time.Hour)
	client := target.dial(t)
	if err := auth.RotateSecret(path, time.Now().Add(time.Hour), time.Now(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	untilLogged(t, s, "a new secret signs from now on", 1)
	relay, err := client.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	if _, err := NewAdminClient(load(t, "--state", state)).Kick(t.Context(), auth.Kick{User: user}); err != nil {
		t.Fatal(err)
	}
	if _, body := get(t, http.DefaultClient, strings.TrimSuffix(s.row("metrics"), "/metrics")+"/allocations"); strings.Contains(body, `"relayed"`) {
		t.Errorf("a relay is left: %s", body)
	}
	again := target.dial(t)
	if relay, err := again.Allocate(); err == nil {
		_ = relay.Close()
		t.Error("a credential of before makes relays")
	}
}

func TestKickedOutIsBounded(t *testing.T) {
	out := kickedOut{ttl: time.Hour}
	now := time.Unix(1_800_000_000, 0)
	grant := func(user string, issued time.Time, life time.Duration) *auth.Grant {
		return &auth.Grant{Kind: auth.GrantRelayOnly, User: user, Issued: issued, Expires: issued.Add(life)}
	}
	out.add("r.ann", now, now)
	for range 3 * maxKickedOut {
		out.add("r.bob", now, now)
	}
	for _, life := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour} { // whatever credential_ttl was
		if !out.voids(grant("r.ann", now, life)) || out.voids(grant("r.ann", now.Add(time.Second), life)) {
			t.Errorf("credentials that live for %v", life)
		}
	}
	undated := func(expires time.Time) *auth.Grant {
		return &auth.Grant{Kind: auth.GrantRelayOnly, User: "r.ann", Expires: expires}
	}
	if !out.voids(undated(now.Add(time.Hour))) || out.voids(undated(now.Add(time.Hour+time.Second))) {
		t.Error("credentials that do not say when they were minted")
	}
	if out.voids(grant("r.eve", now, time.Hour)) || len(out.order) != 2 {
		t.Errorf("%d are remembered", len(out.order))
	}
	if out.voids(&auth.Grant{Kind: auth.GrantREST, User: "r.ann", Expires: now}) {
		t.Error("a credential of an app's secret is void")
	}
	later := now.Add(auth.KickKeep)
	out.add("r.eve", later, later)
	if len(out.order) != 1 || len(out.at) != 1 {
		t.Errorf("%d are remembered in the end", len(out.order))
	}
}

// TestKickAndShorterCredentials: a credential of before its user was thrown out stays void although the server was started with
// a shorter credential_ttl since, and one of after it is good.
func TestKickAndShorterCredentials(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	s := start(t, "--state", state, "--auth-credential-ttl", "4h")
	secret, err := auth.LoadSecret(filepath.Join(state, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	const user = "turnpike:mallory"
	mint := func(issued time.Time, life time.Duration) auth.Credential {
		return auth.NewCredentials("turnpike", secret, nil, func() time.Time { return issued }).MintRelayOnly(user, life)
	}
	before := mint(time.Now(), 4*time.Hour)
	if _, err := NewAdminClient(load(t, "--state", state)).Kick(t.Context(), auth.Kick{User: user}); err != nil {
		t.Fatal(err)
	}
	s.stop()
	s = start(t, "--state", state, "--auth-credential-ttl", "1m")
	makes := func(cred auth.Credential) bool {
		target := relayCredential(t, s)
		target.credential = cred
		relay, err := target.dial(t).Allocate()
		if err == nil {
			_ = relay.Close()
		}
		return err == nil
	}
	if makes(before) {
		t.Error("a credential of before makes relays")
	}
	if !makes(mint(time.Now().Add(time.Second), time.Minute)) {
		t.Error("a credential of after makes none")
	}
}

// TestAdminSocket: only the server's user may open the socket, and a process leaves another's alone.
func TestAdminSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	first, err := listenAdmin(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info, err)
	}
	second, err := listenAdmin(path) // the next process, before the former one ends
	if err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	if _, err := os.Stat(path); err != nil && runtime.GOOS != "windows" {
		t.Errorf("the former process has removed the socket of the next: %v", err)
	}
	_ = second.Close()
	_ = second.Close()
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 110))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	if l, err := listenAdmin(filepath.Join(long, "admin.sock")); err == nil {
		_ = l.Close()
	} else if !strings.Contains(err.Error(), "use a state_dir with a shorter path") {
		t.Errorf("a long path: %v", err)
	}
}

// TestBackend walks through what a backend does with an API key.
func TestBackend(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "turnpike.toml")
	const key = "0123456789abcdef0123456789abcdef"
	if err := os.WriteFile(file, []byte("public_host = \"turn.example.org\"\nauth.api_keys = [\""+key+"\"]\nauth.guests = \"never\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--config", file, "--state", filepath.Join(dir, "state"))
	base := strings.Split(s.row("web"), "  ")[1]
	ask := func(method, path, body string, into any) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, base+"/api/v1/admin"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body)
		if err := json.NewDecoder(bytes.NewReader(data)).Decode(into); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		return resp.StatusCode
	}
	type ticket struct{ Ticket, User, Name, Role string }
	var ann, bob ticket
	if status := ask("POST", "/tickets", `{"user":"a/b","name":"Ann","rooms":["team-*"],"role":"member","ttl":3600}`, &ann); status != 200 || ann.User != "turnpike:a/b" {
		t.Fatalf("ticket: %d %+v", status, ann)
	}
	ask("POST", "/tickets", `{"user":"bob","name":"Bob","rooms":["*"]}`, &bob)
	come := func(token string) *signalingClient {
		t.Helper()
		c := signInWith(t, &testNode{banner: "  web      " + base}, token)
		c.say(`{"type":"join","room":"team-a","create":true,"size":4}`)
		c.hear("joined")
		return c
	}
	host, guest := come(ann.Ticket), come(bob.Ticket)
	if host.welcome.Role != "member" || guest.welcome.Role != "guest" || host.welcome.Name != "Ann" {
		t.Errorf("came as %+v and %+v", host.welcome, guest.welcome)
	}
	var room struct {
		Room, Host string
		Sessions   []struct{ Session, User, Name, Address string }
	}
	if status := ask("GET", "/rooms/team-a", "", &room); status != 200 || room.Host != host.welcome.Session || len(room.Sessions) != 2 ||
		room.Sessions[1].User != "turnpike:bob" || room.Sessions[1].Name != "Bob" || room.Sessions[1].Address != "127.0.0.1" {
		t.Errorf("room: %d %+v", status, room)
	}
	var out struct{ Sessions int }
	if status := ask("DELETE", "/rooms/team-a/users/turnpike:bob", "", &out); status != 200 || out.Sessions != 1 {
		t.Errorf("out of the room: %d %+v", status, out)
	}
	if left := guest.hear("left").(*wire.Left); left.Reason != "kicked" {
		t.Errorf("left %+v", left)
	}
	guest.say(`{"type":"join","id":"9","room":"team-a"}`)
	if e := guest.hear("error").(*wire.Error); e.Code != wire.CodeKicked {
		t.Errorf("came back: %+v", e)
	}
	if status := ask("DELETE", "/users/turnpike:a%2Fb", "", &out); status != 200 || out.Sessions != 1 {
		t.Errorf("out: %d %+v", status, out)
	}
	// A ticket of right afterwards admits.
	ask("POST", "/tickets", `{"user":"a/b","rooms":["*"]}`, &ann)
	come(ann.Ticket)
	ask("POST", "/tickets", `{"user":"bob","rooms":["*"]}`, &bob)
	come(bob.Ticket)
	var invite struct{ Link, Invite string }
	if status := ask("POST", "/invites", `{"room":"team-a","uses":1}`, &invite); status != 200 || !strings.HasPrefix(invite.Link, "http://turn.example.org:") {
		t.Errorf("invite: %d %+v", status, invite)
	}
}
