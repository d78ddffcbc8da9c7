// Bench measures what a request through the gateway costs beside the same request through
// httputil.ReverseProxy alone, and beside none, and holds the figures against their goals.
//
//	make bench                               # all of it, into docs/performance.md
//	go run ./bench -parts requests -rounds 5 # a part of it, to look at
//
// Whatever is compared takes turns, round after round, each round in another order: a
// machine that is busy with something else is so for all of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/evergate/evergate/bench/internal/curves"
	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/bench/internal/rig"
)

type options struct {
	parts    []string
	dir      string
	rounds   int
	load     time.Duration
	conns    int
	sessions int
	sockets  int
	body     int64
	starts   int
	count    int
	write    bool
	curves   *curves.Options // none without
}

// bench is one run of it.
type bench struct {
	options
	rig  *rig.Rig
	talk io.Writer
	app  *rig.Server
}

// part is some rows of the table, and what stands below it.
type part struct {
	name    string
	measure func(*bench, context.Context) (goals []goal, detail string, err error)
}

var parts = []part{
	{"requests", (*bench).requests},
	{"decision", (*bench).decision},
	{"renewal", (*bench).renewal},
	{"cold", (*bench).cold},
	{"sockets", (*bench).webSockets},
	{"bodies", (*bench).bodies},
	{"weight", (*bench).weight},
}

func main() {
	var o options
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	some := flag.String("parts", strings.Join(names, ","), "what is measured")
	flag.StringVar(&o.dir, "dir", "", "a folder on the disk to measure; default: a temporary one")
	flag.IntVar(&o.rounds, "rounds", 7, "rounds of requests; other parts have five of them at most")
	flag.DurationVar(&o.load, "for", 2*time.Second, "how long requests are sent in a round, in whole seconds")
	flag.IntVar(&o.conns, "conns", 16, "keep-alive connections")
	flag.IntVar(&o.sessions, "sessions", 300, "sessions that are renewed, and that are seen for the first time")
	flag.IntVar(&o.sockets, "sockets", 2000, "open WebSockets")
	flag.Int64Var(&o.body, "body", 1<<30, "bytes of a large body")
	flag.IntVar(&o.starts, "starts", 5, "starts after which the memory is read")
	flag.IntVar(&o.count, "count", 5, "how often each Go benchmark runs")
	flag.BoolVar(&o.write, "write", false, "put the tables into docs/performance.md")
	grow := flag.Bool("curves", true, "with all parts, measure too how costs grow, as go run ./bench/curves does")
	within := flag.Duration("within", 14*time.Minute, "give up after this time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *within)
	defer cancel()
	o.parts = strings.FieldsFunc(*some, func(r rune) bool { return r == ',' })
	if *grow && len(o.parts) == len(names) {
		o.curves = &curves.Full
	}
	if err := o.check(names); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (o options) check(names []string) error {
	for _, p := range o.parts {
		if !slices.Contains(names, p) {
			return fmt.Errorf("-parts %s: want some of %s", p, strings.Join(names, ", "))
		}
	}
	if o.write && len(o.parts) != len(names) {
		return errors.New("-write is for all parts together: the table of a page is that of one run")
	}
	if min(o.rounds, o.conns, o.sessions, o.sockets, o.starts, o.count) < 1 || o.body < 1 {
		return errors.New("want numbers above zero")
	}
	return nil
}

// few is for parts whose rounds take long.
func (o options) few() int { return min(o.rounds, 5) }

// run measures the parts, says what it found and, if asked, writes it.
func run(ctx context.Context, o options, out, talk io.Writer) (err error) {
	r, err := rig.New(ctx, o.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	b := &bench{options: o, rig: r, talk: talk}
	if b.app, err = r.Upstream(ctx); err != nil {
		return err
	}
	var goals []goal
	var details []string
	began := time.Now()
	for _, p := range parts {
		if !slices.Contains(o.parts, p.name) {
			continue
		}
		at := time.Now()
		more, detail, err := p.measure(b, ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintf(talk, "%s took %s\n", p.name, time.Since(at).Round(time.Second))
		goals = append(goals, more...)
		if detail != "" {
			details = append(details, detail)
		}
	}
	texts := []struct{ name, text string }{
		{"bench goals", goalTable(goals) + "\n" + machine(began)},
		{"bench details", strings.Join(details, "\n")},
	}
	for _, t := range texts {
		fmt.Fprintln(out, t.text)
		if !o.write {
			continue
		}
		if err := report.Between(filepath.Join(r.Root, "docs", "performance.md"), t.name, t.text); err != nil {
			return err
		}
	}
	if o.curves == nil {
		return nil
	}
	if o.write {
		o.curves.Docs = filepath.Join(r.Root, "docs")
	}
	return curves.Run(ctx, r, b.app, *o.curves, out, talk)
}

// machine says where the figures are from, and how busy it was.
func machine(began time.Time) string {
	model := "a processor of unknown make"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	load := "unknown"
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 2 {
			load = f[2]
		}
	}
	return fmt.Sprintf("Measured on %s in %s: %d cores of %s, %s, load average over 15 minutes %s.\n",
		began.UTC().Format(time.DateOnly), time.Since(began).Round(time.Second), runtime.NumCPU(), model, runtime.Version(), load)
}
