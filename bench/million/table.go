package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// figures are what was measured with so many sessions.
type figures struct {
	sessions           int
	fill               time.Duration
	file               int64
	start, startKilled time.Duration
	idle, touched      memory
	first, load        latencies
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
	row("sessions", func(f figures) string { return count(f.sessions) })
	b.WriteString("|---|" + strings.Repeat("--:|", len(all)) + "\n")
	row("filled, sessions a second", func(f figures) string { return count(int(float64(f.sessions) / f.fill.Seconds())) })
	row("file", func(f figures) string { return size(f.file) })
	row("file, for each session", func(f figures) string { return fmt.Sprintf("%d B", f.file/int64(f.sessions)) })
	row("start to the first answer", func(f figures) string { return milli(f.start) })
	row("the same after `kill -9`", func(f figures) string { return milli(f.startKilled) })
	row("memory, idle", func(f figures) string { return f.idle.String() })
	row("memory, sample in use", func(f figures) string { return f.touched.String() })
	row("sample, sessions", func(f figures) string { return count(len(f.first)) })
	row("first request of each, p50 / p99", func(f figures) string { return milli(f.first.at(.5)) + " / " + milli(f.first.at(.99)) })
	row("requests measured", func(f figures) string { return count(len(f.load)) })
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", .5}, {"p95", .95}, {"p99", .99}, {"longest", 1}} {
		row("request, "+q.name, func(f figures) string { return milli(f.load.at(q.at)) })
	}
	return b.String()
}

func (m memory) String() string {
	if m.rss == 0 {
		return "not shown here"
	}
	return size(m.own) + " + " + size(m.rss-m.own) + " of files"
}

func size(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

func milli(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// count writes 1000000 as 1,000,000.
func count(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// The tables of docs/performance.md stand between marks.
const (
	sessionsTable = "sessions"
	sweepTable    = "sweep"
)

func marks(name string) (begin, end string) {
	return "<!-- bench/million " + name + ": begin -->\n", "<!-- bench/million " + name + ": end -->\n"
}

// writeBetween puts text between the marks of that name in a file.
func writeBetween(file, name, text string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := marks(name)
	before, rest, ok1 := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no marks %q and %q", file, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return os.WriteFile(file, []byte(before+begin+text+end+after), 0o644)
}
