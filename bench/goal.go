package main

import (
	"fmt"
	"strings"

	"github.com/evergate/evergate/bench/internal/report"
)

// goal is one line of the table: what was wanted, and what was found.
type goal struct {
	what, want, got string
	met             bool
}

// atMost is a goal for the median of rounds, written as format says.
func atMost(what string, limit float64, unit, format string, got report.Rounds) goal {
	return goal{what, "≤ " + fmt.Sprintf(format, limit) + unit, got.Format(format) + unit, len(got) > 0 && got.Median() <= limit}
}

// atLeast is one from the other side.
func atLeast(what string, limit float64, unit, format string, got report.Rounds) goal {
	return goal{what, "≥ " + fmt.Sprintf(format, limit) + unit, got.Format(format) + unit, len(got) > 0 && got.Median() >= limit}
}

// goalTable is goals in markdown.
func goalTable(all []goal) string {
	var b strings.Builder
	b.WriteString("| what | goal | median (lowest–highest) | met |\n|---|--:|--:|---|\n")
	for _, g := range all {
		met := "yes"
		if !g.met {
			met = "**no**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", g.what, g.want, g.got, met)
	}
	return b.String()
}

// table is a table in markdown whose first column is text.
func table(head []string, rows ...[]string) string {
	var b strings.Builder
	b.WriteString("| " + strings.Join(head, " | ") + " |\n|---|" + strings.Repeat("--:|", len(head)-1) + "\n")
	for _, r := range rows {
		b.WriteString("| " + strings.Join(r, " | ") + " |\n")
	}
	return b.String()
}
