package client_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestEmbed builds the program of docs/client.md outside of the repository, with the go.mod that stands there, and has two of it meet.
func TestEmbed(t *testing.T) {
	page, err := os.ReadFile("../docs/client.md")
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile("(?s)```go\n(package main.*?)```").FindSubmatch(page)
	module := regexp.MustCompile("(?s)```\n(module .*?)```").FindSubmatch(page)
	if program == nil || module == nil {
		t.Fatal("docs/client.md shows no program, or no go.mod")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.go": string(program[1]),
		"go.mod":  strings.Replace(string(module[1]), "../turnpike", root, 1),
		"go.sum":  string(sums), // go mod tidy would fetch them
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", "hello", ".") // with the flags of the other programs of the tests, so that little is compiled
	build.Dir = dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOPROXY=off", "GOSUMDB=off", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}

	s := newServer(t)
	run := func(name string) *exec.Cmd { return exec.CommandContext(ctx, filepath.Join(dir, "hello"), s.url, name) }
	said := make(chan string, 1)
	go func() {
		out, err := run("Ann").CombinedOutput()
		if err != nil {
			t.Errorf("Ann: %v", err)
		}
		said <- string(out)
	}()
	out, err := run("Bob").CombinedOutput()
	if err != nil || string(out) != "Ann says: Hello, Bob.\n" {
		t.Errorf("Bob: %v\n%s", err, out)
	}
	if text := <-said; text != "Bob says: Hello, Ann.\n" {
		t.Errorf("Ann: %s", text)
	}
}
