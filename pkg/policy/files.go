package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/concord-ats/concord/pkg/nearest"
)

// The files of a bundle. Mappings are every mappings/*.yaml.
const (
	BundleFile     = "bundle.yaml"
	MachineFile    = "machine.yaml"
	DictionaryFile = "dictionary.yaml"
	WavesFile      = "waves.yaml"
	mappingsDir    = "mappings"
)

// maxFile bounds one file; a bundle is written by people.
const maxFile = 1 << 20

// Files are the files of a bundle by their slash-separated path in it.
type Files map[string][]byte

// names returns the paths in order.
func (f Files) names() []string {
	out := make([]string, 0, len(f))
	for name := range f {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// ReadFiles reads the YAML files of a bundle from its folder. Other files, and folders other than mappings, are left
// alone; a YAML file the format does not know is refused, as nobody would notice that it has no effect.
func ReadFiles(dir fs.FS) (Files, error) {
	files := Files{}
	var faults Faults
	for _, folder := range []string{".", mappingsDir} {
		entries, err := fs.ReadDir(dir, folder)
		if errors.Is(err, fs.ErrNotExist) && folder == mappingsDir {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read bundle: %w", err)
		}
		for _, e := range entries {
			name := path.Join(folder, e.Name())
			if e.IsDir() && folder == mappingsDir {
				if err := files.below(dir, name); err != nil {
					return nil, err
				}
			}
			if e.IsDir() || path.Ext(name) != ".yaml" && path.Ext(name) != ".yml" {
				continue
			}
			info, err := e.Info()
			if err != nil {
				return nil, fmt.Errorf("read bundle: %w", err)
			}
			if info.Size() > maxFile {
				faults = append(faults, Fault{File: name, Problem: fmt.Sprintf("is %d bytes long", info.Size()), Fix: fmt.Sprintf("keep it under %d", maxFile)})
				continue
			}
			text, err := fs.ReadFile(dir, name)
			if err != nil {
				return nil, fmt.Errorf("read bundle: %w", err)
			}
			files[name] = text
		}
	}
	if len(faults) > 0 {
		return nil, files.beside(faults)
	}
	return files, nil
}

// beside are the faults of files that are too large to be read, and what is wrong with the others.
func (f Files) beside(large Faults) Faults {
	for _, fault := range large {
		f[fault.File] = nil // it is there, and what depends on it is left out
	}
	_, err := Parse(f)
	var others Faults
	errors.As(err, &others)
	others = slices.DeleteFunc(others, func(o Fault) bool {
		return slices.ContainsFunc(large, func(l Fault) bool { return l.File == o.File })
	})
	return slices.Concat(large, others).Sorted()
}

// below notes the YAML files of a folder in mappings, which are not read: see checkNames.
func (f Files) below(dir fs.FS, folder string) error {
	return fs.WalkDir(dir, folder, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read bundle: %w", err)
		}
		if ext := path.Ext(name); !e.IsDir() && (ext == ".yaml" || ext == ".yml") {
			f[name] = nil
		}
		return nil
	})
}

// checkNames refuses files the format does not know and tells of those that are missing.
func (f Files) checkNames(faults *Faults) {
	known := []string{BundleFile, DictionaryFile, MachineFile, WavesFile}
	for _, name := range f.names() {
		if strings.HasPrefix(path.Dir(name), mappingsDir+"/") {
			*faults = append(*faults, Fault{File: name, Problem: "is not read", Fix: "move it to " + mappingsDir})
			continue
		}
		if !slices.Contains(known, name) && !isMapping(name) {
			*faults = append(*faults, Fault{File: name, Problem: "is no file of a bundle", Fix: "rename or remove it" + nearest.Suggest(name, known)})
		}
	}
	for _, name := range known {
		if _, ok := f[name]; !ok {
			*faults = append(*faults, Fault{File: name, Problem: "is missing", Fix: "write it; `concord policy init` shows a complete bundle"})
		}
	}
}

func isMapping(name string) bool {
	return path.Dir(name) == mappingsDir && strings.HasSuffix(name, ".yaml")
}
