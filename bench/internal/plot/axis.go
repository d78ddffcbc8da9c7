package plot

import (
	"math"
	"strconv"
	"strings"
)

// axis is that of y.
type axis struct {
	low, high float64
	log       bool
	ticks     []float64
}

// place is where a value stands, from 0 to 1.
func (a axis) place(v float64) float64 {
	if a.log {
		return math.Log(v/a.low) / math.Log(a.high/a.low)
	}
	return (v - a.low) / (a.high - a.low)
}

func axisOf(p Panel) axis {
	low, high := math.Inf(1), 0.0
	for _, s := range p.Series {
		for _, at := range s.Points {
			low, high = min(low, at.Y), max(high, at.Y, at.High)
			if at.Low > 0 {
				low = min(low, at.Low)
			}
		}
	}
	if p.Log {
		a := axis{low: math.Pow(10, math.Floor(math.Log10(low))), high: math.Pow(10, math.Ceil(math.Log10(high))), log: true}
		if a.low == a.high {
			a.high *= 10
		}
		for t := a.low; t <= a.high*1.01; t *= 10 {
			a.ticks = append(a.ticks, t)
		}
		return a
	}
	if high == 0 {
		high = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(high)))
	for _, part := range []float64{.1, .2, .25, .5, 1} { // at most five steps
		if high <= 5*step*part {
			step *= part
			break
		}
		if part == 1 {
			step *= 2
		}
	}
	a := axis{high: math.Ceil(high/step) * step}
	for i := range int(math.Round(a.high/step)) + 1 {
		a.ticks = append(a.ticks, float64(i)*step)
	}
	return a
}

// Number writes 20000 as 20k, and 16384 and 0.25 as they are.
func Number(v float64) string {
	unit := ""
	switch {
	case v >= 1e6 && math.Mod(v, 1e4) == 0:
		v, unit = v/1e6, "M"
	case v >= 1e4 && math.Mod(v, 100) == 0:
		v, unit = v/1e3, "k"
	}
	s := strconv.FormatFloat(v, 'f', 4, 64)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".") + unit
}
