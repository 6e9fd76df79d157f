package policy

import (
	"embed"
	"fmt"
	"io/fs"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed default
var defaultFiles embed.FS

// Default returns the files of the bundle that is built in, each as Init writes it: a line that is told of the one is that of
// the other.
func Default() Files {
	dir, err := fs.Sub(defaultFiles, "default")
	if err == nil {
		var files Files
		if files, err = ReadFiles(dir); err == nil {
			for name, text := range files {
				files[name] = append([]byte(editorLine(name)), text...)
			}
			return files
		}
	}
	panic(fmt.Sprintf("policy: the embedded bundle: %v", err)) // it is part of the program
}

// DefaultFor returns the built-in bundle, in effect from a time on (zero: ever), with more instances in the inventory: of its
// ATSs, by their names there, and of teams that have none, by KindNone. Those it names already change nothing. It
// panics on an ATS that it has not: see DefaultATSs.
func DefaultFor(instances map[string][]string, from time.Time) Files {
	files := Default()
	p, err := Parse(files)
	if err != nil {
		panic(fmt.Sprintf("policy: the embedded bundle: %v", err)) // it is part of the program
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(files[BundleFile], &doc); err != nil {
		panic(fmt.Sprintf("policy: the embedded bundle: %v", err))
	}
	changed := false
	if !from.IsZero() {
		at(doc.Content[0], "effective_from").Value, changed = from.UTC().Format(time.RFC3339Nano), true
	}
	if names := instances[string(KindNone)]; len(names) > 0 {
		var system yaml.Node
		if err := system.Encode(map[string]any{
			"kind": KindNone, "meaning": "Teams without an ATS, whose applications Concord keeps", "owner": "recruiting operations", "region": "us", "instances": names,
		}); err != nil {
			panic(fmt.Sprintf("policy: the embedded bundle: %v", err)) // text always encodes
		}
		systems := at(doc.Content[0], "systems")
		systems.Content = append(systems.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "no-ats"}, &system)
		changed = true
	}
	for _, ats := range keys(instances) {
		if ats == string(KindNone) {
			continue
		}
		if p.Bundle.Systems[ats] == nil {
			panic(fmt.Sprintf("policy: the built-in bundle has no system %q", ats)) // the caller has asked DefaultATSs
		}
		names := at(doc.Content[0], "systems", ats, "instances")
		for _, name := range instances[ats] {
			if id, _ := p.Bundle.system(name); id != ats {
				names.Content = append(names.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name, Style: yaml.DoubleQuotedStyle})
				changed = true
			}
		}
	}
	if changed {
		text, err := yaml.Marshal(&doc)
		if err != nil {
			panic(fmt.Sprintf("policy: the embedded bundle: %v", err))
		}
		files[BundleFile] = text
	}
	return files
}

// DefaultATSs names the ATSs of the built-in bundle.
func DefaultATSs() []string {
	p, err := Parse(Default())
	if err != nil {
		panic(fmt.Sprintf("policy: the embedded bundle: %v", err)) // it is part of the program
	}
	return p.Bundle.systemsOf(KindATS)
}

// at returns the node below a path of keys.
func at(n *yaml.Node, path ...string) *yaml.Node {
	for _, key := range path {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				n = n.Content[i+1]
				break
			}
		}
	}
	return n
}
