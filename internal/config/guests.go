package config

import (
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Who says whom the server lets in, and which command invites others. listening are the addresses of its HTTP listeners.
func (c *Config) Who(listening []string) string {
	switch {
	case c.Auth.Guests == GuestsAlways:
		return "anyone (guests = always)"
	case c.Auth.Guests == GuestsLoopback && c.LocalOnly():
		return "anyone on this machine (guests = loopback); others need an invite: " + c.inviteCommand(listening)
	case c.Auth.Guests == GuestsLoopback:
		return "those with an invite, because others can reach this server (guests = loopback): " + c.inviteCommand(listening)
	}
	return "those with an invite (guests = never): " + c.inviteCommand(listening)
}

// AdmitsWalkIn reports whether people who got in without an invite still would: people on this machine, as members, or
// everybody as a guest.
func (c *Config) AdmitsWalkIn(asMember bool) bool {
	if asMember {
		return c.Auth.Guests == GuestsLoopback && c.LocalOnly()
	}
	return c.Auth.Guests == GuestsAlways
}

// AdmitsGuests reports whether anybody can get in without an invite.
func (c *Config) AdmitsGuests() bool {
	return c.Auth.Guests == GuestsAlways || c.Auth.Guests == GuestsLoopback && c.LocalOnly()
}

// inviteCommand returns the command that makes an invite for this server, in whatever folder and with whatever variables it
// is run: it names the file and the state, and what flags and variables have changed of the link.
func (c *Config) inviteCommand(listening []string) string {
	command := "turnpike invite --room NAME"
	if c.file != "" {
		command += " --config " + ShellWord(absolute(c.file))
	}
	if source := c.sources["state_dir"]; c.file == "" || byHand(source) || source == systemdState {
		command += " --state " + ShellWord(absolute(c.StateDir))
	}
	inLink := []string{"public_host", "http.listen", "http.trusted_proxies", "tls.mode", "tls.cert_file", "tls.key_file", "turn.public_ports"}
	for _, k := range c.keys() {
		if slices.Contains(inLink, k.name) && byHand(c.sources[k.name]) {
			text := c.texts[k.name]
			if k.name == "http.listen" {
				text = strings.Join(listening, ",") // port 0 has become a port
			}
			command += " --" + k.flag() + " " + ShellWord(text)
		}
	}
	return command
}

// byHand reports whether a value came from a flag or a variable.
func byHand(source string) bool {
	return strings.HasPrefix(source, "--") || strings.HasPrefix(source, "TURNPIKE_")
}

// absolute returns a path that holds in every folder, if this one's can be told.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// ShellWord quotes a word for a POSIX shell, if it needs that.
func ShellWord(s string) string {
	plain := func(r rune) bool {
		return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune("-_./:@%+=,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
