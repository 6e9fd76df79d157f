package replay

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"
)

//go:embed report.html
var reportText string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"instant": func(m interface{ Time() time.Time }) string {
		if m.Time().IsZero() {
			return ""
		}
		return m.Time().Format("2006-01-02 15:04:05")
	},
	"orNothing": orNothing,
}).Parse(reportText))

// WriteHTML writes the report as one page that needs no other file.
func (r *Report) WriteHTML(w io.Writer) error {
	if err := reportPage.Execute(w, page{r, r.bars()}); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// page is what the template shows.
type page struct {
	*Report
	Bars []drawn
}

// drawn is a bar of the picture, in its own coordinates.
type drawn struct {
	Label string
	Count int64
	Y     int
	Width int
	Text  int // where the count stands
	Color string
}

// Sizes of the picture: the bars begin at pictureLeft, the longest is pictureRoom long.
const (
	pictureLeft = 330
	pictureRoom = 380
	pictureLine = 26
)

// bars are the ways in which applications differ, to scale.
func (r *Report) bars() []drawn {
	const red, blue, amber = "#b3261e", "#1f5fa8", "#a86a00"
	var out []drawn
	add := func(label string, n int64, color string) {
		if n > 0 {
			out = append(out, drawn{Label: label, Count: n, Color: color})
		}
	}
	for _, e := range r.Elsewhere {
		add("stand in "+orNothing(e.Simulated)+", not "+orNothing(e.Recorded), e.Count, blue)
	}
	add("a write more", r.Writes.Sent, red)
	add("a write changed", r.Writes.Changed, red)
	add("a write not sent", r.Writes.NotSent, red)
	add("a step of another owner", r.Owners, amber)
	add("a screening order more", r.Orders.Sent, red)
	add("a screening order not sent", r.Orders.NotSent, red)
	for _, k := range r.Incidents {
		add("incident "+k.Kind+" opens", k.Open, amber)
		add("incident "+k.Kind+" does not open", k.Vanish, amber)
		add("incident "+k.Kind+" earlier", k.Earlier, amber)
		add("incident "+k.Kind+" later", k.Later, amber)
		add("incident "+k.Kind+" for another owner", k.Owner, amber)
	}
	longest := int64(1)
	for _, b := range out {
		longest = max(longest, b.Count)
	}
	for i := range out {
		b := &out[i]
		b.Y, b.Width = i*pictureLine, max(2, int(b.Count*pictureRoom/longest))
		b.Text = pictureLeft + b.Width + 8
	}
	return out
}

// Height is the height of the picture.
func (p page) Height() int { return len(p.Bars)*pictureLine + 6 }
