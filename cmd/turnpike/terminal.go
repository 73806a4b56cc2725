package main

import (
	"strings"
	"unicode"
)

// harmless keeps a line from commanding the terminal. Parts of it may come from a server, from somebody in its place, or from a peer.
func harmless(line string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, line)
}

// printable is harmless, and not longer than a person reads.
func printable(s string) string {
	const most = 200
	s = harmless(s)
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return s
}
