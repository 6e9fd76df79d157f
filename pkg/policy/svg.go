package policy

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// The measures of the picture, in pixels. Letters are taken as wide as those of a common sans-serif.
const (
	svgMargin, svgTop = 24, 70
	svgColumn         = 170
	svgBoxW, svgBoxH  = 150, 58
	svgRow            = 46
	svgLine           = 18
	svgLetter         = 6.2
)

// SVG draws the machine: the states in a row along the way, closed ones last, and below them one line for each
// transition, from the states it may start in to the one it leads to, with its owner, SLA and authority; then what is
// forbidden, and the digest. It needs no other file.
func (p *Policy) SVG() string {
	d := p.diagram()
	x := map[string]int{}
	for i, s := range columns(d.states) {
		x[s.ID] = svgMargin + svgBoxW/2 + i*svgColumn
	}
	rows := append(d.rows, p.reopen())
	width := 2*svgMargin + (len(d.states)-1)*svgColumn + svgBoxW
	notes := []string{"Forbidden jumps: hold keeps the canonical stage and stops writes, record accepts with evidence, revert moves the ATS back once"}
	for _, f := range d.forbidden {
		notes = append(notes, f.String())
	}
	notes = append(notes, strings.ToUpper(d.unauthorised[:1])+d.unauthorised[1:])
	below := svgTop + svgBoxH + len(rows)*svgRow + 24
	height := below + len(notes)*svgLine + 2*svgMargin

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="Helvetica, Arial, sans-serif" font-size="12">`+"\n", width, height, width, height)
	b.WriteString(`<defs><marker id="to" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="#1f3a5f"/></marker></defs>` + "\n")
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%d" y="30" font-size="18" font-weight="bold" fill="#1f3a5f">%s</text>`+"\n", svgMargin, svgText(d.title))
	fmt.Fprintf(&b, `<text x="%d" y="50" font-family="monospace" fill="#555">%s</text>`+"\n", svgMargin, svgText(d.digest))
	for _, s := range d.states {
		fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#c8d0da" stroke-dasharray="3 4"/>`+"\n", x[s.ID], svgTop+svgBoxH, x[s.ID], below-20)
	}
	for _, s := range d.states {
		fill, border := "#e8f0fa", "#1f3a5f"
		if s.Close != "" {
			fill, border = "#eee", "#555"
		}
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" rx="8" fill="%s" stroke="%s"/>`+"\n", x[s.ID]-svgBoxW/2, svgTop, svgBoxW, svgBoxH, fill, border)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" font-size="14" font-weight="bold">%s</text>`+"\n", x[s.ID], svgTop+25, svgText(s.ID))
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" fill="#444">%s</text>`+"\n", x[s.ID], svgTop+44, svgText(stateWords(s)))
	}
	for i, r := range rows {
		r.draw(&b, svgTop+svgBoxH+(i+1)*svgRow, x, width)
	}
	for i, n := range notes {
		weight, fill := "normal", "#444"
		if i == 0 {
			weight, fill = "bold", "#8a1c1c"
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" font-weight="%s" fill="%s">%s</text>`+"\n", svgMargin, below+(i+1)*svgLine, weight, fill, svgText(n))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// draw draws one transition: a dot on each state it may start in, and an arrow to the one it leads to.
func (r row) draw(b *strings.Builder, y int, x map[string]int, width int) {
	to, least, most := x[r.to], x[r.from[0]], x[r.from[0]]
	for _, from := range r.from {
		least, most = min(least, x[from]), max(most, x[from])
	}
	left, right := min(least, to), max(most, to)
	start, end := least, to-1
	if to < most {
		start, end = most, to+1
	}
	if least < to && most > to { // from both sides
		fmt.Fprintf(b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#1f3a5f" stroke-width="1.5" marker-end="url(#to)"/>`+"\n", least, y, to-1, y)
	}
	fmt.Fprintf(b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#1f3a5f" stroke-width="1.5" marker-end="url(#to)"/>`+"\n", start, y, end, y)
	for _, from := range r.from {
		fmt.Fprintf(b, `<circle cx="%d" cy="%d" r="4" fill="#1f3a5f"/>`+"\n", x[from], y)
	}
	words := r.words()
	long := int(float64(len([]rune(r.name))+len([]rune(words))+2) * svgLetter)
	at, anchor := left+8, "start"
	if at+long > width-svgMargin {
		at, anchor = right-8, "end"
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="%s" stroke="#fff" stroke-width="4" paint-order="stroke" fill="#222"><tspan font-weight="bold">%s</tspan>  %s</text>`+"\n",
		at, y-8, anchor, svgText(r.name), svgText(words))
}

// columns orders states along the way: open ones by rank, then the closed ones as they stand.
func columns(states []State) []State {
	out := slices.Clone(states)
	slices.SortStableFunc(out, func(a, b State) int {
		switch {
		case (a.Close != "") != (b.Close != ""):
			if a.Close != "" {
				return 1
			}
			return -1
		case a.Close != "":
			return 0
		}
		return a.Rank - b.Rank
	})
	return out
}

func svgText(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
