package policy

import (
	"encoding/csv"
	"fmt"
	"html"
	"regexp"
	"strings"
)

// dictionaryHead names the columns of the dictionary.
var dictionaryHead = []string{
	"Element", "Meaning", "Type", "Golden source", "On conflict", "Written to the ATS", "Mandatory", "Classification", "Retention", "Owner",
}

// dictionaryRows are the elements in words, in order, and what differs of each by addendum.
func (p *Policy) dictionaryRows() [][]string {
	var out [][]string
	for _, name := range keys(p.Dictionary.Elements) {
		e := p.Dictionary.Elements[name]
		written := "no"
		if e.WriteBack {
			written = "yes"
		}
		out = append(out, []string{
			name, e.Meaning, e.typeWords(), e.Golden.String(), e.conflictWords(), written, e.Mandatory.words(), string(e.Classification), e.Retention.String(), e.Owner,
		})
	}
	return out
}

func (e *Element) typeWords() string {
	switch {
	case e.Scale != nil:
		text := fmt.Sprintf("%s, %s, %s to %s", e.Type, e.Scale.Code, number(e.Scale.Min), number(e.Scale.Max))
		if e.Scale.ValidFor.Of > 0 {
			text += ", valid for " + e.Scale.ValidFor.String()
		}
		return text
	case len(e.Values) > 0:
		return string(e.Type) + ": " + strings.Join(e.Values, ", ")
	}
	return string(e.Type)
}

func (e *Element) conflictWords() string {
	if e.Tolerance > 0 {
		return string(e.Conflict) + ", beyond " + number(e.Tolerance)
	}
	return string(e.Conflict)
}

func (m *Mandatory) words() string {
	if m == nil {
		return "no"
	}
	text := "within " + m.Within.String() + " of the end of the screening"
	if len(m.Types) > 0 {
		text += ", for types " + strings.Join(m.Types, ", ")
	}
	if len(m.Regions) > 0 {
		text += ", in " + strings.Join(m.Regions, ", ")
	}
	return text
}

// addendaRows are the addenda in words: who, what differs, why, by whom, until when.
func (p *Policy) addendaRows() [][]string {
	var out [][]string
	for _, m := range p.addenda() {
		var changes []string
		for _, c := range p.addendumChanges(m) {
			changes = append(changes, c.String())
		}
		out = append(out, []string{m.System, m.For.String(), strings.Join(changes, "; "), m.Why, m.By, m.Until.String()})
	}
	return out
}

var addendaHead = []string{"System", "For", "What differs", "Why", "By", "Until"}

// DictionaryMarkdown writes the data dictionary as Markdown.
func (p *Policy) DictionaryMarkdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Data dictionary: %s %s\n\n`sha256:%s`\n\n", p.Bundle.Name, p.Bundle.Version, p.Digest())
	markdownTable(&b, dictionaryHead, p.dictionaryRows())
	if rows := p.addendaRows(); len(rows) > 0 {
		b.WriteString("\n## Addenda\n\n")
		markdownTable(&b, addendaHead, rows)
	}
	return b.String()
}

func markdownTable(b *strings.Builder, head []string, rows [][]string) {
	cell := strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;")
	line := func(cells []string) {
		for i := range cells {
			b.WriteString("| " + cell.Replace(cells[i]) + " ")
		}
		b.WriteString("|\n")
	}
	line(head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, r := range rows {
		line(r)
	}
}

// DictionaryHTML writes the data dictionary as one page that needs no other file.
func (p *Policy) DictionaryHTML() string {
	title := html.EscapeString("Data dictionary: " + p.Bundle.Name + " " + p.Bundle.Version)
	var b strings.Builder
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>%s</title>\n", title)
	b.WriteString("<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem}table{border-collapse:collapse}th,td{border:1px solid #ccc;padding:.4rem .6rem;text-align:left;vertical-align:top}th{background:#e8f0fa}code{color:#555}</style>\n</head>\n<body>\n")
	fmt.Fprintf(&b, "<h1>%s</h1>\n<p><code>sha256:%s</code></p>\n", title, p.Digest())
	htmlTable(&b, dictionaryHead, p.dictionaryRows())
	if rows := p.addendaRows(); len(rows) > 0 {
		b.WriteString("<h2>Addenda</h2>\n")
		htmlTable(&b, addendaHead, rows)
	}
	b.WriteString("</body>\n</html>\n")
	return b.String()
}

func htmlTable(b *strings.Builder, head []string, rows [][]string) {
	line := func(tag string, cells []string) {
		b.WriteString("<tr>")
		for _, c := range cells {
			fmt.Fprintf(b, "<%s>%s</%s>", tag, html.EscapeString(c), tag)
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("<table>\n")
	line("th", head)
	for _, r := range rows {
		line("td", r)
	}
	b.WriteString("</table>\n")
}

// csvFormula is where a spreadsheet would see a formula begin: at the start of a text, or after a semicolon, at which those of
// some countries split a line although RFC 4180 does not.
var csvFormula = regexp.MustCompile(`(^|;[\s"]*)([=+\-@\t\r\n])`)

// csvText is a text in which nothing is run as a formula: an apostrophe before it makes it text.
func csvText(cell string) string { return csvFormula.ReplaceAllString(cell, "$1'$2") }

// DictionaryCSV writes the elements as RFC 4180 CSV with a header line, and runs nothing in a spreadsheet: see csvText.
func (p *Policy) DictionaryCSV() string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write(dictionaryHead) // a Builder takes everything
	for _, row := range p.dictionaryRows() {
		for i, cell := range row {
			row[i] = csvText(cell)
		}
		_ = w.Write(row)
	}
	w.Flush()
	return b.String()
}
