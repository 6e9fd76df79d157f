package policy

import (
	"embed"
	"fmt"
	"io/fs"
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
