//go:build linux

package e2e

import (
	"strconv"
	"strings"
	"testing"

	"turnpike/internal/netlab"
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
		long          bool // only in the long form
	}{
		{chromium, netlab.Symmetric, netlab.Symmetric, "relayed", false},
		{chromium, netlab.FullCone, netlab.PortRestricted, "direct", true},
		{firefox, netlab.Symmetric, netlab.Symmetric, "relayed", false},
		{firefox, netlab.FullCone, netlab.PortRestricted, "direct", true},
	} {
		if test.long && !matrix() {
			continue
		}
		t.Run(test.browser+" "+test.page.String()+" x "+test.program.String(), func(t *testing.T) {
			room := "transfer-" + strconv.Itoa(i)
			_, invite, _ := strings.Cut(s.link(t, config, room), "#invite=")
			page, host := lab.Behind(test.page, "page"+strconv.Itoa(i)), lab.Behind(test.program, "prog"+strconv.Itoa(i))
			plan := map[string]any{"place": browserAt(t, test.browser, page, ca), "url": publicURL, "invite": invite, "size": size, "room": room}
			var p *running
			driveOn(t, page, "program", plan, map[string]func(){
				"program": func() {
					p = startProgram(t, host, programPlan{URL: publicURL, Invite: invite, Name: "program", Room: room, Roots: ca.caFile})
					p.want(t, func(line programLine) bool { return strings.HasPrefix(line.Path, test.path) })
				},
				"open": func() {
					p.tell(t, strconv.Itoa(size))
					if done := p.want(t, func(line programLine) bool { return line.Sent != "" }); done.Sent != done.Answer {
						t.Errorf("the page got bytes with the sum %s, not %s", done.Answer, done.Sent)
					}
				},
			})
		})
	}
}

// TestProgramAndPage has all that the SDK does between pages meet a program, in either order of joining.
func TestProgramAndPage(t *testing.T) {
	need(t, "node", "chromium", "firefox-esr", "certutil")
	host := netlab.New(t).Public("host")
	for _, browser := range []string{chromium, firefox} {
		t.Run(browser, func(t *testing.T) {
			serveLocally(t, host)
			plan := map[string]any{"place": browserAt(t, browser, host, nil), "url": localURL, "room": "pair"}
			driveOn(t, host, "programAndPage", plan, map[string]func(){
				"program": func() { startProgram(t, host, programPlan{URL: localURL, Name: "program", Room: "pair"}) },
			})
		})
	}
}
