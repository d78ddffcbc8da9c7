package curves

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/evergate/evergate/bench/internal/plot"
	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/bench/internal/rig"
)

// routed is a gateway with so many routes.
type routed struct {
	subject
	start time.Duration
	idle  rig.Memory
}

// routes measures the whole gateway with more and more routes, and the look-up alone by
// its Go benchmark.
func (b *bench) routes(ctx context.Context) (res result, err error) {
	match, err := b.matches(ctx)
	if err != nil {
		return res, err
	}
	var sizes []*routed
	var subjects []*subject
	for _, n := range b.Routes {
		s, err := b.withRoutes(ctx, n)
		if err != nil {
			return res, fmt.Errorf("%d: %w", n, err)
		}
		defer s.servers[0].Kill()
		defer s.pool.Close()
		sizes, subjects = append(sizes, s), append(subjects, &s.subject)
	}
	if err := b.turns(ctx, subjects); err != nil {
		return res, err
	}
	last := sizes[len(sizes)-1]
	t := newTable("routes", counts(b.Routes))
	t.row("match alone", func(i int) string { return match[i].Format("%.0f") + " ns" })
	t.row("CPU for each request", func(i int) string { return sizes[i].cpu.Format("%.0f") + " µs" })
	t.row("request, p50 / p99", func(i int) string {
		return fmt.Sprintf("%.2f ms / %.2f ms", sizes[i].p50.Median(), sizes[i].p99.Median())
	})
	t.row("start to the first answer", func(i int) string { return report.Milli(sizes[i].start) })
	t.row("memory of its own, idle", func(i int) string { return report.Size(sizes[i].idle.Own) })
	return result{t.String(), plot.Figure{
		Title: "Routes", X: "routes",
		Text: fmt.Sprintf("With %s routes a request takes %.0f µs of CPU, and with %s it takes %.0f µs. The look-up alone takes %.0f ns and %.0f ns. With the most, the first answer comes after %.1f s.",
			report.Count(b.Routes[0]), sizes[0].cpu.Median(), report.Count(b.Routes[len(b.Routes)-1]), last.cpu.Median(),
			match[0].Median(), match[len(match)-1].Median(), last.start.Seconds()),
		Panels: []plot.Panel{
			{Y: "µs of CPU for each request", Series: []plot.Series{line("Evergate", b.Routes, func(i int) report.Rounds { return sizes[i].cpu })}},
			{Y: "ns to find the route", Series: []plot.Series{line("match alone", b.Routes, func(i int) report.Rounds { return match[i] })}},
			{Y: "at the start", Log: true, Series: []plot.Series{
				line("ms to answer", b.Routes, func(i int) report.Rounds { return one(milli(sizes[i].start)) }),
				line("MiB of memory", b.Routes, func(i int) report.Rounds { return one(float64(sizes[i].idle.Own) / (1 << 20)) })}},
		},
	}}, nil
}

// withRoutes starts a gateway with n routes, of which one in the middle is asked for.
func (b *bench) withRoutes(ctx context.Context, n int) (*routed, error) {
	var yaml strings.Builder
	wanted := n / 2
	for i := range n {
		strip := ""
		if i == wanted {
			strip = fmt.Sprintf(", strip_prefix: /app/r%d", i)
		}
		fmt.Fprintf(&yaml, "  - { match: { path: /app/r%d/ }%s, upstream: %q }\n", i, strip, b.app.URL)
	}
	g, err := b.rig.NewGateway(ctx, rig.GatewayOptions{Routes: yaml.String()})
	if err != nil {
		return nil, err
	}
	cookies, err := g.Fill(ctx, 100, 100)
	if err != nil {
		return nil, err
	}
	path := fmt.Sprintf("/app/r%d/", wanted)
	s := &routed{}
	began := time.Now()
	if err := g.Start(ctx); err != nil {
		return nil, err
	}
	if _, err := g.Get(ctx, http.DefaultClient, path, cookies[0]); err != nil {
		return nil, err
	}
	s.start, s.servers = time.Since(began), []*rig.Process{g.Process}
	if s.pool, err = newPool(ctx, []string{g.Address}, atOnce, g.Host, path, cookies); err != nil {
		return nil, err
	}
	time.Sleep(time.Second) // what the start has left is collected
	s.idle, err = g.Memory()
	return s, err
}

var benchmarkLine = regexp.MustCompile(`^BenchmarkMatch/routes=(\d+)\S*\s+\d+\s+([\d.]+) ns/op`)

// matches is what the router's benchmark says, in ns. All sizes take turns in it.
func (b *bench) matches(ctx context.Context) ([]report.Rounds, error) {
	program := filepath.Join(b.rig.Dir, "proxy.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, "./proxy")
	build.Dir = b.rig.Root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the benchmark of the router: %w: %s", err, out)
	}
	found := map[int]report.Rounds{}
	for range b.Rounds {
		cmd := exec.CommandContext(ctx, program, "-test.run", "^$", "-test.bench", "^BenchmarkMatch$", "-test.benchtime", "100ms")
		cmd.Dir = filepath.Join(b.rig.Root, "proxy")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("the benchmark of the router: %w: %s", err, out)
		}
		if err := readMatches(string(out), found); err != nil {
			return nil, err
		}
	}
	var all []report.Rounds
	for _, n := range b.Routes {
		if len(found[n]) != b.Rounds {
			return nil, fmt.Errorf("the benchmark of the router has no round of %d routes, or lacks one", n)
		}
		all = append(all, found[n])
	}
	return all, nil
}

// readMatches adds what one run of the benchmark has printed.
func readMatches(text string, to map[int]report.Rounds) error {
	for line := range strings.Lines(text) {
		m := benchmarkLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return fmt.Errorf("the benchmark of the router says %q: %w", line, err)
		}
		ns, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return fmt.Errorf("the benchmark of the router says %q: %w", line, err)
		}
		to[n] = append(to[n], ns)
	}
	return nil
}
