package config

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Who says whom the server lets in, and which command invites others.
func (c *Config) Who() string {
	switch {
	case c.Auth.Guests == GuestsAlways:
		return "anyone (guests = always)"
	case c.Auth.Guests == GuestsLoopback && c.LocalOnly():
		return "anyone on this machine (guests = loopback); others need an invite: " + c.inviteCommand()
	case c.Auth.Guests == GuestsLoopback:
		return "those with an invite, because others can reach this server (guests = loopback): " + c.inviteCommand()
	}
	return "those with an invite (guests = never): " + c.inviteCommand()
}

// AdmitsGuests reports whether anybody can get in without an invite.
func (c *Config) AdmitsGuests() bool {
	return c.Auth.Guests == GuestsAlways || c.Auth.Guests == GuestsLoopback && c.LocalOnly()
}

// inviteCommand returns the command that makes an invite for this server, run in the folder where the server was
// started.
func (c *Config) inviteCommand() string {
	command := "turnpike invite --room NAME"
	if c.file != "" && c.file != defaultConfigFile {
		command += " --config " + ShellWord(c.file)
	}
	if strings.HasPrefix(c.sources["state_dir"], "--") {
		command += " --state " + ShellWord(c.StateDir)
	}
	return command
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
