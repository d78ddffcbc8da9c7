package dashboard

import (
	"fmt"
	"strconv"
	"time"
)

// Cell is a piece of text with what belongs to it. Templates render it, and the script puts
// it in the same place later.
type Cell struct {
	Text string `json:"t"`
	// Tone is good, warn, bad or quiet; "" is none of them. The text says the same.
	Tone string `json:"c,omitempty"`
	// At is the time that Text tells, for programs.
	At string `json:"at,omitempty"`
	// More is a second line.
	More string `json:"m,omitempty"`
}

// Table is rows of cells. The first cell of a row is its head.
type Table struct {
	ID, Caption string
	Heads       []string
	Rows        [][]Cell
	// None is said where there are no rows.
	None string
}

// Fact is one thing to know.
type Fact struct {
	ID, Label string
	Cell
}

func text(s string) Cell { return Cell{Text: s} }

func number(n uint64) Cell {
	c := Cell{Text: strconv.FormatUint(n, 10)}
	if n == 0 {
		c.Tone = "quiet"
	}
	return c
}

// moment tells a time in UTC, with the day where it is not today's.
func moment(t, now time.Time) Cell {
	if t.IsZero() {
		return Cell{Text: "–", Tone: "quiet"}
	}
	t, now = t.UTC(), now.UTC()
	layout := "15:04:05"
	if t.Format(time.DateOnly) != now.Format(time.DateOnly) {
		layout = "2006-01-02 15:04"
	}
	return Cell{Text: t.Format(layout), At: t.Format(time.RFC3339)}
}

// duration tells one in the two units that matter.
func duration(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
