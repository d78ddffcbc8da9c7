package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/evergate/evergate/bench/internal/report"
)

// figures are what was measured with so many sessions.
type figures struct {
	sessions           int
	fill               time.Duration
	file               int64
	start, startKilled time.Duration
	idle, touched      memory
	first, load        report.Latencies
}

// table is figures in markdown, a column for each number of sessions.
func table(all []figures) string {
	var b strings.Builder
	row := func(name string, cell func(f figures) string) {
		fmt.Fprintf(&b, "| %s |", name)
		for _, f := range all {
			fmt.Fprintf(&b, " %s |", cell(f))
		}
		b.WriteByte('\n')
	}
	row("sessions", func(f figures) string { return report.Count(f.sessions) })
	b.WriteString("|---|" + strings.Repeat("--:|", len(all)) + "\n")
	row("filled, sessions a second", func(f figures) string { return report.Count(int(float64(f.sessions) / f.fill.Seconds())) })
	row("file", func(f figures) string { return report.Size(f.file) })
	row("file, for each session", func(f figures) string { return fmt.Sprintf("%d B", f.file/int64(f.sessions)) })
	row("start to the first answer", func(f figures) string { return report.Milli(f.start) })
	row("the same after `kill -9`", func(f figures) string { return report.Milli(f.startKilled) })
	row("memory, idle", func(f figures) string { return f.idle.String() })
	row("memory, sample in use", func(f figures) string { return f.touched.String() })
	row("sample, sessions", func(f figures) string { return report.Count(len(f.first)) })
	row("first request of each, p50 / p99", func(f figures) string { return report.Milli(f.first.At(.5)) + " / " + report.Milli(f.first.At(.99)) })
	row("requests measured", func(f figures) string { return report.Count(len(f.load)) })
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", .5}, {"p95", .95}, {"p99", .99}, {"longest", 1}} {
		row("request, "+q.name, func(f figures) string { return report.Milli(f.load.At(q.at)) })
	}
	return b.String()
}

func (m memory) String() string {
	if m.rss == 0 {
		return "not shown here"
	}
	return report.Size(m.own) + " + " + report.Size(m.rss-m.own) + " of files"
}

// The tables of docs/performance.md stand between these marks.
const (
	sessionsTable = "bench/million sessions"
	sweepTable    = "bench/million sweep"
)
