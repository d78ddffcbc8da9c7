package plot

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func figure() Figure {
	line := func(name string, by float64) (s Series) {
		s.Name = name
		for i, x := range []float64{10, 100, 1000, 10_000, 100_000} {
			y := by * float64(i+1)
			s.Points = append(s.Points, Point{x, y, y * .9, y * 1.2})
		}
		return s
	}
	return Figure{Title: "Routes & rules", Text: "CPU stays <flat>.", X: "routes", Panels: []Panel{
		{Y: "µs of CPU for each request", Series: []Series{line("Evergate", 21), line("bare", 20), line("third", 3), line("fourth", 60)}},
		{Y: "ms", Log: true, Series: []Series{line("p50", .3), line("p99", 40)}},
	}}
}

func TestPictureIsWellFormed(t *testing.T) {
	svg, err := figure().SVG()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			names = append(names, e.Name.Local)
		}
	}
	all := " " + strings.Join(names, " ") + " "
	for _, want := range []string{" svg title desc style ", " circle ", " path "} {
		if !strings.Contains(all, want) {
			t.Errorf("got the elements%s, want%s", all, want)
		}
	}
	for _, want := range []string{"prefers-color-scheme:dark", "Routes &amp; rules", "CPU stays &lt;flat&gt;.", ">100k<", ">10<"} {
		if !bytes.Contains(svg, []byte(want)) {
			t.Errorf("it has no %s", want)
		}
	}
	if bytes.Contains(svg, []byte("script")) || bytes.Contains(svg, []byte("NaN")) || len(svg) > 20_000 {
		t.Errorf("it has a script or what is no number, or %d bytes", len(svg))
	}
	again, err := figure().SVG()
	if err != nil || !bytes.Equal(svg, again) {
		t.Error("the same figures gave another picture")
	}
}

// TestNothingIsDrawnOutside reads where marks and lines stand.
func TestNothingIsDrawnOutside(t *testing.T) {
	svg, err := figure().SVG()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range regexp.MustCompile(`[ML]([\d.-]+) ([\d.-]+)`).FindAllSubmatch(svg, -1) {
		x, err1 := strconv.ParseFloat(string(m[1]), 64)
		y, err2 := strconv.ParseFloat(string(m[2]), 64)
		if err1 != nil || err2 != nil || x < left || x > width-right || y < head-5 || y > head+2*panelHeight+gap {
			t.Errorf("%s is outside", m[0])
		}
		found++
	}
	if found < 20 {
		t.Errorf("got %d places", found)
	}
}

func TestWhatCannotBeDrawnIsAnError(t *testing.T) {
	for name, change := range map[string]func(*Figure){
		"no text":           func(f *Figure) { f.Text = "" },
		"no panels":         func(f *Figure) { f.Panels = nil },
		"x of zero":         func(f *Figure) { f.Panels[0].Series[0].Points[0].X = 0 },
		"no number":         func(f *Figure) { f.Panels[0].Series[0].Points[0].Y = math.NaN() },
		"zero on a log":     func(f *Figure) { f.Panels[1].Series[0].Points[0].Y = 0 },
		"more than colours": func(f *Figure) { f.Panels[0].Series = append(f.Panels[0].Series, f.Panels[0].Series[0]) },
	} {
		f := figure()
		change(&f)
		if _, err := f.SVG(); err == nil {
			t.Errorf("%s: it was drawn", name)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", .25: "0.25", 1: "1", 1500: "1500", 10_000: "10k", 16384: "16384", 12_500: "12.5k", 250_000: "250k", 1e6: "1M", .5: "0.5"} {
		if got := Number(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
	for high, want := range map[float64]int{1: 6, 1.1: 7, 27: 7, 45: 6, 60: 7, 99: 6, 1000: 6} {
		a := axisOf(Panel{Series: []Series{{Points: []Point{{X: 1, Y: high}}}}})
		if len(a.ticks) < 4 || len(a.ticks) > want || a.high < high || a.high > 1.7*high {
			t.Errorf("up to %v: got the ticks %v", high, a.ticks)
		}
	}
}
