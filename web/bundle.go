package web

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// A bundle is what esbuild makes of modules: fewer and smaller files that do the same, and a source map beside each.
// It is made in memory when the server starts, so that nobody has to build anything and what is served is never stale.
type bundle struct {
	files map[string][]byte
	// needs lists the files of the bundle that a module needs before it can run, without those that it imports when it
	// is used. The module is named as in the tree.
	needs map[string][]string
	// later lists what a module, or one that it needs, imports when it is used: the module's name, and its file.
	later map[string]map[string]string
}

// wordsOf returns the files with the words of a language that modules will import. English is in the modules' own files.
func (b bundle) wordsOf(l language, modules ...string) []string {
	var files []string
	for _, module := range modules {
		for _, name := range slices.Sorted(maps.Keys(b.later[module])) {
			if file := b.later[module][name]; path.Dir(name) == "words/"+string(l) && !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	return files
}

// outdir is where esbuild believes that it writes.
const outdir = "turnpike-bundle"

// bundlePage bundles a page's module. Modules that it imports when it uses them become files of their own.
func bundlePage(tree fs.FS, module string) (bundle, error) {
	return makeBundle(tree, module, true)
}

// bundleSDK bundles a module and all that it imports into one file.
func bundleSDK(tree fs.FS, module string) (bundle, error) {
	return makeBundle(tree, module, false)
}

func makeBundle(tree fs.FS, module string, split bool) (bundle, error) {
	result := api.Build(api.BuildOptions{
		EntryPointsAdvanced: []api.EntryPoint{{InputPath: module, OutputPath: strings.TrimSuffix(module, ".js")}},
		Bundle:              true,
		Splitting:           split,
		ChunkNames:          "chunks/[name]-[hash]",
		Outdir:              outdir,
		Format:              api.FormatESModule,
		Target:              api.ES2022,
		Charset:             api.CharsetUTF8,
		MinifyWhitespace:    true,
		MinifyIdentifiers:   true,
		MinifySyntax:        true,
		Sourcemap:           api.SourceMapLinked,
		Metafile:            true,
		TsconfigRaw:         "{}", // or it looks for one on the disk
		Plugins:             []api.Plugin{readFrom(tree)},
		LogLevel:            api.LogLevelSilent,
	})
	if len(result.Errors) > 0 {
		return bundle{}, fmt.Errorf("bundle %s: %s", module, strings.TrimSpace(strings.Join(api.FormatMessages(result.Errors, api.FormatMessagesOptions{}), "")))
	}
	b := bundle{files: map[string][]byte{}, needs: map[string][]string{}, later: map[string]map[string]string{}}
	for _, f := range result.OutputFiles {
		b.files[inBundle(f.Path)] = f.Contents
	}
	return b, b.findNeeds(result.Metafile)
}

// inBundle returns the path of a file inside the bundle.
func inBundle(output string) string {
	output = filepath.ToSlash(output)
	if i := strings.LastIndex(output, outdir+"/"); i >= 0 {
		return output[i+len(outdir)+1:]
	}
	return output
}

// readFrom has esbuild read modules from tree, and nothing from the disk.
func readFrom(tree fs.FS) api.Plugin {
	const namespace = "static"
	return api.Plugin{Name: namespace, Setup: func(build api.PluginBuild) {
		build.OnResolve(api.OnResolveOptions{Filter: ".*"}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
			name := args.Path
			if args.Kind != api.ResolveEntryPoint {
				name = path.Join(path.Dir(args.Importer), args.Path)
			}
			return api.OnResolveResult{Path: name, Namespace: namespace}, nil
		})
		build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: namespace}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
			content, err := fs.ReadFile(tree, args.Path)
			if err != nil {
				return api.OnLoadResult{}, err
			}
			text := string(content)
			return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
		})
	}}
}

// findNeeds reads esbuild's own account of what it has made.
func (b bundle) findNeeds(metafile string) error {
	var meta struct {
		Outputs map[string]struct {
			EntryPoint string // such as static:app.js
			Imports    []struct{ Path, Kind string }
		}
	}
	if err := json.Unmarshal([]byte(metafile), &meta); err != nil {
		return err
	}
	for name, output := range meta.Outputs {
		if output.EntryPoint == "" {
			continue
		}
		needs, later := []string{}, map[string]string{}
		for waiting := []string{name}; len(waiting) > 0; {
			next := waiting[0]
			waiting = waiting[1:]
			if slices.Contains(needs, inBundle(next)) {
				continue
			}
			needs = append(needs, inBundle(next))
			for _, i := range meta.Outputs[next].Imports {
				switch i.Kind {
				case "import-statement":
					waiting = append(waiting, i.Path)
				case "dynamic-import":
					later[moduleOf(meta.Outputs[i.Path].EntryPoint)] = inBundle(i.Path)
				}
			}
		}
		b.needs[moduleOf(output.EntryPoint)], b.later[moduleOf(output.EntryPoint)] = needs, later
	}
	return nil
}

// moduleOf returns the module in esbuild's name for an entry point.
func moduleOf(entryPoint string) string {
	_, module, _ := strings.Cut(entryPoint, ":")
	return module
}

// minifyStyle takes comments and spaces out of a style sheet.
func minifyStyle(content []byte) ([]byte, error) {
	result := api.Transform(string(content), api.TransformOptions{
		Loader: api.LoaderCSS, MinifyWhitespace: true, TsconfigRaw: "{}", LogLevel: api.LogLevelSilent,
	})
	if len(result.Errors) > 0 {
		return nil, fmt.Errorf("%s", strings.Join(api.FormatMessages(result.Errors, api.FormatMessagesOptions{}), ""))
	}
	return result.Code, nil
}
