// Compare runs the Go benchmarks of hot pieces here and at another commit, by turns, and
// prints benchstat's table of the difference.
//
//	go run ./bench/compare -base HEAD~1
//	make bench-compare BASE=HEAD~1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/evergate/evergate/bench/internal/rig"
)

// benchstat is of golang.org/x/perf, which the gateway does not need.
const benchstat = "golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da"

// hot are the packages that a request goes through.
const hot = "cmd/evergate,cmd/evergate/internal/decisions,internal/metrics,proxy,session,session/bolt,session/redis,token"

type options struct {
	base     string
	packages []string
	bench    string
	time     string
	count    int
	dir      string // of the repository; "" is that of the working directory
}

func main() {
	var o options
	flag.StringVar(&o.base, "base", "", "the commit to compare with")
	packages := flag.String("packages", hot, "folders of packages, separated by commas")
	flag.StringVar(&o.bench, "bench", ".", "the benchmarks that run, as a regular expression")
	flag.StringVar(&o.time, "benchtime", "200ms", "for how long each runs in a round")
	flag.IntVar(&o.count, "count", 10, "rounds")
	flag.Parse()
	o.packages = strings.FieldsFunc(*packages, func(r rune) bool { return r == ',' })
	if o.base == "" || o.count < 1 || len(o.packages) == 0 {
		fmt.Fprintln(os.Stderr, "compare: want -base COMMIT, at least one round and one package")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// side is one of the two commits.
type side struct {
	name, root string
	tests      map[string]string // programs, by package
	told       *os.File
}

func run(ctx context.Context, o options, out, talk io.Writer) (err error) {
	if o.dir == "" {
		if o.dir, err = rig.Root(); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "evergate-compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	before := &side{name: "before", root: filepath.Join(dir, "base")}
	if err := command(ctx, o.dir, "git", "worktree", "add", "--quiet", "--detach", before.root, o.base); err != nil {
		return err
	}
	defer func() {
		// Also where a signal has ended ctx.
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		err = errors.Join(err, command(within, o.dir, "git", "worktree", "remove", "--force", before.root))
	}()
	sides := []*side{before, {name: "after", root: o.dir}}
	for _, s := range sides {
		fmt.Fprintf(talk, "building the benchmarks: %s\n", s.name)
		if err := s.build(ctx, dir, o.packages); err != nil {
			return err
		}
		defer s.told.Close()
	}
	for i := range o.count {
		fmt.Fprintf(talk, "round %d of %d\n", i+1, o.count)
		for _, p := range o.packages {
			for j := range sides {
				if err := sides[(i+j)%2].run(ctx, p, o); err != nil {
					return err
				}
			}
		}
	}
	stat := exec.CommandContext(ctx, "go", "run", benchstat, "before="+before.told.Name(), "after="+sides[1].told.Name())
	stat.Dir, stat.Stdout, stat.Stderr = o.dir, out, talk
	if err := stat.Run(); err != nil {
		return fmt.Errorf("benchstat: %w", err)
	}
	return nil
}

// build compiles the tests of packages that there are at this commit.
func (s *side) build(ctx context.Context, dir string, packages []string) (err error) {
	if s.told, err = os.Create(filepath.Join(dir, s.name)); err != nil {
		return err
	}
	s.tests = map[string]string{}
	for _, p := range packages {
		if _, err := os.Stat(filepath.Join(s.root, p)); errors.Is(err, os.ErrNotExist) {
			continue
		}
		program := filepath.Join(dir, s.name+"-"+strings.ReplaceAll(p, "/", "-")+".test")
		if err := command(ctx, s.root, "go", "test", "-c", "-o", program, "./"+p); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if _, err := os.Stat(program); err == nil { // none is made where there are no tests
			s.tests[p] = program
		}
	}
	return nil
}

// run runs the benchmarks of a package once.
func (s *side) run(ctx context.Context, p string, o options) error {
	program, ok := s.tests[p]
	if !ok {
		return nil
	}
	c := exec.CommandContext(ctx, program, "-test.run", "xxx", "-test.bench", o.bench, "-test.benchmem", "-test.benchtime", o.time)
	c.Dir = filepath.Join(s.root, p)
	text, err := c.Output()
	if err != nil {
		return fmt.Errorf("benchmarks of %s, %s: %w\n%s", p, s.name, err, text)
	}
	_, err = s.told.Write(text)
	return err
}

func command(ctx context.Context, dir, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, text)
	}
	return nil
}
