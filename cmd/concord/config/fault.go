package config

import (
	"fmt"
	"strings"
)

// Fault is one thing wrong with the configuration.
type Fault struct {
	Key   string // full name, such as stream.commit_interval, or the variable's or flag's name
	Value string // what was given; "[cut]" for a secret
	Fix   string // what to give instead, in words
}

// String is one line: key, value, fix.
func (f Fault) String() string {
	if f.Value == "" {
		return fmt.Sprintf("%s: not set: %s", f.Key, f.Fix)
	}
	return fmt.Sprintf("%s = %s: %s", f.Key, f.Value, f.Fix)
}

// Faults is everything wrong with a configuration, in the order of the struct.
type Faults []Fault

// Error lists one fault a line.
func (f Faults) Error() string {
	var b strings.Builder
	if len(f) == 1 {
		b.WriteString("1 fault in the configuration:")
	} else {
		fmt.Fprintf(&b, "%d faults in the configuration:", len(f))
	}
	for _, fault := range f {
		b.WriteString("\n  ")
		b.WriteString(fault.String())
	}
	return b.String()
}

// err returns nil for an empty list, so that a nil error stays nil.
func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}
