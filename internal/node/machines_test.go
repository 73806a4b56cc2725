package node

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/machine"
	"example.org/turnpike/signal/wire"
)

// inviteTo makes an invite as the operator does.
func inviteTo(t *testing.T, s *testNode, inv auth.Invite) (token, id string) {
	t.Helper()
	token, inv, err := s.node.invites.Issue(inv, time.Hour)
	if err == nil {
		err = s.node.ledger.Record(inv)
	}
	if err != nil {
		t.Fatal(err)
	}
	return token, inv.ID
}

// joinAs has a machine join, and returns the folder with its key too.
func joinAs(t *testing.T, s *testNode, name, invite string) (m *machine.Machine, dir string) {
	t.Helper()
	dir = t.TempDir()
	m, err := machine.Join(t.Context(), machine.Order{Dir: dir, Server: s.row("web"), Invite: invite, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return m, dir
}

func ticketOf(t *testing.T, m *machine.Machine) string {
	t.Helper()
	token, err := m.Ticket()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// sessionsOf counts the sessions of a user.
func sessionsOf(t *testing.T, admin *AdminClient, user string) int {
	t.Helper()
	all, err := admin.Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range all {
		if u.User == user {
			return len(u.Sessions)
		}
	}
	return 0
}

// refusedTicket reports whether the server lets nobody in by a ticket.
func refusedTicket(t *testing.T, s *testNode, ticket string) bool {
	t.Helper()
	c := &signalingClient{t: t}
	c.dial(s)
	c.say(`{"type":"hello","id":"h","ticket":%q}`, ticket)
	e, ok := c.hear("error").(*wire.Error)
	return ok && e.Code == wire.CodeUnauthorized
}

// TestRevokeMachine: however a machine is revoked, its two sessions and its relays end at once. Its tickets admit it no more, also after a
// restart, and its name is free.
func TestRevokeMachine(t *testing.T) {
	for how, revoke := range map[string]func(t *testing.T, cfg *config.Config){
		"by the server": func(t *testing.T, cfg *config.Config) {
			if n, err := NewAdminClient(cfg).RevokeMachine(t.Context(), "nas"); n != 2 || err != nil {
				t.Errorf("ended %d, %v", n, err)
			}
		},
		"by another process": func(t *testing.T, cfg *config.Config) {
			if err := RevokeMachine(cfg, "nas", slog.New(slog.DiscardHandler)); err != nil {
				t.Error(err)
			}
		},
		"with its invite": func(t *testing.T, cfg *config.Config) {
			ledger, err := auth.OpenLedger(cfg.LedgerFile(), time.Now, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer ledger.Close()
			for _, e := range ledger.List() {
				if err := ledger.Revoke(e.ID, e.Expires); err != nil {
					t.Error(err)
				}
			}
		},
	} {
		t.Run(how, func(t *testing.T) { revokeInMidSession(t, revoke) })
	}
}

func revokeInMidSession(t *testing.T, revoke func(*testing.T, *config.Config)) {
	state := filepath.Join(t.TempDir(), "state")
	s := start(t, "--state", state)
	cfg := load(t, "--state", state)
	admin := NewAdminClient(cfg)
	invite, _ := inviteTo(t, s, auth.Invite{Room: "meeting", Role: auth.RoleMember, Uses: 1})
	nas, _ := joinAs(t, s, "nas", invite)
	other := signIn(t, s, "Other")
	ticket := ticketOf(t, nas)
	one, two := signInWith(t, s, ticket), signInWith(t, s, ticketOf(t, nas))
	if one.welcome.User != "machine:nas" || one.welcome.Name != "nas" || two.welcome.Name != "nas" || one.welcome.Role != "member" {
		t.Fatalf("welcomes %+v, %+v", one.welcome, two.welcome)
	}
	meet(other, one)
	alone := relayTarget(t, other, s.node.credentials.MintRelayOnly("machine:nas", time.Hour)).dial(t)
	for _, client := range []*turnClient{one.turn(), other.turn(), alone} {
		relay, err := client.Allocate()
		if err != nil {
			t.Fatal(err)
		}
		defer relay.Close()
	}
	begin := time.Now()
	revoke(t, cfg)
	other.hear("peer-left")
	for sessionsOf(t, admin, "machine:nas") > 0 {
		if time.Since(begin) > 20*time.Second {
			t.Fatal("sessions are left")
		}
	}
	t.Logf("its sessions had ended after %v", time.Since(begin))
	for relays := ""; strings.Count(relays, `"relayed"`) != 1 || !strings.Contains(relays, other.welcome.Session); {
		if _, relays = get(t, http.DefaultClient, strings.TrimSuffix(s.row("metrics"), "/metrics")+"/allocations"); time.Since(begin) > 20*time.Second {
			t.Fatalf("relays are left: %s", relays)
		}
	}
	if !refusedTicket(t, s, ticket) || !refusedTicket(t, s, ticketOf(t, nas)) {
		t.Error("its ticket lets it in")
	}
	if _, err := nas.Vouch(t.Context(), "nas"); err == nil {
		t.Error("the server answers it")
	}

	invite, _ = inviteTo(t, s, auth.Invite{Room: "meeting"})
	anew, _ := joinAs(t, s, "nas", invite)
	signInWith(t, s, ticketOf(t, anew))
	s.stop()
	s = start(t, "--state", state)
	if !refusedTicket(t, s, ticketOf(t, nas)) {
		t.Error("its ticket lets it in after a restart")
	}
	if c := signInWith(t, s, ticketOf(t, anew)); c.welcome.Role != "guest" {
		t.Errorf("the next machine comes as %+v", c.welcome)
	}
	back := &signalingClient{t: t}
	back.dial(s)
	back.say(`{"type":"hello","id":"h","resume":{"session":%q,"token":%q,"received":0}}`, one.welcome.Session, one.welcome.Resume)
	if e, ok := back.hear("error").(*wire.Error); !ok || e.Code != wire.CodeNoSuchSession {
		t.Errorf("its session: %+v", e)
	}
}

// relayTarget is where a session relays, with another credential.
func relayTarget(t *testing.T, c *signalingClient, credential auth.Credential) turnTarget {
	t.Helper()
	for _, server := range c.welcome.ICEServers {
		if server.Username == "" {
			continue
		}
		uri, err := stun.ParseURI(server.URLs[0])
		if err != nil {
			t.Fatal(err)
		}
		return turnTarget{uri: uri, credential: credential}
	}
	t.Fatal("no relays")
	return turnTarget{}
}

// TestInviteRevokedWithoutServer: the machines of an invite that was taken back while no server ran are out once one does.
func TestInviteRevokedWithoutServer(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	s := start(t, "--state", state)
	cfg := load(t, "--state", state)
	invite, id := inviteTo(t, s, auth.Invite{Room: "home"})
	nas, _ := joinAs(t, s, "nas", invite)
	kept, _ := inviteTo(t, s, auth.Invite{Room: "home"})
	pi, _ := joinAs(t, s, "pi", kept)
	s.stop()
	ledger, err := auth.OpenLedger(cfg.LedgerFile(), time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(ledger.Revoke(id, time.Now().Add(time.Hour)), ledger.Close()); err != nil {
		t.Fatal(err)
	}
	s = start(t, "--state", state)
	if !refusedTicket(t, s, ticketOf(t, nas)) {
		t.Error("the machine gets in")
	}
	signInWith(t, s, ticketOf(t, pi))
	if list, err := ReadMachines(cfg, slog.New(slog.DiscardHandler)); err != nil || len(list) != 1 || list[0].Name != "pi" {
		t.Errorf("%v, %v", list, err)
	}
}

// TestMachineAtAnotherServer: a machine has another key at each server, and its tickets are good at one. One name is another machine there.
func TestMachineAtAnotherServer(t *testing.T) {
	one, other := start(t), start(t)
	inviteOne, _ := inviteTo(t, one, auth.Invite{Room: "home"})
	inviteOther, _ := inviteTo(t, other, auth.Invite{Room: "home"})
	dir := t.TempDir()
	join := func(s *testNode, invite string) (*machine.Machine, error) {
		return machine.Join(t.Context(), machine.Order{Dir: dir, Server: s.row("web"), Invite: invite, Name: "nas"})
	}
	if _, err := join(other, inviteOne); err == nil {
		t.Fatal("another server's invite lets it in")
	}
	here, err := join(one, inviteOne)
	if err != nil {
		t.Fatal(err)
	}
	there, err := join(other, inviteOther)
	if err != nil || there.Key().Equal(here.Key()) {
		t.Fatalf("one key for both, %v", err)
	}
	for _, m := range []*machine.Machine{here, there} {
		if again, err := machine.Load(dir, m.Server); err != nil || !again.Key().Equal(m.Key()) {
			t.Errorf("%v, %v", again, err)
		}
	}
	signInWith(t, one, ticketOf(t, here))
	if !refusedTicket(t, other, ticketOf(t, here)) {
		t.Error("its ticket of one server lets it in at the other")
	}
}

// TestMachineNames: a name is one machine's, and nobody else's, online or not.
func TestMachineNames(t *testing.T) {
	s := start(t)
	invite, _ := inviteTo(t, s, auth.Invite{Room: "home"})
	signIn(t, s, "pi")
	join := func(name string) error {
		_, err := machine.Join(t.Context(), machine.Order{Dir: t.TempDir(), Server: s.row("web"), Invite: invite, Name: name})
		return err
	}
	taken := func(name string) {
		t.Helper()
		if e, ok := errors.AsType[*machine.ServerError](join(name)); !ok || e.Code != "name-taken" {
			t.Errorf("%s: %v", name, e)
		}
	}
	taken("pi")
	if err := join("nas"); err != nil {
		t.Fatal(err)
	}
	taken("nas")
	resp, err := http.Post(s.row("web")+"/api/v1/tickets", "application/json", strings.NewReader(`{"name":"NAS"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusConflict {
		t.Errorf("a guest gets a machine's name: %s", resp.Status)
	}
}

// TestJoinAgain: a machine whose answer was lost asks again with the same key, and its invite for one use still counts once.
func TestJoinAgain(t *testing.T) {
	s := start(t)
	target, err := url.Parse(s.row("web"))
	if err != nil {
		t.Fatal(err)
	}
	forward, lost := httputil.NewSingleHostReverseProxy(target), false
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !lost {
			lost = true
			forward.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(w, r)
	}))
	defer between.Close()
	invite, _ := inviteTo(t, s, auth.Invite{Room: "home", Uses: 1})
	order := machine.Order{Dir: t.TempDir(), Server: between.URL, Invite: invite, Name: "nas"}
	if _, err := machine.Join(t.Context(), order); err == nil || len(s.node.machines.List()) != 1 {
		t.Fatalf("%v, %v", err, s.node.machines.List())
	}
	if _, err := machine.Load(order.Dir, order.Server); !errors.Is(err, machine.ErrNotJoined) {
		t.Fatalf("it takes itself for a machine: %v", err)
	}
	first, err := machine.Join(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := machine.Join(t.Context(), order); err == nil {
		t.Error("a used invite lets another key in")
	}
	if kept, err := machine.Load(order.Dir, order.Server); err != nil || !kept.Key().Equal(first.Key()) {
		t.Errorf("a refusal has cost the machine its key: %v", err)
	}
	signInWith(t, s, ticketOf(t, first))
}

// TestInviteRevokedOnFullDisk: a revocation of machines that could not be written is tried again until it is.
func TestInviteRevokedOnFullDisk(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	s := start(t, "--state", state)
	cfg := load(t, "--state", state)
	invite, id := inviteTo(t, s, auth.Invite{Room: "home"})
	nas, _ := joinAs(t, s, "nas", invite)
	file, aside := cfg.MachinesFile(), filepath.Join(state, "aside")
	if err := errors.Join(os.Rename(file, aside), os.Mkdir(file, 0o700)); err != nil { // what stands there takes no line
		t.Fatal(err)
	}
	if err := s.node.ledger.Revoke(id, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	within(t, "a try that fails", func() bool {
		s.node.unrevoked.mu.Lock()
		defer s.node.unrevoked.mu.Unlock()
		return s.node.unrevoked.invites
	})
	if err := errors.Join(os.Remove(file), os.Rename(aside, file)); err != nil {
		t.Fatal(err)
	}
	within(t, "the machine to be out", func() bool { return len(s.node.machines.List()) == 0 })
	if !refusedTicket(t, s, ticketOf(t, nas)) {
		t.Error("the machine gets in")
	}
}

// within polls for a condition.
func within(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
