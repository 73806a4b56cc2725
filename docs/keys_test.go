package docs

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"example.org/turnpike/internal/config"
)

var (
	keyName = regexp.MustCompile("`((?:http|tls|turn|auth|signal|limits|metrics)\\.[a-z_]+|public_host|state_dir|drain_timeout)\\b")
	sample  = regexp.MustCompile("(?s)```toml\n(.*?)```")
)

// TestKeys: the pages speak of configuration keys that there are.
func TestKeys(t *testing.T) {
	var printed bytes.Buffer
	if err := config.Default("state").Print(&printed); err != nil {
		t.Fatal(err)
	}
	var tables map[string]any
	if err := toml.Unmarshal(printed.Bytes(), &tables); err != nil {
		t.Fatal(err)
	}
	known := func(name string) bool {
		table, key, inTable := strings.Cut(name, ".")
		if !inTable {
			return tables[name] != nil
		}
		keys, _ := tables[table].(map[string]any)
		return keys[key] != nil || name == "auth.issuers" // which has tables of its own
	}
	named := 0
	for page, text := range pages(t) {
		if filepath.Base(page) == "CHANGELOG.md" {
			continue // which may tell of keys that are gone
		}
		for _, found := range keyName.FindAllStringSubmatch(text, -1) {
			named++
			if !known(found[1]) {
				t.Errorf("%s: there is no key %s", page, found[1])
			}
		}
	}
	if named < 20 {
		t.Errorf("found %d names of keys only", named)
	}
}

// TestSamples: the server takes each configuration that README and the page about configuration show.
func TestSamples(t *testing.T) {
	for _, page := range []string{"../README.md", "configuration.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		samples := sample.FindAllStringSubmatch(string(text), -1)
		if len(samples) == 0 {
			t.Errorf("%s has no configuration", page)
		}
		for _, found := range samples {
			file := filepath.Join(t.TempDir(), "turnpike.toml")
			if err := os.WriteFile(file, []byte(found[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			var flags config.Flags
			fs := flag.NewFlagSet("serve", flag.ContinueOnError)
			fs.SetOutput(io.Discard)
			flags.Register(fs)
			if err := fs.Parse([]string{"--config", file}); err != nil {
				t.Fatal(err)
			}
			unset := func(string) (string, bool) { return "", false }
			if _, err := flags.Load(unset, nil); err != nil {
				t.Errorf("%s: %v\n%s", page, err, found[1])
			}
		}
	}
}
