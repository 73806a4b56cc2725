package filetransfer

import (
	"strings"
	"testing"
)

func TestCheckPath(t *testing.T) {
	for p, want := range map[string]string{
		"a":                            "",
		"a/b/c":                        "",
		"..a/b..":                      "",
		"übung/日本.txt":                 "",
		"CON":                          "", // for Windows alone
		" a":                           "",
		"-rf":                          "",
		strings.Repeat("x", 255):       "",
		strings.Repeat("d/", 63) + "f": "",
		"":                             "empty",
		"/":                            "absolute",
		"/etc/passwd":                  "absolute",
		"a/":                           "empty",
		"a//b":                         "empty",
		".":                            "climbs",
		"..":                           "climbs",
		"../a":                         "climbs",
		"a/../../b":                    "climbs",
		"a/..":                         "climbs",
		"a/./b":                        "climbs",
		`a\..\b`:                       `\`,
		`C:\x`:                         `\`,
		"a\x00b":                       "control",
		"a\nb":                         "control",
		"a\x1b[2J":                     "control",
		"a\x7f":                        "control",
		"a\u0085":                      "control",
		"a\xff":                        "UTF-8",
		strings.Repeat("x", 256):       "255 bytes",
		strings.Repeat("d/", 64) + "f": "deep",
		strings.Repeat("x/", 3000):     "4096",
		".a.turnpike-part":             "unfinished",
		"d/.A.TURNPIKE-PART/b":         "unfinished",
	} {
		got := checkPath(p)
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("checkPath(%q) = %q, and should say %q", p, got, want)
		}
	}
}

func TestWindowsRefuses(t *testing.T) {
	for p, refused := range map[string]bool{
		"a/b.txt": false, "console": false, "COM": false, "COM10": false, "a.CON": false, "übung": false, " a": false, "lpt": false,
		"CON": true, "con": true, "d/NUL": true, "nul.txt": true, "aux.c": true, "COM1": true, "com¹.x": true, "LPT9": true, "CONIN$": true, "con .txt": true,
		"a.": true, "a ": true, "a./b": true, "a:b": true, "what?": true, "a*": true, "<a>": true, `"`: true, "a|b": true,
	} {
		if got := windowsRefuses(p); (got != "") != refused {
			t.Errorf("windowsRefuses(%q) = %q", p, got)
		}
	}
}

func TestPartName(t *testing.T) {
	for p, want := range map[string]string{
		"a":       ".a.turnpike-part",
		"d/e/a.b": "d/e/.a.b.turnpike-part",
	} {
		if got := partName(p); got != want {
			t.Errorf("partName(%q) = %q", p, got)
		}
	}
	seen := map[string]bool{}
	for _, last := range []string{"a", "b"} {
		name := partName("d/" + strings.Repeat("日", 84) + last)
		base := strings.TrimPrefix(name, "d/")
		if len(base) > maxPart || !isPart(base) || seen[base] || strings.ContainsRune(base, '\uFFFD') {
			t.Errorf("a long name gets the part %q", name)
		}
		seen[base] = true
	}
}

func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"it is so":                   "it is so",
		"a\x1b[31mb\nc":              "a [31mb c",
		"\u202eevil":                 "evil",
		strings.Repeat("ü", 200):     strings.Repeat("ü", 126) + "…",
		"  the disk is full\r\n\x00": "the disk is full",
	} {
		if got := oneLine(text); got != want {
			t.Errorf("oneLine(%q) = %q", text, got)
		}
	}
}
