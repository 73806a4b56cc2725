package signal

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// machineTicket is that of the machine of a name.
func machineTicket(name string, role auth.Role) string {
	return strings.Replace(testTicket(name, name, role), `"Issuer":"turnpike"`, `"Issuer":"machine"`, 1)
}

func keepsNAS(canonical string, from auth.User) bool {
	return canonical == "nas" && from != auth.User{Issuer: auth.MachineIssuer, Subject: "nas"}
}

// TestNamesOfMachines: nobody gets the name of a machine that is away, and a machine gets no other.
func TestNamesOfMachines(t *testing.T) {
	h := newHarness(t, func(cfg *Config) { cfg.KeepsName = keepsNAS })
	for _, taken := range []string{"nas", "NAS", "ｎａｓ"} {
		c := h.dial()
		c.send(msg{"type": "hello", "ticket": testTicket("stranger", "", auth.RoleGuest), "name": taken})
		if e := c.expect("error", "code", "name-taken", "away", nil); !strings.Contains(e["message"].(string), "a machine") {
			t.Errorf("%v", e)
		}
	}
	guest, _ := h.nameInForce(testTicket("guest", "", auth.RoleGuest), "name", "Ann")
	guest.send(msg{"type": "rename", "id": "1", "name": "Nas"})
	guest.expect("error", "ref", "1", "code", "name-taken")
	if _, name := h.nameInForce(testTicket("app", "nas", auth.RoleMember)); name != "nas (2)" {
		t.Errorf("a user whom an app calls nas is %q", name)
	}
	for _, role := range []auth.Role{auth.RoleGuest, auth.RoleMember} { // two sessions
		nas, name := h.nameInForce(machineTicket("nas", role), "name", "Ann's own")
		if name != "nas" {
			t.Errorf("the machine is called %q", name)
		}
		nas.send(msg{"type": "rename", "id": "2", "name": "Ann's own"})
		nas.expect("error", "ref", "2", "code", "forbidden")
	}
}

// TestNameOfMachineAfterRestart: a session whose name a machine has got since comes back under another.
func TestNameOfMachineAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		former := newMemoryHarness(t, resuming)
		next := newMemoryHarness(t, func(cfg *Config) { resuming(cfg); cfg.KeepsName = keepsNAS })
		guest, _ := former.nameInForce(testTicket("guest", "", auth.RoleGuest), "name", "nas")
		if _, w := next.back(guest.identity(), wire.ResumedRestored); w["name"] != "nas (2)" {
			t.Errorf("the guest is called %q", w["name"])
		}
		if _, name := next.nameInForce(machineTicket("nas", auth.RoleMember)); name != "nas" {
			t.Errorf("the machine is called %q", name)
		}
	})
}

// TestSeatsOfMachines: commands of one machine do not take each other's places, as tabs of one user do.
func TestSeatsOfMachines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		mate := h.member("mate")
		listens, _ := h.nameInForce(machineTicket("nas", auth.RoleMember))
		mate.join("x", "size", 4)
		listens.join("x")
		mate.skipTo("peer-joined")
		listens.lose()
		time.Sleep(time.Second)
		pings, _ := h.nameInForce(machineTicket("nas", auth.RoleMember))
		if m := pings.join("x"); len(m["peers"].([]any)) != 2 {
			t.Errorf("joined %v", m)
		}
		if _, w := h.back(listens.identity(), wire.ResumedReplayed); !strings.Contains(fmt.Sprint(w["rooms"]), "room:x") {
			t.Errorf("back as %v", w)
		}
	})
}
