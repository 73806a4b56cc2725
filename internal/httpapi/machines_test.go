package httpapi

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"example.org/turnpike/auth"
)

// machineTest is an API with real machines, and a machine that wants to join.
type machineTest struct {
	*apiTest
	t        *testing.T
	machines *auth.Machines
	key      ed25519.PrivateKey
	used     []string // IDs of invites
}

func newMachineTest(t *testing.T) *machineTest {
	t.Helper()
	m := &machineTest{apiTest: newAPITest(GuestsNever), t: t}
	now := func() time.Time { return m.now }
	var err error
	if m.machines, err = auth.OpenMachines(filepath.Join(t.TempDir(), "machines"), now, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.machines.Close() })
	m.cfg.Machines, m.cfg.MachinesAtMost = m.machines, 3
	m.cfg.UseInvite = func(inv auth.Invite) error { m.used = append(m.used, inv.ID); return nil }
	verifier, err := auth.NewVerifier(m.cfg.Tickets, m.machines.Refuses, nil, now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	verifier.AdmitMachines(m.machines)
	m.cfg.VerifyTicket = verifier.Verify
	m.newKey()
	return m
}

// newKey has another machine ask.
func (m *machineTest) newKey() {
	var err error
	if _, m.key, err = ed25519.GenerateKey(rand.Reader); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machineTest) invite(inv auth.Invite) (token string, issued auth.Invite) {
	m.t.Helper()
	token, issued, err := m.cfg.Invites.Issue(inv, time.Hour)
	if err != nil {
		m.t.Fatal(err)
	}
	m.cfg.OwnInvites.(*testInvites).add(auth.LedgerEntry{Invite: issued})
	return token, issued
}

// join asks as a machine does. A value of edit replaces a field.
func (m *machineTest) join(invite, name string, edit ...string) (status int, answer map[string]any) {
	m.t.Helper()
	proof, err := auth.SignMachineTicket(name, m.key, m.now, rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	fields := map[string]string{"invite": invite, "name": name, "key": auth.EncodeMachineKey(m.key.Public().(ed25519.PublicKey)), "proof": proof}
	for i := 0; i < len(edit); i += 2 {
		fields[edit[i]] = edit[i+1]
	}
	body, err := json.Marshal(fields)
	if err != nil {
		m.t.Fatal(err)
	}
	resp, answer := m.do("POST", "/api/v1/machines", string(body), request(stranger, "turn.example.org"))
	return resp.StatusCode, answer
}

func TestPostMachine(t *testing.T) {
	m := newMachineTest(t)
	link, inv := m.invite(auth.Invite{Room: "home", Role: auth.RoleMember, Uses: 1})
	for range 2 { // the answer of the first is lost
		if status, answer := m.join(link, "nas"); status != 200 || answer["name"] != "nas" || answer["role"] != "member" || answer["room"] != "home" {
			t.Fatalf("%d %v", status, answer)
		}
	}
	if len(m.used) != 1 || m.used[0] != inv.ID {
		t.Errorf("used %v", m.used)
	}
	if there, found := m.machines.Find("nas"); !found || there.Invite != inv.ID || !there.Key.Equal(m.key.Public()) || there.Role != auth.RoleMember || there.Room != "home" {
		t.Errorf("%+v", there)
	}
	m.newKey()
	if status, answer := m.join(link, "nas"); status != 409 || errorCode(answer) != "name-taken" || len(m.used) != 1 {
		t.Errorf("another machine: %d %v", status, answer)
	}
}

// TestPostMachineRefused: a refused machine uses up no invite.
func TestPostMachineRefused(t *testing.T) {
	m := newMachineTest(t)
	link, inv := m.invite(auth.Invite{Room: "home", Uses: 1})
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	proof := func(name string, key ed25519.PrivateKey, at time.Time) string {
		token, err := auth.SignMachineTicket(name, key, at, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for what, row := range map[string]struct {
		name   string
		edit   []string
		status int
		code   string
	}{
		"no invite":         {"nas", []string{"invite", ""}, 400, "bad-request"},
		"a forged invite":   {"nas", []string{"invite", link[:len(link)-2]}, 401, "unauthorized"},
		"a bad name":        {"my nas", nil, 400, "bad-request"},
		"a name in use":     {"bob", nil, 409, "name-taken"},
		"a bad key":         {"nas", []string{"key", "AAAA"}, 400, "bad-request"},
		"no proof":          {"nas", []string{"proof", ""}, 400, "bad-request"},
		"another's proof":   {"nas", []string{"proof", proof("nas", other, m.now)}, 400, "bad-request"},
		"of another name":   {"nas", []string{"proof", proof("pi", m.key, m.now)}, 400, "bad-request"},
		"a clock behind":    {"nas", []string{"proof", proof("nas", m.key, m.now.Add(-time.Hour))}, 400, "clock"},
		"a clock ahead":     {"nas", []string{"proof", proof("nas", m.key, m.now.Add(time.Hour))}, 400, "clock"},
		"an invite as name": {link, nil, 400, "bad-request"},
	} {
		if status, answer := m.join(link, row.name, row.edit...); status != row.status || errorCode(answer) != row.code {
			t.Errorf("%s: %d %v", what, status, answer)
		}
	}
	m.cfg.OwnInvites.(*testInvites).add(auth.LedgerEntry{Invite: inv, By: "turnpike:member"})
	if status, answer := m.join(link, "nas"); status != 403 || errorCode(answer) != "forbidden" {
		t.Errorf("an invite of a user: %d %v", status, answer)
	}
	m.cfg.OwnInvites = newTestInvites(m.cfg.Now)
	if status, answer := m.join(link, "nas"); status != 403 || errorCode(answer) != "forbidden" {
		t.Errorf("an invite of nobody knows whom: %d %v", status, answer)
	}
	m.cfg.MachinesAtMost = 0
	if status, answer := m.join(link, "nas"); status != 403 || errorCode(answer) != "forbidden" {
		t.Errorf("no machines: %d %v", status, answer)
	}
	m.now = m.now.Add(2 * time.Hour)
	if status, answer := m.join(link, "nas"); status != 401 || errorCode(answer) != "expired" {
		t.Errorf("an old invite: %d %v", status, answer)
	}
	if len(m.used) != 0 || len(m.machines.List()) != 0 {
		t.Errorf("used %v, joined %v", m.used, m.machines.List())
	}
}

// TestPostMachineUses: used and revoked invites are refused as they are for tickets, and a full list is no failure of the server.
func TestPostMachineUses(t *testing.T) {
	m := newMachineTest(t)
	link, _ := m.invite(auth.Invite{Room: "home"})
	m.cfg.UseInvite = func(auth.Invite) error { return auth.ErrInviteUsed }
	if status, answer := m.join(link, "nas"); status != 403 || errorCode(answer) != "invite-used" {
		t.Errorf("used: %d %v", status, answer)
	}
	m.cfg.UseInvite = func(auth.Invite) error { return auth.ErrInviteRevoked }
	if status, answer := m.join(link, "nas"); status != 403 || errorCode(answer) != "invite-revoked" {
		t.Errorf("revoked: %d %v", status, answer)
	}
	m.cfg.UseInvite = func(auth.Invite) error { return nil }
	for _, name := range []string{"a", "b", "c"} {
		m.newKey()
		if status, answer := m.join(link, name); status != 200 {
			t.Fatalf("%d %v", status, answer)
		}
	}
	m.newKey()
	if status, answer := m.join(link, "d"); status != 403 || errorCode(answer) != "forbidden" {
		t.Errorf("full: %d %v", status, answer)
	}
}

// TestGetMachine: the server vouches for a key to those who may enter the machine's room, and tells nobody else that it is there.
func TestGetMachine(t *testing.T) {
	m := newMachineTest(t)
	link, _ := m.invite(auth.Invite{Room: "home"})
	if status, answer := m.join(link, "nas"); status != 200 {
		t.Fatalf("%d %v", status, answer)
	}
	key := auth.EncodeMachineKey(m.key.Public().(ed25519.PublicKey))
	get := func(token, name string) (int, map[string]any) {
		t.Helper()
		r := request(stranger, "turn.example.org", "Authorization: Bearer "+token)
		resp, answer := m.do("GET", "/api/v1/machines/"+name, "", r)
		return resp.StatusCode, answer
	}
	ticket := func(user string, rooms ...string) string {
		t.Helper()
		token, _, err := m.cfg.Tickets.Issue(auth.Ticket{User: auth.User{Subject: user}, Rooms: rooms}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	own, err := auth.SignMachineTicket("nas", m.key, m.now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for what, token := range map[string]string{"the machine itself": own, "a user of its room": ticket("u", "home"), "one of all rooms": ticket("u", "*")} {
		if status, answer := get(token, "nas"); status != 200 || answer["key"] != key || answer["name"] != "nas" || len(answer) != 2 {
			t.Errorf("%s: %d %v", what, status, answer)
		}
	}
	m.cfg.Sessions = &testSessions{keptOut: map[[2]string]bool{{"turnpike:out", "home"}: true}}
	m.cfg.RefusesRoom = func(t auth.Ticket, room string) bool { return t.User.Subject == "kicked" && room == "home" }
	for what, row := range map[string]struct {
		token, name string
		status      int
		code        string
	}{
		"nobody":                {"", "nas", 401, "unauthorized"},
		"a forged ticket":       {own[:len(own)-4] + "AAAA", "nas", 401, "unauthorized"},
		"a user of elsewhere":   {ticket("u", "garden"), "nas", 404, "not-found"},
		"a user who was out":    {ticket("out", "home"), "nas", 404, "not-found"},
		"a user who was kicked": {ticket("kicked", "home"), "nas", 404, "not-found"},
		"no such machine":       {own, "pi", 404, "not-found"},
		"a name of no machine":  {own, "..%2Fnas", 404, "not-found"},
	} {
		if status, answer := get(row.token, row.name); status != row.status || errorCode(answer) != row.code {
			t.Errorf("%s: %d %v", what, status, answer)
		}
	}
}

func TestAdminMachines(t *testing.T) {
	m := newMachineTest(t)
	m.cfg.APIKeys = []auth.Secret{auth.NewSecret([]byte("a key of an app's server, long enough"))}
	m.cfg.People = &testPeople{users: []User{{User: "machine:nas", Sessions: make([]Session, 2)}}}
	var fails error
	m.cfg.RevokeMachine = func(name string) (int, error) {
		_, err := m.machines.Revoke(name)
		return 2, errors.Join(err, fails)
	}
	link, inv := m.invite(auth.Invite{Room: "home", Role: auth.RoleMember})
	for _, name := range []string{"pi", "nas"} {
		m.newKey()
		if status, answer := m.join(link, name); status != 200 {
			t.Fatalf("%d %v", status, answer)
		}
	}
	ask := func(method, path string) (int, map[string]any) {
		t.Helper()
		r := request(stranger, "turn.example.org", "Authorization: Bearer a key of an app's server, long enough")
		resp, answer := m.do(method, "/api/v1/admin/machines"+path, "", r)
		return resp.StatusCode, answer
	}
	_, answer := ask("GET", "")
	list, _ := answer["machines"].([]any)
	if len(list) != 2 {
		t.Fatalf("%v", answer)
	}
	first := list[0].(map[string]any)
	if first["name"] != "nas" || first["role"] != "member" || first["room"] != "home" || first["sessions"] != 2.0 || first["invite"] != inv.ID ||
		first["key"] != auth.EncodeMachineKey(m.key.Public().(ed25519.PublicKey)) || first["joined"] != m.now.UTC().Format(time.RFC3339) {
		t.Errorf("%v", first)
	}
	if status, answer := ask("DELETE", "/nas"); status != 200 || answer["sessions"] != 2.0 {
		t.Errorf("%d %v", status, answer)
	}
	if status, answer := ask("DELETE", "/nas"); status != 404 || errorCode(answer) != "not-found" {
		t.Errorf("%d %v", status, answer)
	}
	fails = errors.New("the disk is full")
	if status, answer := ask("DELETE", "/pi"); status != 500 || errorCode(answer) != "internal" {
		t.Errorf("%d %v", status, answer)
	}
}
