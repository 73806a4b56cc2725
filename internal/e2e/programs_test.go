//go:build linux

package e2e

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// TestProgramAndBrowser has a program and a page of the SDK open streams to each other, across the hardest NATs, which need a
// relay, and where nothing is in between.
func TestProgramAndBrowser(t *testing.T) {
	need(t, "node", "chromium", "firefox-esr", "certutil")
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	const size = 20 << 20
	for i, test := range []struct {
		browser       string
		page, program netlab.Kind
		path          string
		relayOnly     bool // of the program
		long          bool // only in the long form
	}{
		{chromium, netlab.Symmetric, netlab.Symmetric, "relayed", false, false},
		{chromium, netlab.FullCone, netlab.PortRestricted, "direct", false, true},
		{chromium, netlab.FullCone, netlab.UDPBlocked, "relayed by turn.lab over tcp", true, true},
		{chromium, netlab.Symmetric, netlab.Only443, "relayed by turn.lab over tls", false, true},
		{firefox, netlab.Symmetric, netlab.Symmetric, "relayed", false, false},
		{firefox, netlab.FullCone, netlab.PortRestricted, "direct", false, true},
		{firefox, netlab.FullCone, netlab.PortRestricted, "relayed by turn.lab over udp", true, true},
	} {
		if test.long && !matrix() {
			continue
		}
		t.Run(test.browser+" "+test.page.String()+" x "+test.program.String(), func(t *testing.T) {
			room := "transfer-" + strconv.Itoa(i)
			page, host := lab.Behind(test.page, "page"+strconv.Itoa(i)), lab.Behind(test.program, "prog"+strconv.Itoa(i))
			exchangeWithPage(t, exchange{test.browser, page, host, ca, s.link(t, config, room), room, size, test.relayOnly, test.path})
		})
	}
}

// exchange is what a page and a program send each other in a room, and on which path.
type exchange struct {
	browser       string
	page, program *netlab.Host
	ca            *authority
	link, room    string
	size          int
	relayOnly     bool   // of the program
	path          string // how the program's line of it begins
}

// exchangeWithPage has a page and a program open streams to each other.
func exchangeWithPage(t *testing.T, e exchange) {
	t.Helper()
	_, invite, _ := strings.Cut(e.link, "#invite=")
	plan := map[string]any{"place": browserAt(t, e.browser, e.page, e.ca), "url": publicURL, "invite": invite, "size": e.size, "room": e.room}
	var p *running
	driveOn(t, e.page, "program", plan, map[string]func(){
		"program": func() {
			p = startProgram(t, e.program, programPlan{URL: publicURL, Invite: invite, Name: "program-" + e.room, Room: e.room, Roots: e.ca.caFile, RelayOnly: e.relayOnly})
			p.want(t, func(line programLine) bool { return strings.HasPrefix(line.Path, e.path) })
		},
		"open": func() {
			p.tell(t, strconv.Itoa(e.size))
			if done := p.want(t, func(line programLine) bool { return line.Sent != "" }); done.Sent != done.Answer {
				t.Errorf("the page got bytes with the sum %s, not %s", done.Answer, done.Sent)
			}
		},
	})
}

// nft changes what a host's kernel lets through.
func nft(t *testing.T, host *netlab.Host, rules string) {
	t.Helper()
	ctx, cancel := within(t, 20*time.Second)
	defer cancel()
	if out, err := host.Command(ctx, "nft", rules).CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
}

// TestProgramAndPage has all that the SDK does between pages meet a program, in either order of joining.
func TestProgramAndPage(t *testing.T) {
	need(t, "node", "chromium", "firefox-esr", "certutil", "nft")
	host := netlab.New(t).Public("host")
	for _, browser := range []string{chromium, firefox} {
		t.Run(browser, func(t *testing.T) {
			serveLocally(t, host)
			plan := map[string]any{"place": browserAt(t, browser, host, nil), "url": localURL, "room": "pair"}
			driveOn(t, host, "programAndPage", plan, map[string]func(){
				"program": func() { startProgram(t, host, programPlan{URL: localURL, Name: "program", Room: "pair"}) },
				"cut": func() {
					nft(t, host, "table inet cut { chain in { type filter hook input priority filter; meta l4proto udp drop; }; }")
				},
				"mend": func() { nft(t, host, "delete table inet cut") },
			})
		})
	}
}

// TestProgramInThePage has the server's page show a program.
func TestProgramInThePage(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	host := netlab.New(t).Public("host")
	serveLocally(t, host)
	var p *running
	plan := map[string]any{"place": chromiumAt(t, host, nil), "url": localURL, "room": "pair"}
	driveOn(t, host, "programInPage", plan, map[string]func(){
		"program": func() { p = startProgram(t, host, programPlan{URL: localURL, Name: "program", Room: "pair"}) },
		"heard": func() {
			p.want(t, func(line programLine) bool { return strings.Contains(line.Data, "hello from the page") })
		},
	})
}
