package policy

import (
	"embed"
	"fmt"
	"io/fs"

	"go.yaml.in/yaml/v3"
)

//go:embed default
var defaultFiles embed.FS

// Default returns the files of the bundle that is built in.
func Default() Files {
	dir, err := fs.Sub(defaultFiles, "default")
	if err == nil {
		var files Files
		if files, err = ReadFiles(dir); err == nil {
			return files
		}
	}
	panic(fmt.Sprintf("policy: the embedded bundle: %v", err)) // it is part of the program
}

// DefaultFor returns the built-in bundle with more instances of one of its ATSs in the inventory; those it names already
// change nothing.
func DefaultFor(ats string, instances ...string) Files {
	files := Default()
	p, err := Parse(files)
	if err != nil {
		panic(fmt.Sprintf("policy: the embedded bundle: %v", err)) // it is part of the program
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(files[BundleFile], &doc); err != nil {
		panic(fmt.Sprintf("policy: the embedded bundle: %v", err))
	}
	names := at(doc.Content[0], "systems", ats, "instances")
	changed := false
	for _, name := range instances {
		if id, _ := p.Bundle.system(name); id != ats {
			names.Content = append(names.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name, Style: yaml.DoubleQuotedStyle})
			changed = true
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
