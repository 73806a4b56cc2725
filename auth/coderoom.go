package auth

import (
	"io"
	"regexp"
	"strconv"
)

// MaxSeats is the most people that fit into the room of a code: one who made it and those who may come.
const MaxSeats = 16

// codeRoom is how rooms of codes are named, and no others.
var codeRoom = regexp.MustCompile(`^code-[0-9]+-`)

// NewCodeRoomID makes what CodeRoom needs so that nobody can guess the room of a code.
func NewCodeRoomID(rand io.Reader) string { return NewID(rand, idChars) }

// CodeRoom is the name of the room of a code.
func CodeRoom(slot int, id string) string { return "code-" + strconv.Itoa(slot) + "-" + id }

// IsCodeRoom reports whether a room is one of a code. Only tickets that were made for it open it.
func IsCodeRoom(room string) bool { return codeRoom.MatchString(room) }
