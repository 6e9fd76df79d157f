package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// parse reads one document into its root node; nil when there is none.
func (d *decoder) parse(text []byte) *yaml.Node {
	fail := func(at position, problem, fix string) *yaml.Node {
		*d.faults = append(*d.faults, Fault{File: d.file, Line: at.line, Column: at.column, Problem: problem, Fix: fix})
		return nil
	}
	if i := noText(text); i >= 0 {
		r, size := utf8.DecodeRune(text[i:])
		what := fmt.Sprintf("character %U", r)
		if r == utf8.RuneError && size == 1 {
			what = fmt.Sprintf("byte 0x%02x", text[i])
		}
		return fail(placeOf(text, i), "is no text: it holds the "+what, "save it as UTF-8 text")
	}
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return fail(position{1, 1}, "is empty", "write it")
	}
	if err == nil {
		err = dec.Decode(&more)
		if err == nil {
			return fail(position{more.Line, more.Column}, "holds more than one YAML document", "keep one")
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		line, problem := yamlError(err)
		return fail(whereWrong(text, line), "is no YAML: "+problem, yamlFix(problem))
	}
	d.bad = map[*yaml.Node]bool{}
	d.plain("", doc.Content[0])
	return doc.Content[0]
}

// noText returns where something stands that no text holds, or -1.
func noText(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 || unicode.IsControl(r) && !strings.ContainsRune("\t\n\r\u0085", r) {
			return i
		}
		i += size
	}
	return -1
}

// placeOf returns the place of a byte.
func placeOf(text []byte, i int) position {
	before := text[:i]
	return position{1 + bytes.Count(before, []byte("\n")), 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])}
}

// yamlLine is the text of a syntax error, the only place where the library tells its line.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// yamlError returns the line of a syntax error, 0 for the first, and what is wrong.
func yamlError(err error) (line int, problem string) {
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		return 0, err.Error()
	}
	line, _ = strconv.Atoi(m[1])
	return line, m[2]
}

// probed bounds the text that is read again, once for each of the letters of a line or two, to find the one that is wrong.
const probed = 64 << 10

// whereWrong returns the letter from which on a text is wrong: with it and whatever follows there is a syntax error, and
// without it none. The library names the line alone, and at times the one before.
func whereWrong(text []byte, line int) position {
	line = max(line, 1)
	begin, end := 0, len(text)
	for n := 1; ; n++ { // from the named line to the end of the next
		i := bytes.IndexByte(text[begin:], '\n')
		if n < line && i >= 0 {
			begin += i + 1
			continue
		}
		if i >= 0 {
			if next := bytes.IndexByte(text[begin+i+1:], '\n'); next >= 0 {
				end = begin + i + 1 + next
			}
		}
		break
	}
	first := begin
	for first+1 < len(text) && text[first] == ' ' {
		first++
	}
	if end > probed {
		return placeOf(text, first)
	}
	at := end
	for at > begin && broken(text[:at]) {
		at--
	}
	if at == end || at == begin && broken(text[:begin]) {
		return placeOf(text, first)
	}
	return placeOf(text, at)
}

// broken reports whether a text has a syntax error.
func broken(text []byte) bool { return yaml.Unmarshal(text, new(yaml.Node)) != nil }

// yamlFix says what is most often behind a syntax error.
func yamlFix(problem string) string {
	for _, known := range []struct{ problem, fix string }{
		{"mapping values are not allowed", "put a text that holds a colon and a space in quotes, or mend the indentation"},
		{"found character that cannot start any token", "indent with spaces, not tabs, and put a text that begins with @, ` or % in quotes"},
		{"did not find expected ',' or ']'", "close the list with ], and put a text that holds a comma in quotes"},
		{"did not find expected ',' or '}'", "close it with }, and put a text that holds a comma or a brace in quotes"},
		{"did not find expected key", "indent this line like its neighbours"},
		{"could not find expected ':'", "give every key a colon and a value"},
		{"found unexpected end of stream", "close the quotes"},
	} {
		if strings.Contains(problem, known.problem) {
			return known.fix
		}
	}
	return "mend the YAML"
}
