// Command avrogen writes pkg/wire/*_gen.go from schemas/*.avsc: for every record a Go type, its Avro encoder and
// decoder and, for those with an identity, its content digest; for every enum a type with its symbols.
//
// It is run by go generate in pkg/wire and takes the directory to write to as its only, optional argument.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/concord-ats/concord/schemas"
)

func main() {
	dir := "."
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := run(dir); err != nil {
		fmt.Fprintln(os.Stderr, "avrogen:", err)
		os.Exit(1)
	}
}

// run generates into dir. Files of an earlier run that no schema asks for any more are removed.
func run(dir string) error {
	files, err := schemas.Load(schemas.FS())
	if err != nil {
		return err
	}
	generated, err := generate(files)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, g := range generated {
		keep[g.name] = true
		if err := os.WriteFile(filepath.Join(dir, g.name), g.source, 0o644); err != nil {
			return fmt.Errorf("write generated file: %w", err)
		}
	}
	old, err := filepath.Glob(filepath.Join(dir, "*_gen.go"))
	if err != nil {
		return fmt.Errorf("list generated files: %w", err)
	}
	for _, name := range old {
		if keep[filepath.Base(name)] {
			continue
		}
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("remove outdated file: %w", err)
		}
	}
	return nil
}
