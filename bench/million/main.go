// Million shows what a million sessions cost: it fills a store through
// session.Manager, starts the real gateway on it and measures both. The bolt
// file, memory, the start and authenticated requests stand beside those of a
// thousand sessions.
//
//	go run ./bench/million -n 1000,1000000
//	make bench-million    # and writes docs/performance.md
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/evergate/evergate/bench/internal/report"
)

type options struct {
	sizes   []int
	dir     string
	samples int
	conns   int
	load    time.Duration
	sweep   int
	write   bool
}

func main() {
	var o options
	sizes := flag.String("n", "1000,1000000", "numbers of sessions, separated by commas; none leaves them out")
	flag.StringVar(&o.dir, "dir", "", "a folder on the disk to measure; default: a temporary one")
	flag.IntVar(&o.samples, "samples", 10_000, "how many of the sessions send requests")
	flag.IntVar(&o.conns, "conns", 8, "keep-alive connections")
	flag.DurationVar(&o.load, "for", 20*time.Second, "how long requests are measured")
	flag.IntVar(&o.sweep, "sweep", 50_000, "expired sessions to sweep while others are written; 0 leaves that out")
	flag.BoolVar(&o.write, "write", false, "put the tables into docs/performance.md")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for _, s := range strings.FieldsFunc(*sizes, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(strings.ReplaceAll(strings.TrimSpace(s), "_", ""))
		if err != nil || n < 1 {
			fmt.Fprintf(os.Stderr, "million: -n %s: want numbers above zero\n", *sizes)
			os.Exit(2)
		}
		o.sizes = append(o.sizes, n)
	}
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "million:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out, talk io.Writer) (err error) {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "evergate-million-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "evergate")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin, "./cmd/evergate")
	build.Dir = root
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build evergate: %w: %s", err, text)
	}
	show := func(name, text string) error {
		fmt.Fprintln(out, text)
		if !o.write {
			return nil
		}
		return report.Between(filepath.Join(root, "docs", "performance.md"), name, text)
	}
	var all []figures
	for _, n := range o.sizes {
		f, err := measure(ctx, o, n, filepath.Join(dir, strconv.Itoa(n)), bin, talk)
		if err != nil {
			return fmt.Errorf("%d sessions: %w", n, err)
		}
		all = append(all, f)
	}
	if len(all) > 0 {
		if err := show(sessionsTable, table(all)); err != nil {
			return err
		}
	}
	if o.sweep == 0 {
		return nil
	}
	fmt.Fprintf(talk, "sweeping %d expired sessions\n", o.sweep)
	text, err := measureSweep(ctx, filepath.Join(dir, "sweep.db"), o.sweep)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return show(sweepTable, text)
}

// measure fills a store, and starts the gateway on it three times: as it is, after
// a kill, and after that kill's start has been ended in order.
func measure(ctx context.Context, o options, n int, dir, bin string, talk io.Writer) (figures, error) {
	f := figures{sessions: n}
	g, err := newGateway(ctx, dir, bin)
	if err != nil {
		return f, err
	}
	defer g.Close()
	fmt.Fprintf(talk, "filling %d sessions\n", n)
	began := time.Now()
	cookies, err := fill(ctx, g, n, min(n, o.samples))
	if err != nil {
		return f, fmt.Errorf("fill: %w", err)
	}
	f.fill = time.Since(began)
	fi, err := os.Stat(filepath.Join(dir, "data", "sessions.db"))
	if err != nil {
		return f, err
	}
	f.file = fi.Size()
	if f.start, err = g.start(ctx, cookies[0]); err != nil {
		return f, err
	}
	if err := g.kill(); err != nil {
		return f, err
	}
	if f.startKilled, err = g.start(ctx, cookies[0]); err != nil {
		return f, err
	}
	if err := g.stop(); err != nil {
		return f, err
	}
	if _, err = g.start(ctx, cookies[0]); err != nil {
		return f, err
	}
	time.Sleep(2 * time.Second) // what the start has left is collected
	f.idle = memoryOf(g.pid())
	fmt.Fprintf(talk, "requests with %d of %d sessions\n", len(cookies), n)
	if f.first, err = g.each(ctx, cookies, o.conns); err != nil {
		return f, err
	}
	f.touched = memoryOf(g.pid())
	if f.load, err = g.random(ctx, cookies, o.conns, o.load); err != nil {
		return f, err
	}
	return f, g.stop()
}

// moduleRoot is the folder of go.mod, from which evergate is built.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", fmt.Errorf("run it inside the repository, as make bench-million does")
	}
	return filepath.Dir(mod), nil
}
