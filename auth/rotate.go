package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// formerSuffix makes the name of the file that has the former secrets. Each is a
// line: the secret in hexadecimal, and the time until which it verifies.
const formerSuffix = ".old"

// maxFormer bounds the former secrets: each costs work for each token that none
// of them has signed.
const maxFormer = 8

// RotateSecret puts a new secret into the file at path. What the one before has
// signed verifies until a time, unless it expires sooner. A time that has passed
// voids it at once, and what all former secrets have signed. A server takes the
// new secret when it starts.
func RotateSecret(path string, until, now time.Time, rand io.Reader) error {
	current, err := readPrivate(path, 4*secretBytes)
	if err != nil {
		return err
	}
	if _, err := parseSecret(path, current); err != nil {
		return err
	}
	var lines []string
	if now.Before(until) {
		if lines, err = formerLines(path+formerSuffix, now); err != nil {
			return err
		}
		lines = append(lines, string(current)+" "+until.UTC().Format(time.RFC3339)+"\n")
	}
	if len(lines) > maxFormer {
		return fmt.Errorf("secret %s: %d former secrets still verify, and more are not kept (hint: wait until one has ended, or void them: --keep 0s)", path, maxFormer)
	}
	fresh, err := newSecretText(rand)
	if err != nil {
		return err
	}
	// The former ones first: a crash between the two then voids nothing.
	if err := replacePrivate(path+formerSuffix, strings.Join(lines, "")); err != nil {
		return fmt.Errorf("keep the former secret: %w", err)
	}
	if err := replacePrivate(path, fresh); err != nil {
		return fmt.Errorf("write the new secret: %w", err)
	}
	return nil
}

// formerLines returns the lines of the former secrets that still verify.
func formerLines(path string, now time.Time) ([]string, error) {
	former, err := readFormer(path)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, f := range former {
		if now.Before(f.until) {
			lines = append(lines, f.line+"\n")
		}
	}
	return lines, nil
}

// formerLine is a line of the file of former secrets.
type formerLine struct {
	formerKey
	line string
}

// loadFormer returns the former secrets, those that verify the longest first.
func loadFormer(path string) ([]formerKey, error) {
	lines, err := readFormer(path)
	if err != nil {
		return nil, err
	}
	var out []formerKey
	for _, l := range lines {
		out = append(out, l.formerKey)
	}
	slices.SortStableFunc(out, func(a, b formerKey) int { return b.until.Compare(a.until) })
	return out, nil
}

func readFormer(path string) ([]formerLine, error) {
	text, err := readPrivate(path, 4<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []formerLine
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		key, end, _ := bytes.Cut(line, []byte(" "))
		secret, err := parseSecret(path, key)
		if err != nil {
			return nil, damagedFormer(path)
		}
		until, err := time.Parse(time.RFC3339, string(end))
		if err != nil {
			return nil, damagedFormer(path)
		}
		out = append(out, formerLine{formerKey{secret, until}, string(line)})
	}
	return out, nil
}

func damagedFormer(path string) error {
	return fmt.Errorf("secret %s: a line is not a former secret and its end (hint: restore it, or remove it: what the former secrets signed is then refused)", path)
}

// replacePrivate writes a file that only its owner may read, in the place of the
// one that is there.
func replacePrivate(path, text string) error {
	temporary, err := writePrivate(path, text)
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return syncDir(path)
}
