// Fuzz runs each fuzz target of the module for a while, and says how much each was tried:
//
//	go run ./internal/fuzz -time 60s
//
// It finds the targets itself, so that none is forgotten. A package is built once for all of
// its targets, which go test -fuzz would do for each.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	each := flag.Duration("time", time.Minute, "how long each target is run")
	beside := flag.Int("beside", 2, "how many run beside each other, with one worker each")
	anew := flag.Bool("anew", false, "begin with what the repository has alone, without what earlier runs have found on this machine")
	only := flag.String("only", "", "a regular expression for package and target, such as 'session FuzzC'")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, ".", options{*each, *beside, *anew, *only}); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct {
	each   time.Duration
	beside int
	anew   bool
	only   string
}

// pkg is a package with targets.
type pkg struct{ path, dir string }

// target is one that is to be run.
type target struct {
	pkg
	name, program string
}

// run runs the targets of the module in dir. The error says which of them failed.
func run(ctx context.Context, out io.Writer, dir string, o options) error {
	wanted, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	pkgs, cache, err := packages(ctx, dir, wanted)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "fuzz")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if o.anew {
		cache = tmp
	}

	var mu sync.Mutex // guards out, failed, targets
	var failed []error
	var targets []target
	inParallel(o.beside, pkgs, func(p pkg) {
		program := filepath.Join(tmp, strings.ReplaceAll(p.path, "/", "-")+".test")
		names, err := build(ctx, p, program)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = append(failed, err)
		}
		for _, name := range names {
			if wanted.MatchString(p.path + " " + name) {
				targets = append(targets, target{p, name, program})
			}
		}
	})
	if len(failed) == 0 && len(targets) == 0 {
		return fmt.Errorf("no target is called %q", o.only)
	}
	total := 0
	inParallel(o.beside, targets, func(t target) {
		said, each, err := t.fuzzFor(ctx, o.each, filepath.Join(cache, "fuzz", t.path))
		n := executions(said)
		mu.Lock()
		defer mu.Unlock()
		total += n
		fmt.Fprintf(out, "%9d executions  %s %s\n", n, t.path, t.name)
		switch {
		case err != nil:
			fmt.Fprintf(out, "%s\n", said)
			failed = append(failed, fmt.Errorf("%s in %s: %w", t.name, t.path, err))
		case n == 0:
			failed = append(failed, fmt.Errorf("%s in %s was not tried at all within %v", t.name, t.path, each))
		}
	})
	fmt.Fprintf(out, "%9d executions of %d targets in %d packages\n", total, len(targets), len(pkgs))
	return errors.Join(failed...)
}

// declared finds targets in the text of a test. What there really is the test program says.
var declared = regexp.MustCompile(`(?m)^func (Fuzz\w*)\(`)

// packages are those of the module in dir that have wanted targets in their tests, and where Go
// keeps what it has built and tried. To build one for fuzzing takes longer than to look.
func packages(ctx context.Context, dir string, wanted *regexp.Regexp) (all []pkg, cache string, err error) {
	const format = `{{.ImportPath}}{{"\t"}}{{.Dir}}{{range .TestGoFiles}}{{"\t"}}{{.}}{{end}}{{range .XTestGoFiles}}{{"\t"}}{{.}}{{end}}`
	list, err := goSays(ctx, dir, "list", "-f", format, "./...")
	if err != nil {
		return nil, "", err
	}
	for line := range strings.Lines(list) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		for _, name := range f[2:] {
			text, err := os.ReadFile(filepath.Join(f[1], name))
			if err != nil {
				return nil, "", err
			}
			if slices.ContainsFunc(declared.FindAllSubmatch(text, -1), func(m [][]byte) bool { return wanted.MatchString(f[0] + " " + string(m[1])) }) {
				all = append(all, pkg{f[0], f[1]})
				break
			}
		}
	}
	cache, err = goSays(ctx, dir, "env", "GOCACHE")
	return all, strings.TrimSpace(cache), err
}

// build makes the test program of a package, which notices what code an input reaches, and
// returns the names of its targets.
func build(ctx context.Context, p pkg, program string) (names []string, err error) {
	if _, err := goSays(ctx, p.dir, "test", "-c", "-vet=off", "-fuzz=.", "-o", program, "."); err != nil {
		return nil, err
	}
	list := exec.CommandContext(ctx, program, "-test.list=^Fuzz")
	list.Dir = p.dir
	said, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the targets of %s: %w", p.path, err)
	}
	return strings.Fields(string(said)), nil
}

// fuzzFor runs a target for so long, and for longer where it was not tried at all: on a machine
// that is busy, the inputs that are known take as long. It returns for how long it went on last.
func (t *target) fuzzFor(ctx context.Context, each time.Duration, cache string) (said string, last time.Duration, err error) {
	for longest := 16 * each; ; each *= 4 {
		said, err = t.fuzz(ctx, each, cache)
		if err != nil || executions(said) > 0 || each >= longest || ctx.Err() != nil {
			return said, each, err
		}
	}
}

// fuzz runs a target and returns all that it says. What it finds it leaves in testdata/fuzz.
func (t *target) fuzz(ctx context.Context, each time.Duration, cache string) (said string, err error) {
	cmd := exec.CommandContext(ctx, t.program, "-test.run=^$", "-test.fuzz=^"+t.name+"$", "-test.fuzztime="+each.String(),
		"-test.fuzzminimizetime=20x", "-test.parallel=1", "-test.fuzzcachedir="+cache)
	cmd.Dir = t.dir
	out, err := cmd.CombinedOutput()
	if err != nil && timeIsUp(string(out)) {
		err = nil
	}
	return string(out), err
}

// timeIsUp reports whether all that went wrong is that the time was up, which Go 1.26 now and
// then calls a failure (golang/go#75804, mended in 1.27). What is found is always written down.
func timeIsUp(said string) bool {
	_, why, failed := strings.Cut(said, "\n--- FAIL: ")
	_, why, _ = strings.Cut(why, "\n")
	return failed && strings.TrimSpace(why) == "context deadline exceeded\nFAIL"
}

var execs = regexp.MustCompile(`execs: (\d+)`)

// executions is how often a target was run, by what it says last.
func executions(said string) (n int) {
	if all := execs.FindAllStringSubmatch(said, -1); len(all) > 0 {
		n, _ = strconv.Atoi(all[len(all)-1][1])
	}
	return n
}

// inParallel does a thing with each of all, so many at a time.
func inParallel[T any](n int, all []T, do func(T)) {
	var wg sync.WaitGroup
	free := make(chan struct{}, max(n, 1))
	for _, one := range all {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			do(one)
		})
	}
	wg.Wait()
}

// goSays runs the go command.
func goSays(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	var problem bytes.Buffer
	cmd.Stderr = &problem
	said, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s in %s: %w\n%s", args[0], dir, err, &problem)
	}
	return string(said), nil
}
