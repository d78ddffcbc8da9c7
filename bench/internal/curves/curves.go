// Package curves measures how the gateway's costs grow, with sessions, routes, replicas,
// open connections and the size of the cookie, and draws that for docs/performance.md.
//
// What is compared runs at the same time and takes turns, round after round, so that a
// machine that is busy with something else is so for all of it.
package curves

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/bench/internal/plot"
	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/bench/internal/rig"
)

// Options say how much is measured. Full is what make bench does.
type Options struct {
	// Only are the names of curves; none are all.
	Only   []string
	Rounds int
	// Load is for how long requests are sent in a round.
	Load time.Duration
	// Sessions, Routes, Replicas, Connections and Claims are what the curves go over;
	// claims in bytes. Samples is how many sessions send requests.
	Sessions, Routes, Replicas, Connections, Claims []int
	Samples                                         int
	// TTL is how long access tokens live where renewals are counted.
	TTL time.Duration
	// Expired is how many sessions are swept, and Quiet how long writes are measured
	// when they are gone.
	Expired int
	Quiet   time.Duration
	// Docs is the folder whose performance.md gets the tables, and the pictures; "" is none.
	Docs string
}

// Full takes about seven minutes on two cores.
var Full = Options{
	Rounds: 5, Load: time.Second, Samples: 10_000,
	Sessions:    []int{1000, 10_000, 100_000, 1_000_000},
	Routes:      []int{10, 100, 1000, 10_000, 100_000},
	Replicas:    []int{1, 2, 3, 4},
	Connections: []int{10, 100, 1000, 10_000},
	Claims:      []int{512, 1024, 2048, 4096, 8192, 16384},
	TTL:         20 * time.Second,
	Expired:     20_000, Quiet: 3 * time.Second,
}

// result is what one part of it found.
type result struct {
	table  string
	figure plot.Figure // none without a title
}

type curve struct {
	name    string
	measure func(*bench, context.Context) (result, error)
}

var all = []curve{
	{"sessions", (*bench).sessions},
	{"sweep", (*bench).sweep},
	{"routes", (*bench).routes},
	{"replicas", (*bench).replicas},
	{"connections", (*bench).connections},
	{"cookie", (*bench).cookie},
}

// Names are those of the curves.
func Names() (names []string) {
	for _, c := range all {
		names = append(names, c.name)
	}
	return names
}

type bench struct {
	Options
	rig  *rig.Rig
	app  *rig.Server
	talk io.Writer
}

// Run measures, and prints tables to out. App is an upstream that runs.
func Run(ctx context.Context, r *rig.Rig, app *rig.Server, o Options, out, talk io.Writer) error {
	for _, name := range o.Only {
		if !slices.Contains(Names(), name) {
			return fmt.Errorf("there is no curve %q: want some of %s", name, strings.Join(Names(), ", "))
		}
	}
	if len(o.Sessions) == 0 {
		return errors.New("there are no sessions to measure")
	}
	b := &bench{o, r, app, talk}
	for _, c := range all {
		if len(o.Only) > 0 && !slices.Contains(o.Only, c.name) {
			continue
		}
		began := time.Now()
		res, err := c.measure(b, ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(talk, "%s took %s\n", c.name, time.Since(began).Round(time.Second))
		fmt.Fprintln(out, res.table)
		if err := b.keep(c.name, res); err != nil {
			return err
		}
	}
	return nil
}

// picture is the file of a curve's picture.
func picture(docs, name string) string { return filepath.Join(docs, "performance-"+name+".svg") }

// page is where tables and pictures are shown, between marks of such a name.
func page(docs string) string { return filepath.Join(docs, "performance.md") }

func mark(name string) string { return "bench curve " + name }

// keep draws a result, and writes it if that is asked for.
func (b *bench) keep(name string, res result) error {
	var svg []byte
	if res.figure.Title != "" {
		var err error
		if svg, err = res.figure.SVG(); err != nil {
			return err
		}
	}
	if b.Docs == "" {
		return nil
	}
	if svg != nil {
		if err := os.WriteFile(picture(b.Docs, name), svg, 0o644); err != nil {
			return err
		}
	}
	return report.Between(page(b.Docs), mark(name), res.table)
}

// subject is one of those that take turns.
type subject struct {
	servers []*rig.Process // whose CPU time is counted
	pool    *pool
	costs
}

// costs are figures of each round.
type costs struct{ cpu, p50, p99 report.Rounds } // microseconds, milliseconds

// turns sends requests to one after the other, in each round beginning with another.
func (b *bench) turns(ctx context.Context, subjects []*subject) error {
	for _, s := range subjects { // connections are made, and caches filled
		if err := s.pool.dial(ctx); err != nil {
			return err
		}
		if _, err := s.pool.run(ctx, b.Load); err != nil {
			return err
		}
	}
	for round := range b.Rounds {
		for i := range subjects {
			if err := subjects[(i+round)%len(subjects)].once(ctx, b.Load); err != nil {
				return err
			}
		}
	}
	return nil
}

// once sends requests for a while, and notes what they cost.
func (s *subject) once(ctx context.Context, d time.Duration) error {
	before, err1 := cpu(s.servers)
	latencies, err := s.pool.run(ctx, d)
	after, err2 := cpu(s.servers)
	if err = errors.Join(err, err1, err2); err != nil {
		return err
	}
	if len(latencies) == 0 {
		return errors.New("there was no answer")
	}
	s.cpu = append(s.cpu, float64(after-before)/float64(time.Microsecond)/float64(len(latencies)))
	s.p50 = append(s.p50, milli(latencies.At(.5)))
	s.p99 = append(s.p99, milli(latencies.At(.99)))
	return nil
}

func milli(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func cpu(servers []*rig.Process) (sum time.Duration, err error) {
	for _, s := range servers {
		one, err := s.CPU()
		if err != nil {
			return 0, err
		}
		sum += one
	}
	return sum, nil
}

// point is the median of rounds, and their spread.
func point(x float64, r report.Rounds) plot.Point {
	return plot.Point{X: x, Y: r.Median(), Low: r.Min(), High: r.Max()}
}

// line is a series over xs of what get finds for each.
func line(name string, xs []int, get func(i int) report.Rounds) (s plot.Series) {
	s.Name = name
	for i, x := range xs {
		s.Points = append(s.Points, point(float64(x), get(i)))
	}
	return s
}

// one is a figure that was measured once.
func one(v float64) report.Rounds { return report.Rounds{v} }

// table is rows of markdown, a column for each x.
type table struct {
	b    strings.Builder
	cols int
}

func newTable(name string, heads []string) *table {
	t := &table{cols: len(heads)}
	fmt.Fprintf(&t.b, "| %s | %s |\n|---|%s\n", name, strings.Join(heads, " | "), strings.Repeat("--:|", len(heads)))
	return t
}

func (t *table) row(name string, cell func(i int) string) {
	fmt.Fprintf(&t.b, "| %s |", name)
	for i := range t.cols {
		fmt.Fprintf(&t.b, " %s |", cell(i))
	}
	t.b.WriteByte('\n')
}

func (t *table) String() string { return t.b.String() }

func counts(ns []int) (all []string) {
	for _, n := range ns {
		all = append(all, report.Count(n))
	}
	return all
}
