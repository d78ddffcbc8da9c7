// Package plot draws curves as SVG for the documentation: a logarithmic axis of what grows,
// below one panel or more of what that costs. The same figures give the same bytes, light
// and dark follow the reader's system, nothing is scripted, and a text says what is seen.
//
// It is small because it draws one kind of picture; a library for all kinds draws fonts of
// its own, and neither follows the reader's colours nor tells what it shows.
package plot

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// Figure is a picture.
type Figure struct {
	// Title is what it is called, and Text what it shows, for who does not see it.
	Title, Text string
	// X says what grows. Each value that was measured is a tick, and stands on a
	// logarithmic axis.
	X      string
	Panels []Panel
}

// Panel is one measure of all that was measured at each x.
type Panel struct {
	// Y names the measure and its unit.
	Y      string
	Series []Series
	// Log has a logarithmic axis; otherwise it begins at zero.
	Log bool
}

// Series is one line.
type Series struct {
	Name   string
	Points []Point
}

// Point is a median and its spread. Low and High are zero where there is none.
type Point struct{ X, Y, Low, High float64 }

const (
	width, left, right = 720, 74, 150 // names stand on the right
	head, foot         = 46, 52
	panelHeight, gap   = 190, 44
	most               = 4 // series of a panel: so many colours and marks there are
)

// style has two sets of colours, each with a contrast of at least 4.5 to its ground.
const style = `
svg{--ground:#fff;--ink:#1f2328;--faint:#d1d9e0;--soft:#59636e;--c0:#0b5cad;--c1:#a8480a;--c2:#1a7f37;--c3:#8250df;font:13px system-ui,sans-serif}
@media (prefers-color-scheme:dark){svg{--ground:#0d1117;--ink:#f0f6fc;--faint:#3d444d;--soft:#9198a1;--c0:#6cb6ff;--c1:#f0883e;--c2:#57ab5a;--c3:#b083f0}}
.ground{fill:var(--ground)}text{fill:var(--ink)}.title{font-size:16px;font-weight:600}.soft{fill:var(--soft)}.grid{stroke:var(--faint)}
.end{text-anchor:end}.mid{text-anchor:middle}path{fill:none;stroke-width:2}.spread{stroke-width:1}
.c0{stroke:var(--c0)}.c1{stroke:var(--c1);stroke-dasharray:7 3}.c2{stroke:var(--c2);stroke-dasharray:2 3}.c3{stroke:var(--c3);stroke-dasharray:9 3 2 3}
.mark,.spread{stroke-dasharray:none}.mark{fill:var(--ground)}text.n0{fill:var(--c0)}text.n1{fill:var(--c1)}text.n2{fill:var(--c2)}text.n3{fill:var(--c3)}
`

// SVG draws it.
func (f Figure) SVG() ([]byte, error) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range f.Panels {
		if len(p.Series) == 0 || len(p.Series) > most {
			return nil, fmt.Errorf("plot %s: %s has %d lines, want 1 to %d", f.Title, p.Y, len(p.Series), most)
		}
		for _, s := range p.Series {
			for _, at := range s.Points {
				if !(at.X > 0) || !(at.Y >= 0) || p.Log && at.Y == 0 || math.IsInf(at.X+at.Y, 0) {
					return nil, fmt.Errorf("plot %s: %s, %s: there is no place for %v", f.Title, p.Y, s.Name, at)
				}
				low, high = min(low, at.X), max(high, at.X)
			}
		}
	}
	if f.Title == "" || f.Text == "" || !(low <= high) {
		return nil, fmt.Errorf("plot %q: it needs a title, a text and something to draw", f.Title)
	}
	d := &drawing{low: low, high: high}
	height := head + len(f.Panels)*(panelHeight+gap) - gap + foot
	d.add(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-labelledby="t d">`, width, height, width, height)
	d.add(`<title id="t">%s</title>`, text(f.Title))
	d.add(`<desc id="d">%s</desc>`, text(f.Text))
	d.add(`<style>%s</style>`, style)
	d.add(`<rect class="ground" width="%d" height="%d"/>`, width, height)
	d.add(`<text class="title" x="%d" y="18">%s</text>`, left, text(f.Title))
	for i, p := range f.Panels {
		d.panel(p, float64(head+i*(panelHeight+gap)), i == len(f.Panels)-1)
	}
	d.add(`<text class="mid soft" x="%d" y="%d">%s</text>`, (left+width-right)/2, height-10, text(f.X))
	d.add(`</svg>`)
	return []byte(d.b.String()), nil
}

type drawing struct {
	b         strings.Builder
	low, high float64 // of x
}

func (d *drawing) add(format string, args ...any) { fmt.Fprintf(&d.b, format+"\n", args...) }

// x is where a value stands on the logarithmic axis.
func (d *drawing) x(v float64) float64 {
	const inset = 12
	span := math.Log(d.high / d.low)
	if span == 0 {
		return float64(left+width-right) / 2
	}
	return left + inset + math.Log(v/d.low)/span*(width-left-right-2*inset)
}

func (d *drawing) panel(p Panel, top float64, last bool) {
	a := axisOf(p)
	y := func(v float64) float64 { return top + panelHeight*(1-a.place(v)) }
	d.add(`<text class="soft" x="%d" y="%.1f">%s</text>`, left, top-7, text(p.Y))
	for _, t := range a.ticks {
		d.add(`<line class="grid" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/><text class="end soft" x="%d" y="%.1f">%s</text>`,
			left, y(t), width-right, y(t), left-8, y(t)+4, Number(t))
	}
	ticks := map[float64]bool{}
	for _, s := range p.Series {
		for _, at := range s.Points {
			if last && !ticks[at.X] {
				d.add(`<text class="mid soft" x="%.1f" y="%.1f">%s</text>`, d.x(at.X), top+panelHeight+18, Number(at.X))
			}
			ticks[at.X] = true
		}
	}
	names := spread(p, y)
	for i, s := range p.Series {
		var line strings.Builder
		for j, at := range s.Points {
			fmt.Fprintf(&line, "%c%.1f %.1f", "ML"[min(j, 1)], d.x(at.X), y(at.Y))
		}
		d.add(`<path class="c%d" d="%s"/>`, i, &line)
		for _, at := range s.Points {
			if at.High > at.Low && (at.Low > 0 || !p.Log) {
				d.add(`<path class="c%d spread" d="M%.1f %.1fV%.1f"/>`, i, d.x(at.X), y(at.Low), y(at.High))
			}
			d.mark(i, d.x(at.X), y(at.Y))
		}
		d.add(`<text class="n%d" x="%d" y="%.1f">%s</text>`, i, width-right+6, names[i]+4, text(s.Name))
	}
}

// mark is a shape of its own for each line, since not everybody tells colours apart.
func (d *drawing) mark(series int, x, y float64) {
	switch series {
	case 0:
		d.add(`<circle class="c0 mark" cx="%.1f" cy="%.1f" r="4"/>`, x, y)
	case 1:
		d.add(`<rect class="c1 mark" x="%.1f" y="%.1f" width="7" height="7"/>`, x-3.5, y-3.5)
	case 2:
		d.add(`<path class="c2 mark" d="M%.1f %.1fl5 8h-10z"/>`, x, y-5)
	default:
		d.add(`<path class="c3 mark" d="M%.1f %.1fl5 5l-5 5l-5 -5z"/>`, x, y-5)
	}
}

// spread is where the names of lines stand: at their ends, and not on each other.
func spread(p Panel, y func(float64) float64) []float64 {
	const apart = 16
	at := make([]float64, len(p.Series))
	for i, s := range p.Series {
		if n := len(s.Points); n > 0 {
			at[i] = y(s.Points[n-1].Y)
		}
	}
	for range at { // each round moves what overlaps a little
		for i := range at {
			for j := range i {
				if by := apart - math.Abs(at[i]-at[j]); by > 0 {
					up := by / 2
					if at[i] < at[j] {
						up = -up
					}
					at[i], at[j] = at[i]+up, at[j]-up
				}
			}
		}
	}
	return at
}

func text(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
