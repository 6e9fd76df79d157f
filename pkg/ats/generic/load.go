package generic

import (
	_ "embed"
	"fmt"
	"os"
	"reflect"
	"time"

	"github.com/concord-ats/concord/pkg/strict"
)

// maxFile bounds a description; it is written by people.
const maxFile = 1 << 20

// Example is a whole description: the one of the simulator's dialect inhouse.
//
//go:embed example.yaml
var Example []byte

// SchemaFile is the name of the schema beside a description.
const SchemaFile = "ats.schema.json"

// Schema returns the JSON Schema (draft 2020-12) of descriptions, made from the very types that read them.
func Schema() []byte {
	return strict.Schema(reflect.TypeFor[Description](), "How Concord speaks to an ATS of one's own")
}

// Load reads the description in a file. Its error is [strict.Faults], all that is wrong, or says why the file cannot be read.
func Load(path string) (*Description, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the description: %w", err)
	}
	if info.Size() > maxFile {
		return nil, strict.Faults{{File: path, Problem: fmt.Sprintf("is %d bytes long", info.Size()), Fix: fmt.Sprintf("keep it under %d", maxFile)}}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the description: %w", err)
	}
	return Parse(path, text)
}

// Parse reads a description and checks it. Its error is [strict.Faults]: everything that is wrong, of form and of meaning.
func Parse(file string, text []byte) (*Description, error) {
	d := &Description{}
	doc, faults, whole := strict.Read(file, text, d)
	if doc != nil && whole {
		c := checker{Description: d, doc: doc}
		faults = append(faults, c.check().Apart(faults)...)
	}
	if len(faults) > 0 {
		return nil, faults.Sorted()
	}
	return d, nil
}

// Compared says in a word what is compared before it is set.
func (d *Description) Compared() string {
	if d.Compares == "" {
		return "nothing"
	}
	return map[Comparison]string{"nothing": "nothing", "stage": "the stage of a move", "version": "the version"}[d.Compares]
}

// or is the span, or another one where it is left out.
func (s Span) or(other time.Duration) time.Duration {
	if s == 0 {
		return other
	}
	return time.Duration(s)
}
