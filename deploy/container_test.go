package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The linters of the files for containers, built from the module proxy so that no program of ours depends on them.
const (
	composeModule     = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2"
	kubeconformModule = "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0"
	helmModule        = "helm.sh/helm/v3/cmd/helm@v3.22.0"
	schemaModule      = "k8s.io/kubectl@v0.37.0" // its tests have the schema of Kubernetes' API
)

// tool builds a program, or skips t where the module proxy cannot be reached, which CI must not.
func tool(t *testing.T, module string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "install", "-trimpath", module) // as our own program, for which the compiler has made the standard library
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		cannot(t, "go install ", module, ": ", err, "\n", string(out))
	}
	built, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(built) != 1 {
		t.Fatalf("%s: %q, %v", module, built, err)
	}
	return built[0]
}

// lint returns what a program prints, with more variables.
func lint(env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// changed writes a copy of a file in which a text is replaced, into a folder that is as deep.
func changed(t *testing.T, name, old, by string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(old)) {
		t.Fatalf("%s has no %q", name, old)
	}
	file := filepath.Join(t.TempDir(), filepath.Base(name))
	if err := os.WriteFile(file, bytes.Replace(text, []byte(old), []byte(by), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestCompose has compose's own reader judge the file. It publishes two ports and no range, and does not start without an address.
func TestCompose(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is set, and the reader must be built")
	}
	reader := tool(t, composeModule)
	text, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// The reader alone knows no variables. Without theirs, compose starts nothing.
	if out, err := lint(nil, reader, "compose.yaml"); err == nil || !strings.Contains(out, "PUBLIC_ADDRESS") || !strings.Contains(out, "PUBLIC_HOST") {
		t.Errorf("without the public address: %v %s", err, out)
	}
	filled := regexp.MustCompile(`\$\{[A-Z_]+:\?[^}]*\}`).ReplaceAll(text, []byte("203.0.113.9"))
	for change, good := range map[[2]string]bool{{"", ""}: true, {"cap_drop:", "cap_dropp:"}: false, {"443:443/tcp", "443:443/tpc"}: false} {
		file := filepath.Join(t.TempDir(), "compose.yaml")
		if err := os.WriteFile(file, bytes.Replace(filled, []byte(change[0]), []byte(change[1]), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := lint(nil, reader, file); (err == nil) != good {
			t.Errorf("%q: %v\n%s", change, err, out)
		}
	}
	_, ports, _ := strings.Cut(string(text), "    ports:\n")
	ports, _, _ = strings.Cut(ports, "    volumes:")
	if got := strings.Fields(ports); !slices.Equal(got, []string{"-", `"443:443/tcp"`, "-", `"3478:3478/tcp"`, "-", `"3478:3478/udp"`}) {
		t.Errorf("it publishes %q", got)
	}
}

// TestComposeCommands: compose reads its variables for every command, also to stop. So the documented ones are in the file that it looks for
// beside its own, which is no part of the tree or the image.
func TestComposeCommands(t *testing.T) {
	for _, name := range []string{"README.md", "compose.yaml", "../docs/operation.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "PUBLIC_HOST=turn.") && !strings.Contains(line, "> deploy/.env") {
				t.Errorf("%s: only one command, or one shell, knows what is set in: %s", name, line)
			}
		}
	}
	for _, name := range []string{"../.gitignore", "../.dockerignore"} {
		text, err := os.ReadFile(name)
		if err != nil || !slices.Contains(strings.Fields(string(text)), "/deploy/.env") {
			t.Errorf("%s has no /deploy/.env: %v", name, err)
		}
	}
}

// schemas writes a schema for each kind of Kubernetes, as kubeconform wants them, which takes no key that is not in it.
func schemas(t *testing.T) (location string) {
	t.Helper()
	out, err := lint([]string{"GOFLAGS="}, "go", "mod", "download", "-json", schemaModule)
	var module struct{ Dir string }
	if err != nil || json.Unmarshal([]byte(out), &module) != nil {
		cannot(t, "go mod download ", schemaModule, ": ", err, "\n", out)
	}
	text, err := os.ReadFile(filepath.Join(module.Dir, "testdata/openapi/swagger.json"))
	if err != nil {
		t.Fatal(err)
	}
	var swagger struct{ Definitions map[string]map[string]any }
	if err := json.Unmarshal(text, &swagger); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, value any) {
		text, err := json.Marshal(value)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".json"), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, definition := range swagger.Definitions {
		closeObjects(definition)
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		for _, k := range kinds {
			kind := k.(map[string]any)
			group, _, _ := strings.Cut(fmt.Sprint(kind["group"]), ".")
			file := strings.Trim(strings.ToLower(fmt.Sprint(kind["kind"]))+"-"+group, "-") + "-" + fmt.Sprint(kind["version"])
			write(file, map[string]string{"$ref": "_all.json#/definitions/" + name})
		}
	}
	write("_all", map[string]any{"definitions": swagger.Definitions})
	return filepath.Join(dir, "{{.ResourceKind}}{{.KindSuffix}}.json")
}

// closeObjects makes a schema refuse keys that it does not have, and take a number or a text where Kubernetes takes both.
func closeObjects(value any) {
	switch v := value.(type) {
	case map[string]any:
		if _, open := v["additionalProperties"]; v["properties"] != nil && !open {
			v["additionalProperties"] = false
		}
		if v["format"] == "int-or-string" {
			delete(v, "type")
		}
		for _, inner := range v {
			closeObjects(inner)
		}
	case []any:
		for _, inner := range v {
			closeObjects(inner)
		}
	}
}

// TestManifests has kubeconform judge the plain manifests by Kubernetes' own schema.
func TestManifests(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is set, and the linter must be built")
	}
	linter, location := tool(t, kubeconformModule), schemas(t)
	const file = "kubernetes/turnpike.yaml"
	if out, err := lint(nil, linter, "-strict", "-summary", "-schema-location", location, file); err != nil || !strings.Contains(out, "Valid: 3, Invalid: 0, Errors: 0, Skipped: 0") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := lint(nil, linter, "-strict", "-schema-location", location, changed(t, file, "hostNetwork:", "hostNetworks:")); err == nil {
		t.Errorf("it takes a key that does not exist: %s", out)
	}
}

// TestChart has helm judge the chart, and holds that the plain manifests are what it makes. It runs by `make containers`, since helm takes
// minutes to build.
func TestChart(t *testing.T) {
	if os.Getenv("TURNPIKE_CONTAINERS") == "" {
		t.Skip("make containers runs it")
	}
	helm, linter, location := tool(t, helmModule), tool(t, kubeconformModule), schemas(t)
	const host = "publicHost=turn.example.org"
	if out, err := lint(nil, helm, "lint", "--strict", "helm", "--kube-version", "1.30.0", "--set", host); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := lint(nil, helm, "template", "turnpike", "helm", "--kube-version", "1.30.0"); err == nil || !strings.Contains(out, "publicHost is mandatory") {
		t.Errorf("without a host: %v\n%s", err, out)
	}
	plain, err := os.ReadFile("kubernetes/turnpike.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, values := range [][]string{
		{host},
		{host, "offload=true", "publicAddress=203.0.113.9", "existingSecret=keys", "drainSeconds=300", "resources.limits.memory=1Gi", "nodeSelector.disk=ssd", "state.storageClassName=fast",
			"tolerations[0].operator=Exists", "config=limits.allocations = 1000"},
	} {
		args := []string{"template", "turnpike", "helm", "--kube-version", "1.30.0", "--namespace", "turnpike"}
		for _, v := range values {
			args = append(args, "--set", v)
		}
		out, err := exec.Command(helm, args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		if len(values) == 1 && !bytes.Equal(out, plain) {
			t.Errorf("kubernetes/turnpike.yaml is not what the chart makes: helm %s", strings.Join(args, " "))
		}
		file := filepath.Join(t.TempDir(), "made.yaml")
		if err := os.WriteFile(file, out, 0o600); err != nil {
			t.Fatal(err)
		}
		if said, err := lint(nil, linter, "-strict", "-schema-location", location, file); err != nil {
			t.Errorf("%q: %v\n%s\n%s", values, err, said, out)
		}
	}
}
