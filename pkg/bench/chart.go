package bench

import (
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// chart is a horizontal bar chart. It needs so little that a plotting library would be most of the program.
type chart struct {
	title string
	unit  string
	bars  []chartBar
	limit float64 // a line across all bars; 0 draws none
}

// chartBar is one bar, with the range of its rounds and, where it has one, a second value inside it.
type chartBar struct {
	label           string
	value, low, top float64
	inner           float64
}

func barOf(label string, s Spread, scale float64) chartBar {
	return chartBar{label: label, value: s.Median * scale, low: s.Min * scale, top: s.Max * scale}
}

const (
	chartWidth  = 720
	chartLabels = 200
	chartRight  = 110
	chartRow    = 26
	chartTop    = 44
)

// svg draws the chart. It reads on a light and on a dark page.
func (c *chart) svg() []byte {
	largest := c.limit
	for _, b := range c.bars {
		largest = math.Max(largest, math.Max(b.value, b.top))
	}
	if largest == 0 {
		largest = 1
	}
	height := chartTop + chartRow*len(c.bars) + 16
	at := func(v float64) float64 { return chartLabels + v/largest*(chartWidth-chartLabels-chartRight) }
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" fill="#7a7a7a" role="img" aria-label="%s">`+"\n",
		chartWidth, height, escape(c.title))
	fmt.Fprintf(&out, `<text x="8" y="22" font-size="15">%s</text>`+"\n", escape(c.title))
	for i, b := range c.bars {
		y := chartTop + chartRow*i
		fmt.Fprintf(&out, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", chartLabels-8, y+15, escape(b.label))
		fmt.Fprintf(&out, `<rect x="%d" y="%d" width="%.1f" height="18" fill="#4c8bbf"/>`+"\n", chartLabels, y, at(b.value)-chartLabels)
		if b.inner > 0 {
			fmt.Fprintf(&out, `<rect x="%d" y="%d" width="%.1f" height="18" fill="#2d5f88"/>`+"\n", chartLabels, y, at(b.inner)-chartLabels)
		}
		if b.top > b.low {
			fmt.Fprintf(&out, `<path d="M%.1f %dv8m0 -4H%.1fm0 -4v8" stroke="#d98c3a" stroke-width="2" fill="none"/>`+"\n", at(b.low), y+5, at(b.top))
		}
		fmt.Fprintf(&out, `<text x="%.1f" y="%d">%s</text>`+"\n", at(math.Max(b.value, b.top))+6, y+14, escape(figure(b.value)+" "+c.unit))
	}
	if c.limit > 0 {
		fmt.Fprintf(&out, `<path d="M%.1f %dV%d" stroke="#c0504d" stroke-width="2" stroke-dasharray="5 4" fill="none"/>`+"\n", at(c.limit), chartTop-6, height-12)
	}
	out.WriteString("</svg>\n")
	return []byte(out.String())
}

// figure shows a value with three digits that count.
func figure(v float64) string {
	switch {
	case math.Abs(v) >= 10_000:
		return strconv.FormatFloat(v/1000, 'f', 0, 64) + " k"
	case math.Abs(v) >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case math.Abs(v) >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}
