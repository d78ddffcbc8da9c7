package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/evergate/evergate/bench/internal/report"
)

// decision runs the Go benchmarks of what a request is decided by, without network.
func (b *bench) decision(ctx context.Context) ([]goal, string, error) {
	fmt.Fprintf(b.talk, "Go benchmarks, %d times each\n", b.count)
	test := exec.CommandContext(ctx, "go", "test", "-run", "xxx", "-bench", "^BenchmarkDecide(Cookie)?$", "-benchmem",
		"-benchtime", "0.3s", "-count", strconv.Itoa(b.count), "./cmd/evergate")
	test.Dir = b.rig.Root
	out, err := test.CombinedOutput()
	if err != nil {
		return nil, "", fmt.Errorf("go test -bench Decide: %w\n%s", err, out)
	}
	all := readBenchmarks(string(out))
	few, many := all["Decide/match/10"], all["Decide/match/10000"]
	if few == nil || many == nil {
		return nil, "", fmt.Errorf("go test -bench Decide: there is no Decide/match/10 or no Decide/match/10000:\n%s", out)
	}
	goals := append(decisionGoals(all),
		atMost("route match among 10,000 routes: time", 2, " × 10 routes", "%.2f", many.ns.Over(few.ns)),
		atMost("the same: allocations", 0, "", "%.0f", many.allocs))
	var rows [][]string
	for _, name := range all.names() {
		f := all[name]
		rows = append(rows, []string{"`Benchmark" + name + "`", f.ns.Format("%.0f"), f.bytes.Format("%.0f"), f.allocs.Format("%.0f")})
	}
	return goals, "Go benchmarks of the decision, in the gateway's code without a network:\n\n" +
		table([]string{"", "ns", "bytes", "allocations"}, rows...), nil
}

// decisionGoals are those of the way from the cookie to the Login and its policy: the
// dearest of BenchmarkDecideCookie's kinds counts.
func decisionGoals(all benchmarks) []goal {
	const time, allocations = "decision alone, from cookie to Login to policy: time", "the same: allocations"
	var ns, allocs report.Rounds
	for name, f := range all {
		if !strings.HasPrefix(name, "DecideCookie") {
			continue
		}
		if ns == nil || f.ns.Median() > ns.Median() {
			ns = f.ns
		}
		if allocs == nil || f.allocs.Median() > allocs.Median() {
			allocs = f.allocs
		}
	}
	if ns == nil {
		return []goal{{time, "≤ 1500 ns", "no BenchmarkDecideCookie here", false}, {allocations, "≤ 2", "", false}}
	}
	return []goal{atMost(time, 1500, " ns", "%.0f", ns), atMost(allocations, 2, "", "%.0f", allocs)}
}

// figures are what a Go benchmark told, each time that it ran.
type figures struct{ ns, bytes, allocs report.Rounds }

// benchmarks are figures by name, without "Benchmark" and the number of cores.
type benchmarks map[string]*figures

// readBenchmarks reads the lines that `go test -bench` prints, in the form of
// golang.org/design/14313-benchmark-format.
func readBenchmarks(text string) benchmarks {
	all := benchmarks{}
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(f[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			if _, err := strconv.Atoi(name[i+1:]); err == nil {
				name = name[:i]
			}
		}
		if all[name] == nil {
			all[name] = &figures{}
		}
		for i := 2; i+1 < len(f); i += 2 {
			n, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				break
			}
			switch f[i+1] {
			case "ns/op":
				all[name].ns = append(all[name].ns, n)
			case "B/op":
				all[name].bytes = append(all[name].bytes, n)
			case "allocs/op":
				all[name].allocs = append(all[name].allocs, n)
			}
		}
	}
	return all
}

// names are sorted, shorter ones first where one is the longer number.
func (b benchmarks) names() []string {
	return slices.SortedFunc(maps.Keys(b), func(x, y string) int {
		kind := func(s string) string { return strings.TrimRight(s, "0123456789") }
		return cmp.Or(cmp.Compare(kind(x), kind(y)), cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
	})
}
