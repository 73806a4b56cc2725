// Package imports holds who may import whom. The table below is the agreement,
// a reason a row; the test walks what "go list -deps" says of every package.
package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rule forbids edges, also those through other packages. A pattern is an
// import path, or with "/..." behind it that path and all below.
type rule struct {
	from   string
	unless []string // Parts of from that the rule spares.
	never  string
	but    []string // Parts of never that it allows.
	tests  bool     // It holds for what only the tests of from import, too.
	direct bool     // It holds for what from imports itself, not for what that imports.
	later  bool     // The packages of from are agreed but not there yet.
	why    string
}

const (
	ours     = "example.org/turnpike/..."
	pionTURN = "github.com/pion/turn/..."
)

func table() []rule {
	return []rule{
		{from: "example.org/turnpike/auth", never: ours, tests: true,
			why: "everybody trusts what auth says, so auth trusts nobody"},
		{from: "example.org/turnpike/signal/wire", never: ours, tests: true,
			why: "server and clients read the protocol alike, and depend on each other by nothing else"},
		{from: "example.org/turnpike/web", never: ours, tests: true,
			why: "the pages are files, and know the server by its protocol only, as any app does"},
		{from: "example.org/turnpike/turnserver/...", never: ours, but: []string{"example.org/turnpike/auth", "example.org/turnpike/turnserver/..."},
			why: "relaying needs credentials and nothing more: what it asks of others is a small interface of its own"},
		{from: "example.org/turnpike/turnserver/wire", never: ours, but: []string{"example.org/turnpike/turnserver/wire/wiretest"}, tests: true,
			why: "wire formats are pure: bytes in and values out, for anybody"},
		{from: "example.org/turnpike/turnserver/wire/wiretest", never: ours, tests: true,
			why: "it makes messages as a stranger does, to judge how ours are read"},
		{from: "example.org/turnpike/turnserver/udpio", never: ours, tests: true,
			why: "sockets carry datagrams, and do not know of what"},
		{from: "example.org/turnpike/turnserver/hostwatch", never: ours, tests: true,
			why: "that the host has changed is news for anybody"},
		{from: "example.org/turnpike/turnserver/front", never: ours, but: []string{"example.org/turnpike/internal/testcert"}, tests: true,
			why: "what stands before a stream serves HTTP as well, so it knows no TURN; its tests need certificates"},
		{from: "example.org/turnpike/turnserver/peerpolicy", never: ours, tests: true,
			why: "the judgement of an address is pure: everybody who asks gets the same answer"},
		{from: "example.org/turnpike/turnserver/tokenbucket", never: ours, tests: true,
			why: "a rate is a rate, whatever it limits"},
		{from: ours, unless: []string{"example.org/turnpike/turnserver/..."}, never: "example.org/turnpike/turnserver/wire/...", direct: true,
			why: "nobody outside of the server reads the server's wire formats: clients and load generators have their own reading"},
		{from: ours, unless: []string{"example.org/turnpike/turnserver/...", "example.org/turnpike/internal/turnload"}, never: "example.org/turnpike/turnserver/udpio/...", direct: true,
			why: "batched UDP is for the server and for what loads it"},
		{from: "example.org/turnpike/turnserver/...", never: "example.org/turnpike/turnserver/wire/wiretest/...",
			why: "what tests sign with is not shipped"},
		{from: "example.org/turnpike/signal", never: ours, but: []string{"example.org/turnpike/auth", "example.org/turnpike/signal/wire", "example.org/turnpike/signal/socket"},
			why: "signaling needs tickets, the protocol and sockets: what it asks of others is a small interface of its own"},
		{from: "example.org/turnpike/signal/socket", never: ours, but: []string{"example.org/turnpike/signal/wire"}, tests: true,
			why: "a socket carries messages for anybody: of the protocol it knows close codes, limits and where a message has its number"},
		{from: "example.org/turnpike/client/...", never: ours, but: []string{"example.org/turnpike/signal/wire", "example.org/turnpike/client/..."},
			why: "programs that embed the client must not carry the server"},

		// Also in the rows above, but these hold for tests as well.
		{from: "example.org/turnpike/turnserver/...", never: "example.org/turnpike/signal/...", tests: true,
			why: "turnserver and signal never meet: internal/node joins them, and internal/e2e tries them together"},
		{from: "example.org/turnpike/signal/...", never: "example.org/turnpike/turnserver/...", tests: true,
			why: "signal and turnserver never meet: internal/node joins them, and internal/e2e tries them together"},
		{from: ours, unless: []string{"example.org/turnpike/cmd/..."}, never: "example.org/turnpike/cmd/...", tests: true,
			why: "cmd is the program, and no part may need the program"},

		{from: "example.org/turnpike/internal/config", never: ours, tests: true,
			why: "a key is a plain value: what it means to a part of the server, that part says when it starts"},
		{from: "example.org/turnpike/internal/config", never: "net/http/...", tests: true,
			why: "reading the configuration opens no connection, and a test of a key must build in a second"},
		{from: "example.org/turnpike/internal/config", never: "github.com/pion/...", tests: true, why: "likewise"},
		{from: "example.org/turnpike/internal/config", never: "github.com/gorilla/...", tests: true, why: "likewise"},
		{from: "example.org/turnpike/internal/config", never: "github.com/prometheus/...", tests: true, why: "likewise"},
		{from: "example.org/turnpike/internal/config", never: "github.com/MicahParks/...", tests: true, why: "likewise"},
		{from: "example.org/turnpike/internal/config", never: "github.com/cilium/...", tests: true, why: "likewise"},

		{from: ours, unless: []string{"example.org/turnpike/cmd/...", "example.org/turnpike/internal/..."}, never: "example.org/turnpike/internal/...",
			why: "internal is the inside of the program: it uses the parts, and no part knows of it"},
		{from: ours, unless: []string{"example.org/turnpike/internal/bench", "example.org/turnpike/internal/e2e", "example.org/turnpike/internal/imports", "example.org/turnpike/internal/memlisten", "example.org/turnpike/internal/netlab",
			"example.org/turnpike/internal/pebble", "example.org/turnpike/internal/soak", "example.org/turnpike/internal/testcert"},
			never: "example.org/turnpike/internal/...", but: []string{"example.org/turnpike/internal/acme", "example.org/turnpike/internal/code", "example.org/turnpike/internal/config", "example.org/turnpike/internal/filetransfer", "example.org/turnpike/internal/httpapi", "example.org/turnpike/internal/machine", "example.org/turnpike/internal/node",
				"example.org/turnpike/internal/probe", "example.org/turnpike/internal/setup/...", "example.org/turnpike/internal/signalload", "example.org/turnpike/internal/spake2", "example.org/turnpike/internal/turnload",
				"example.org/turnpike/internal/forward"},
			why: "bench, e2e, imports, memlisten, netlab, pebble, soak and testcert are the machinery of tests, and are never shipped"},
		{from: ours, unless: []string{"example.org/turnpike/cmd/..."}, never: "example.org/turnpike/internal/node/...",
			why: "node joins the parts, so no part may need node"},
		{from: "example.org/turnpike/internal/...", unless: []string{"example.org/turnpike/internal/node"}, never: "example.org/turnpike/turnserver/...",
			but: []string{"example.org/turnpike/turnserver/udpio"},
			why: "node alone holds both servers, so that they meet in one place"},
		{from: "example.org/turnpike/internal/...", unless: []string{"example.org/turnpike/internal/node"}, never: "example.org/turnpike/signal/...", but: []string{"example.org/turnpike/signal/wire"},
			why: "likewise"},
		{from: "example.org/turnpike/internal/httpapi", never: ours, but: []string{"example.org/turnpike/auth", "example.org/turnpike/signal/wire"},
			why: "the HTTP API hands out tickets and credentials: what it asks of the servers is a function in its Config"},
		{from: "example.org/turnpike/internal/code", never: ours, but: []string{"example.org/turnpike/internal/spake2"}, tests: true,
			why: "a code is text and an exchange over any stream: who carries the stream is none of its business"},
		{from: "example.org/turnpike/internal/spake2", never: ours, tests: true,
			why: "a protocol of an RFC is bytes in and bytes out, for anybody"},
		{from: "example.org/turnpike/internal/forward", never: ours, tests: true,
			why: "what is forwarded goes by any stream: who the other side is, and how it is reached, its caller knows"},
		{from: "example.org/turnpike/internal/machine", never: ours, but: []string{"example.org/turnpike/auth"},
			why: "a machine and its server agree on the form of a ticket, and on nothing else"},
		{from: "example.org/turnpike/internal/turnload", never: ours, but: []string{"example.org/turnpike/auth", "example.org/turnpike/turnserver/udpio"},
			why: "the load generator takes any server for a stranger, with ours for one of them; only system calls are shared"},
		{from: "example.org/turnpike/internal/signalload", never: ours, but: []string{"example.org/turnpike/internal/turnload", "example.org/turnpike/turnserver/udpio", "example.org/turnpike/auth"},
			why: "likewise, and a client that is written from the protocol's page judges the server's reading of it"},
		{from: "example.org/turnpike/internal/probe", never: ours, but: []string{"example.org/turnpike/auth", "example.org/turnpike/internal/config", "example.org/turnpike/signal/wire"},
			why: "what tries a server takes it for a stranger: it reads the API's answers and the protocol's by itself"},
		{from: "example.org/turnpike/internal/filetransfer", never: ours, tests: true,
			why: "files go over any streams: what it asks of the network is an interface of its own"},
		{from: ours, unless: []string{"example.org/turnpike/cmd/...", "example.org/turnpike/internal/probe"}, never: "example.org/turnpike/internal/probe/...",
			why: "what is tried knows nothing of what tries it"},
		{from: ours, unless: []string{"example.org/turnpike/cmd/...", "example.org/turnpike/internal/probe", "example.org/turnpike/client/..."}, never: pionTURN,
			why: "relaying is ours; pion's client judges it from outside, in tests and in turnpike check, and comes with pion/ice to peers without a browser"},
		{from: ours, unless: []string{"example.org/turnpike/client/..."}, never: "github.com/pion/webrtc/...", direct: true,
			why: "a program speaks WebRTC by the client, because browsers do, and the server speaks none"},
	}
}

// pkg is what the check needs of a package in the output of "go list -json".
type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string // Of tests in the package.
	XTestImports []string // Of tests beside the package.
}

// check returns a sentence for every edge that breaks a rule, and for every
// rule that speaks of no package, since such a rule holds nothing.
func check(rules []rule, graph map[string]pkg) []string {
	var broken []string
	for _, r := range rules {
		found := false
		for _, path := range sortedPaths(graph) {
			if !matches(r.from, path) || matchesAny(r.unless, path) {
				continue
			}
			found = true
			chain := find(graph, path, r.tests, r.direct, func(p string) bool {
				return p != path && matches(r.never, p) && !matchesAny(r.but, p)
			})
			if chain != nil {
				broken = append(broken, fmt.Sprintf("%s: %s", strings.Join(chain, " imports "), r.why))
			}
		}
		if !found && !r.later {
			broken = append(broken, fmt.Sprintf("no package is %s: the rule %q holds nothing", r.from, r.why))
		}
	}
	return broken
}

// find returns a shortest chain of imports from a package to a bad one, or
// nil. Tests count at the start of the chain only: nobody imports them. A
// direct chain has one link.
func find(graph map[string]pkg, from string, tests, direct bool, bad func(string) bool) []string {
	came := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		p := graph[queue[0]]
		next := slices.Clone(p.Imports)
		if tests && p.ImportPath == from {
			next = append(append(next, p.TestImports...), p.XTestImports...)
		}
		for _, to := range next {
			if _, seen := came[to]; seen {
				continue
			}
			came[to] = queue[0]
			if bad(to) {
				chain := []string{to}
				for at := queue[0]; at != ""; at = came[at] {
					chain = append(chain, at)
				}
				slices.Reverse(chain)
				return chain
			}
			if !direct {
				queue = append(queue, to)
			}
		}
	}
	return nil
}

func matches(pattern, path string) bool {
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == tree || strings.HasPrefix(path, tree+"/")
	}
	return path == pattern
}

func matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, path) })
}

func sortedPaths(graph map[string]pkg) []string {
	paths := make([]string, 0, len(graph))
	for path := range graph {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

func TestImports(t *testing.T) {
	watchSources(t)
	for _, goos := range []string{"linux", "darwin", "windows"} {
		t.Run(goos, func(t *testing.T) {
			for _, sentence := range check(table(), list(t, goos)) {
				t.Error(sentence)
			}
		})
	}
}

// list asks the go command for our packages and all that they import, as they
// are built for goos.
func list(t *testing.T, goos string) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,TestImports,XTestImports", ours)
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	graph := map[string]pkg{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return graph
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		graph[p.ImportPath] = p
	}
}

// watchSources looks into our directories, because go test keeps a result for
// as long as what the test itself looked at is the same, and would not notice
// what its child, the go command, reads.
func watchSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if name := d.Name(); err == nil && d.IsDir() && (name == "node_modules" || name == ".git") {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCheck holds that the test above is able to fail.
func TestCheck(t *testing.T) {
	graph := map[string]pkg{}
	for _, p := range []pkg{
		{ImportPath: "m/low", Imports: []string{"fmt"}, TestImports: []string{"other.org/turn/client"}},
		{ImportPath: "m/mid", Imports: []string{"m/low", "other.org/lib"}, XTestImports: []string{"m/top"}},
		{ImportPath: "m/middle", Imports: []string{"m/low"}},
		{ImportPath: "m/mid/sub", Imports: []string{"m/middle"}},
		{ImportPath: "m/top", Imports: []string{"m/mid", "m/mid/sub"}},
		{ImportPath: "other.org/lib", Imports: []string{"other.org/turn/v4"}},
	} {
		graph[p.ImportPath] = p
	}
	for name, tt := range map[string]struct {
		rule rule
		want []string
	}{
		"direct":             {rule{from: "m/mid", never: "m/low"}, []string{"m/mid imports m/low: why"}},
		"through another":    {rule{from: "m/top", never: "m/low"}, []string{"m/top imports m/mid imports m/low: why"}},
		"through a stranger": {rule{from: "m/mid", never: "other.org/turn/..."}, []string{"m/mid imports other.org/lib imports other.org/turn/v4: why"}},
		"a tree":             {rule{from: "m/mid/...", never: "m/low"}, []string{"m/mid imports m/low: why", "m/mid/sub imports m/middle imports m/low: why"}},
		"spared":             {rule{from: "m/mid/...", unless: []string{"m/mid"}, never: "m/low"}, []string{"m/mid/sub imports m/middle imports m/low: why"}},
		"allowed":            {rule{from: "m/mid", never: "m/...", but: []string{"m/low"}}, nil},
		"allowed leads on":   {rule{from: "m/top", never: "m/...", but: []string{"m/mid/..."}}, []string{"m/top imports m/mid imports m/low: why"}},
		"absent edge":        {rule{from: "m/low", never: "m/..."}, nil},
		"itself":             {rule{from: "m/mid", never: "m/mid/..."}, nil},
		"prefix, not tree":   {rule{from: "m/mid", never: "m/lo/..."}, nil},
		"tests, not asked":   {rule{from: "m/low", never: "other.org/..."}, nil},
		"tests":              {rule{from: "m/low", never: "other.org/...", tests: true}, []string{"m/low imports other.org/turn/client: why"}},
		"tests beside":       {rule{from: "m/mid", never: "m/middle", tests: true}, []string{"m/mid imports m/top imports m/mid/sub imports m/middle: why"}},
		"tests of others":    {rule{from: "m/middle", never: "other.org/...", tests: true}, nil},
		"direct only":        {rule{from: "m/top", never: "m/...", but: []string{"m/mid/..."}, direct: true}, nil},
		"direct, broken":     {rule{from: "m/middle", never: "m/low", direct: true}, []string{"m/middle imports m/low: why"}},
		"nobody":             {rule{from: "m/gone", never: "m/low"}, []string{`no package is m/gone: the rule "why" holds nothing`}},
		"nobody yet":         {rule{from: "m/gone", never: "m/low", later: true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			tt.rule.why = "why"
			if got := check([]rule{tt.rule}, graph); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestTableBreaks holds that each row of the table refuses an edge.
func TestTableBreaks(t *testing.T) {
	for _, r := range table() {
		from := strings.Replace(r.from, "example.org/turnpike/...", "example.org/turnpike/x", 1)
		from, to := strings.TrimSuffix(from, "/..."), strings.TrimSuffix(r.never, "/...")+"/forbidden"
		graph := map[string]pkg{from: {ImportPath: from, Imports: []string{to}}}
		if got := check([]rule{r}, graph); len(got) != 1 || !strings.Contains(got[0], r.why) || r.why == "" {
			t.Errorf("%s may import %s: %q", from, to, got)
		}
	}
}
