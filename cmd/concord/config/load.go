package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"

	"github.com/concord-ats/concord/pkg/nearest"
)

// Source is where a value came from.
type Source string

// The sources, weakest first.
const (
	FromDefault     Source = "default"
	FromFile        Source = "file"
	FromEnvironment Source = "environment"
	FromFlag        Source = "flag"
)

// Input is what Load reads. Nothing else reaches a configuration.
type Input struct {
	File  string            // path of a YAML file; "" for none
	Env   []string          // NAME=value, as os.Environ gives it; names that do not start with CONCORD_ are passed over
	Flags map[string]string // full key → value
}

// Loaded is a configuration and where each of its keys came from.
type Loaded struct {
	Config
	Sources map[string]Source
}

// reserved are variables of this prefix that are no configuration keys.
var reserved = []string{"CONCORD_CONFIG", "CONCORD_TEST_"}

// Load merges the defaults, the file, the environment and the flags, reads the secrets' files, and
// checks the result. All that is wrong comes back at once, as Faults; only a file that cannot be read or
// parsed stops earlier. It never returns a configuration that does not Validate.
func Load(in Input) (Loaded, error) {
	l := Loaded{Config: Default(), Sources: map[string]Source{}}
	leaves := fields("", reflect.ValueOf(&l.Config).Elem())
	known := map[string]field{}
	for _, f := range leaves {
		known[f.key] = f
	}
	// Every secret may come as a file; the path is a key of its own that is no field.
	secretFiles := map[string]string{}
	keys := make([]string, 0, len(leaves))
	for _, f := range leaves {
		keys = append(keys, f.key)
		if f.secret() {
			secretFiles[f.key+"_file"] = f.key
			keys = append(keys, f.key+"_file")
		}
	}

	var faults Faults
	file, unknown, err := readFile(in.File, keys)
	if err != nil {
		return Loaded{}, err
	}
	faults = append(faults, unknown...)
	env, unknown := readEnv(in.Env, keys)
	faults = append(faults, unknown...)
	flags, unknown := readFlags(in.Flags, keys)
	faults = append(faults, unknown...)

	k := koanf.New("\n") // keys are flat here, so no delimiter may occur in one
	for _, layer := range []struct {
		source Source
		values map[string]any
	}{{FromFile, file}, {FromEnvironment, env}, {FromFlag, flags}} {
		// A secret and its file are two spellings of one key: the stronger layer takes both.
		for path, key := range secretFiles {
			_, direct := layer.values[key]
			_, byFile := layer.values[path]
			if direct && byFile {
				faults = append(faults, Fault{path, fmt.Sprint(layer.values[path]), "give " + key + " or " + path + ", not both"})
			}
			if direct {
				k.Delete(path)
			}
			if byFile {
				k.Delete(key)
			}
		}
		if err := k.Load(confmap.Provider(layer.values, ""), nil); err != nil {
			return Loaded{}, fmt.Errorf("merge %s: %w", layer.source, err)
		}
		for key := range layer.values {
			l.Sources[key] = layer.source
		}
	}

	for _, key := range keys {
		if !k.Exists(key) {
			continue
		}
		raw := k.Get(key)
		if target, ok := secretFiles[key]; ok {
			faults = append(faults, setSecretFile(known[target], key, fmt.Sprint(raw))...)
			continue
		}
		f := known[key]
		if f.table() {
			faults = append(faults, f.setTable(raw)...)
			continue
		}
		if err := f.set(raw); err != nil {
			faults = append(faults, Fault{key, shown(f, raw), err.Error()})
		}
	}
	slices.SortStableFunc(faults, func(a, b Fault) int { return strings.Compare(a.Key, b.Key) })
	// What could not be read would only be reported a second time by its default's checks.
	var check Faults
	if err := l.Validate(); errors.As(err, &check) {
		for _, fault := range check {
			if !slices.ContainsFunc(faults, func(f Fault) bool { return f.Key == fault.Key }) {
				faults = append(faults, fault)
			}
		}
	}
	if err := faults.err(); err != nil {
		return Loaded{}, err
	}
	return l, nil
}

func shown(f field, raw any) string {
	if f.secret() {
		return cut
	}
	return fmt.Sprint(raw)
}

// guarded shows the value of an unknown key, unless the name sounds like a misspelt secret.
func guarded(name string, value any) string {
	name = strings.ToLower(name)
	for _, word := range []string{"pas", "pw", "secr", "tok", "cred", "key"} {
		if strings.Contains(name, word) {
			return cut
		}
	}
	return fmt.Sprint(value)
}

func setSecretFile(target field, key, path string) Faults {
	content, err := os.ReadFile(path)
	if err != nil {
		reason := "cannot be read"
		if errors.Is(err, fs.ErrNotExist) {
			reason = "does not exist"
		}
		return Faults{{key, path, reason + "; give the path of a file that holds the secret"}}
	}
	target.setSecret(strings.TrimRight(string(content), "\r\n"))
	return nil
}

// readFile returns the file's values by full key. Tables of the struct are walked down to its keys, so that an
// unknown name is reported where it stands.
func readFile(path string, keys []string) (map[string]any, Faults, error) {
	if path == "" {
		return nil, nil, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	k := koanf.New(".")
	if err := k.Load(rawbytes.Provider(content), yaml.Parser()); err != nil {
		return nil, nil, fmt.Errorf("read configuration %s: %w", path, err)
	}
	values := map[string]any{}
	var faults Faults
	for _, key := range k.Keys() { // sorted
		if !slices.Contains(keys, key) {
			faults = append(faults, Fault{key, guarded(key, k.Get(key)), "no such key in " + path + nearest.Suggest(key, keys)})
			continue
		}
		values[key] = k.Get(key)
	}
	return values, faults, nil
}

func readEnv(environ, keys []string) (map[string]any, Faults) {
	byVariable := map[string]string{}
	names := make([]string, 0, len(keys))
	for _, key := range keys {
		byVariable[variable(key)] = key
		names = append(names, variable(key))
	}
	values := map[string]any{}
	var faults Faults
	for _, pair := range environ {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || !strings.HasPrefix(name, "CONCORD_") {
			continue
		}
		if slices.ContainsFunc(reserved, func(r string) bool { return strings.HasPrefix(name, r) }) {
			continue
		}
		key, ok := byVariable[name]
		if !ok {
			faults = append(faults, Fault{name, guarded(name, value), "no such variable" + nearest.Suggest(name, names)})
			continue
		}
		values[key] = value
	}
	return values, faults
}

func readFlags(flags map[string]string, keys []string) (map[string]any, Faults) {
	values := map[string]any{}
	var faults Faults
	for key, value := range flags {
		if !slices.Contains(keys, key) {
			faults = append(faults, Fault{"--set " + key, guarded(key, value), "no such key" + nearest.Suggest(key, keys)})
			continue
		}
		values[key] = value
	}
	return values, faults
}

// setTable reads a list of tables, such as ats, from a parsed file or as YAML text from the environment or a flag. Each
// entry starts from the defaults of its kind.
func (f field) setTable(raw any) Faults {
	if text, ok := raw.(string); ok {
		parsed, err := yaml.Parser().Unmarshal([]byte("list:\n  " + strings.ReplaceAll(text, "\n", "\n  ")))
		if err != nil {
			return Faults{{f.key, cut, "give a YAML list: [{instance: gh-main, …}]"}}
		}
		raw = parsed["list"]
	}
	list, ok := raw.([]any)
	if !ok {
		return Faults{{f.key, cut, "give a list, one entry an instance"}}
	}
	out := reflect.MakeSlice(f.value.Type(), 0, len(list))
	var faults Faults
	for i, item := range list {
		prefix := fmt.Sprintf("%s[%d].", f.key, i)
		table, ok := item.(map[string]any)
		if !ok {
			faults = append(faults, Fault{strings.TrimSuffix(prefix, "."), cut, "give a table with instance and kind"})
			continue
		}
		entry := reflect.New(f.value.Type().Elem()).Elem()
		if start, ok := entryDefaults[f.key]; ok {
			entry.Set(reflect.ValueOf(start()))
		}
		var names []string
		for _, f := range fields("", entry) {
			names = append(names, f.key)
			value, direct := table[f.key]
			if f.secret() {
				names = append(names, f.key+"_file")
				if path, byFile := table[f.key+"_file"]; byFile && direct {
					faults = append(faults, Fault{prefix + f.key + "_file", fmt.Sprint(path), "give " + f.key + " or " + f.key + "_file, not both"})
				} else if byFile {
					faults = append(faults, setSecretFile(f, prefix+f.key+"_file", fmt.Sprint(path))...)
				}
			}
			if !direct {
				continue
			}
			if err := f.set(value); err != nil {
				faults = append(faults, Fault{prefix + f.key, shown(f, value), err.Error()})
			}
		}
		for key, value := range table {
			if !slices.Contains(names, key) {
				faults = append(faults, Fault{prefix + key, guarded(key, value), "no such key" + nearest.Suggest(key, names)})
			}
		}
		out = reflect.Append(out, entry)
	}
	f.value.Set(out)
	return faults
}

// entryDefaults are what the entries of a list start from.
var entryDefaults = map[string]func() any{
	"ats": func() any { return DefaultATS() },
}
