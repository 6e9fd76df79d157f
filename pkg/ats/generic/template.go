package generic

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/concord-ats/concord/pkg/ats"
)

// Template is a text with {placeholders}; in a body {name:number} is written as a number.
type Template string

var placeholder = regexp.MustCompile(`\{([a-z_]+)(:number)?\}`)

// part is a piece of a template: a text, or the name of a placeholder.
type part struct {
	text, name string
	number     bool
}

func (t Template) parts() []part {
	var out []part
	rest := 0
	for _, at := range placeholder.FindAllStringSubmatchIndex(string(t), -1) {
		if at[0] > rest {
			out = append(out, part{text: string(t[rest:at[0]])})
		}
		out = append(out, part{name: string(t[at[2]:at[3]]), number: at[4] >= 0})
		rest = at[1]
	}
	if rest < len(t) {
		out = append(out, part{text: string(t[rest:])})
	}
	return out
}

// names are the placeholders of a template.
func (t Template) names() []string {
	var out []string
	for _, p := range t.parts() {
		if p.name != "" {
			out = append(out, p.name)
		}
	}
	return out
}

// has reports whether a template has a placeholder.
func (t Template) has(name string) bool { return slices.Contains(t.names(), name) }

// values are what placeholders stand for: texts, and for {fields} and {value} of a body JSON.
type values struct {
	text map[string]string
	json map[string]any
}

// with is the values and some more, given as name and text.
func (v values) with(more ...string) values {
	out := values{text: map[string]string{}, json: v.json}
	for name, text := range v.text {
		out.text[name] = text
	}
	for i := 0; i+1 < len(more); i += 2 {
		out.text[more[i]] = more[i+1]
	}
	return out
}

// fill is the text of a template; whole is false where a placeholder is empty.
func (v values) fill(t Template, escape func(string) string) (text string, whole bool) {
	var b strings.Builder
	whole = true
	for _, p := range t.parts() {
		if p.name == "" {
			b.WriteString(p.text)
			continue
		}
		value := v.text[p.name]
		whole = whole && value != ""
		if escape != nil {
			value = escape(value)
		}
		b.WriteString(value)
	}
	return b.String(), whole
}

// path is a path with its placeholders, each one segment or part of one; false where one is empty, or would lead elsewhere.
func (v values) path(t Template) (string, bool) {
	for _, name := range t.names() {
		if value := v.text[name]; strings.Trim(value, ".") == "" {
			return "", false
		}
	}
	text, _ := v.fill(t, url.PathEscape)
	return text, true
}

// query are the parameters of a request. One whose placeholder is empty is left out.
func (v values) query(query map[string]Template) url.Values {
	out := url.Values{}
	for name, t := range query {
		if text, whole := v.fill(t, nil); whole {
			out.Set(name, text)
		}
	}
	return out
}

// body is a node as JSON.
func (v values) body(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		out := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			member, err := v.body(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			out[n.Content[i].Value] = member
		}
		return out, nil
	case yaml.SequenceNode:
		out := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			item, err := v.body(c)
			if err != nil {
				return nil, err
			}
			out = append(out, item)
		}
		return out, nil
	default:
		return v.scalar(n)
	}
}

// scalar is a placeholder that stands alone as what it is, a number or a boolean without quotes as one, else a text.
func (v values) scalar(n *yaml.Node) (any, error) {
	parts := Template(n.Value).parts()
	if len(parts) != 1 || parts[0].name == "" {
		if n.Tag == "!!bool" {
			return strings.EqualFold(n.Value, "true"), nil
		}
		if (n.Tag == "!!int" || n.Tag == "!!float") && json.Valid([]byte(n.Value)) {
			return json.Number(n.Value), nil
		}
		text, _ := v.fill(Template(n.Value), nil)
		return text, nil
	}
	p := parts[0]
	if value, ok := v.json[p.name]; ok {
		return value, nil
	}
	text := v.text[p.name]
	switch {
	case p.name == "null":
		return nil, nil
	case p.number:
		n, ok := ats.Decimal(text)
		if !ok {
			return nil, fmt.Errorf("%s is not a number", p.name)
		}
		return json.Number(n), nil
	}
	return text, nil
}

// eachScalar visits the scalars of a body, with their paths.
func eachScalar(path string, n *yaml.Node, visit func(path string, n *yaml.Node)) {
	if n == nil {
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			eachScalar(path+"."+n.Content[i].Value, n.Content[i+1], visit)
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			eachScalar(fmt.Sprintf("%s[%d]", path, i), c, visit)
		}
	default:
		visit(path, n)
	}
}
