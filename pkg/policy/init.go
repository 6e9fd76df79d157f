package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Init writes the built-in bundle and its JSON Schemas into a folder, which it makes. Each file names its schema in a
// first line that editors know. A folder that holds any of the files already is refused, and nothing is written.
func Init(dir string) (written []string, err error) {
	files := Default()
	for name, text := range Schemas() {
		files[filepath.Join(schemaFolder, name)] = text
	}
	for name := range files {
		written = append(written, name)
	}
	slices.Sort(written)
	for _, name := range written {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return nil, fmt.Errorf("%s is there already: give a folder without a bundle", filepath.Join(dir, name))
		}
	}
	for _, name := range written {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return nil, fmt.Errorf("write bundle: %w", err)
		}
		if err := os.WriteFile(at, files[name], 0o644); err != nil {
			return nil, fmt.Errorf("write bundle: %w", err)
		}
	}
	return written, nil
}
