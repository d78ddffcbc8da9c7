package dashboard

import (
	"fmt"
	"strings"
)

// Chart is the renewals of the last quarter of an hour, each second's. The page draws it as
// SVG; the script hands it to uPlot.
type Chart struct {
	// End is the end of the last value, in Unix seconds, and Step what is between two.
	End  int64 `json:"end"`
	Step int64 `json:"step"`
	// Values are worked, failed and refused, the oldest first.
	Values [3][]float64 `json:"values"`
	// Words tell it to whoever does not see it.
	Words string `json:"words"`
}

func (h *Handler) chart() (c Chart) {
	series, end := h.src.History.Series(chartSlots)
	c.End, c.Step = end.Unix(), int64(step.Seconds())
	for i, kind := range []int{renewed, renewFailed, renewRefused} {
		c.Values[i] = make([]float64, chartSlots)
		for j, n := range series[kind] {
			c.Values[i][j] = float64(n) / step.Seconds()
		}
	}
	c.Words = c.words()
	return c
}

// Most is the highest value, for the scale.
func (c Chart) Most() float64 {
	most := 0.2
	for _, values := range c.Values {
		for _, v := range values {
			most = max(most, v)
		}
	}
	return most
}

const (
	chartWidth  = 600
	chartHeight = 140
)

// Lines are the points of three polylines.
func (c Chart) Lines() (lines [3]string) {
	most := c.Most()
	for i, values := range c.Values {
		var b strings.Builder
		for j, v := range values {
			if j > 0 && j < len(values)-1 && values[j-1] == v && values[j+1] == v {
				continue // the line goes on as it is
			}
			fmt.Fprintf(&b, "%.1f,%.1f ", float64(j)*chartWidth/float64(len(values)-1), chartHeight-v/most*(chartHeight-4)-2)
		}
		lines[i] = strings.TrimSpace(b.String())
	}
	return lines
}

func (c Chart) words() string {
	last := len(c.Values[0]) - 1
	return fmt.Sprintf("Renewals per second in the last 15 minutes: now %.1f work, %.1f fail and %.1f are refused; the highest value is %.1f. The table below has the numbers.",
		c.Values[0][last], c.Values[1][last], c.Values[2][last], c.Most())
}

// Bars are the renewals due in the next hour, by five minutes.
type Bars struct {
	Counts []int `json:"counts"`
	Most   int   `json:"most"`
	// Words tell them to whoever does not see them.
	Words string `json:"words"`
}

// Bar is one of them, drawn.
type Bar struct{ X, Y, Height, Width int }

// Drawn are the bars in a picture of 600 by 100.
func (b Bars) Drawn() (all []Bar) {
	for i, n := range b.Counts {
		height := n * 100 / b.Most
		all = append(all, Bar{X: i*50 + 4, Y: 100 - height, Height: height, Width: 42})
	}
	return all
}

func (b Bars) words() string {
	n := 0
	for _, c := range b.Counts {
		n += c
	}
	return fmt.Sprintf("Renewals due in the next hour by five minutes: %d altogether, at most %d in one bar. The table below has the numbers.", n, b.Most)
}
