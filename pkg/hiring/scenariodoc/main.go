// Command scenariodoc writes docs/scenarios.md from the tests that prove the scenarios. A scenario is told where it is
// proved: in the head of a file of pkg/hiring/testdata, or in the comment of a Go test, as
//
//	Scenario 17: A person rejects, then a late pass arrives
//	Happens: …
//	Concord: what it does, and why
//	Open: what is not built yet          (optional)
//
// Further tests of it say "Also proves scenario 17: what of it". A number without a proof is an error, as is a proof of
// no number.
//
// It is run by go generate in pkg/hiring and takes the root of the repository as its only, optional argument.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

const page = "docs/scenarios.md"

func main() {
	root := "../.."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	if err := run(root); err != nil {
		fmt.Fprintln(os.Stderr, "scenariodoc:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	all, err := collect(os.DirFS(root))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, page), render(all), 0o644)
}
