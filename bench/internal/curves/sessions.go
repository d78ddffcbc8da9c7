package curves

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/evergate/evergate/bench/internal/plot"
	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/bench/internal/rig"
)

// stored is what was measured with so many sessions in one bolt file.
type stored struct {
	subject
	gateway            *rig.Gateway
	n, samples         int
	fill               time.Duration
	file               int64
	start, startKilled report.Rounds // milliseconds
	idle, used         rig.Memory
	first              report.Latencies
}

// sessions measures the gateway on bolt files that hold more and more.
func (b *bench) sessions(ctx context.Context) (res result, err error) {
	var sizes []*stored
	var subjects []*subject
	for _, n := range b.Sessions {
		s, err := b.store(ctx, n)
		if err != nil {
			return res, fmt.Errorf("%d: %w", n, err)
		}
		defer s.gateway.Kill()
		defer s.pool.Close()
		sizes, subjects = append(sizes, s), append(subjects, &s.subject)
	}
	if err := b.turns(ctx, subjects); err != nil {
		return res, err
	}
	t := newTable("sessions", counts(b.Sessions))
	row := func(name string, cell func(s *stored) string) {
		t.row(name, func(i int) string { return cell(sizes[i]) })
	}
	row("made and filled in, a second", func(s *stored) string { return report.Count(int(float64(s.n) / s.fill.Seconds())) })
	row("file", func(s *stored) string { return report.Size(s.file) })
	row("file, for each session", func(s *stored) string { return fmt.Sprintf("%d B", s.file/int64(s.n)) })
	row("start to the first answer", func(s *stored) string { return s.start.Format("%.0f") + " ms" })
	row("the same after `kill -9`", func(s *stored) string { return s.startKilled.Format("%.0f") + " ms" })
	memory := func(m rig.Memory) string { return report.Size(m.Own) + " + " + report.Size(m.Files()) + " of files" }
	row("memory, idle", func(s *stored) string { return memory(s.idle) })
	row("memory of its own, for each idle session", func(s *stored) string { return perSession(s.idle.Own-sizes[0].idle.Own, s.n-sizes[0].n) })
	row("memory, sample in use", func(s *stored) string { return memory(s.used) })
	row("sample, sessions", func(s *stored) string { return report.Count(s.samples) })
	row("memory of its own, for each in use", func(s *stored) string { return perSession(s.used.Own-s.idle.Own, s.samples) })
	row("first request of each, p50 / p99", func(s *stored) string { return report.Milli(s.first.At(.5)) + " / " + report.Milli(s.first.At(.99)) })
	row("CPU for each request", func(s *stored) string { return s.cpu.Format("%.0f") + " µs" })
	row("request, p50 / p99", func(s *stored) string { return fmt.Sprintf("%.2f ms / %.2f ms", s.p50.Median(), s.p99.Median()) })
	return result{t.String(), plot.Figure{
		Title: "Sessions in one bolt file", X: "sessions",
		Text: fmt.Sprintf("With %s sessions a request takes %.0f µs of CPU, and with %s it takes %.0f µs. The first answer comes after %.0f ms, after kill -9 after %.0f ms.",
			report.Count(sizes[0].n), sizes[0].cpu.Median(), report.Count(sizes[len(sizes)-1].n), sizes[len(sizes)-1].cpu.Median(),
			sizes[len(sizes)-1].start.Median(), sizes[len(sizes)-1].startKilled.Median()),
		Panels: []plot.Panel{
			{Y: "µs of CPU for each request", Series: []plot.Series{line("Evergate", b.Sessions, func(i int) report.Rounds { return sizes[i].cpu })}},
			{Y: "ms for a request", Log: true, Series: []plot.Series{
				line("p50", b.Sessions, func(i int) report.Rounds { return sizes[i].p50 }),
				line("p99", b.Sessions, func(i int) report.Rounds { return sizes[i].p99 })}},
			{Y: "ms from start to the first answer", Log: true, Series: []plot.Series{
				line("in order", b.Sessions, func(i int) report.Rounds { return sizes[i].start }),
				line("after kill -9", b.Sessions, func(i int) report.Rounds { return sizes[i].startKilled })}},
		},
	}}, nil
}

func perSession(bytes int64, n int) string {
	if n <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f B", float64(max(bytes, 0))/float64(n))
}

// starts is how often each kind of start is measured.
const starts = 3

// store fills a file and starts a gateway on it, by turns after an end in order and after
// a kill when something was written.
func (b *bench) store(ctx context.Context, n int) (s *stored, err error) {
	s = &stored{n: n, samples: min(n, b.Samples)}
	if s.gateway, err = b.rig.NewGateway(ctx, rig.GatewayOptions{Upstream: b.app.URL}); err != nil {
		return nil, err
	}
	fmt.Fprintf(b.talk, "filling %s sessions\n", report.Count(n))
	began := time.Now()
	cookies, err := s.gateway.Fill(ctx, n, s.samples)
	if err != nil {
		return nil, err
	}
	s.fill = time.Since(began)
	fi, err := os.Stat(filepath.Join(s.gateway.Data, "sessions.db"))
	if err != nil {
		return nil, err
	}
	s.file = fi.Size()
	for range starts {
		took, err := answers(ctx, s.gateway, cookies[0])
		if err != nil {
			return nil, err
		}
		s.start = append(s.start, milli(took))
		if _, err := s.gateway.SignIn(ctx); err != nil { // a write: the file is not as it was closed
			return nil, err
		}
		s.gateway.Kill()
		if took, err = answers(ctx, s.gateway, cookies[0]); err != nil {
			return nil, err
		}
		s.startKilled = append(s.startKilled, milli(took))
		if err := s.gateway.Stop(); err != nil {
			return nil, err
		}
	}
	if _, err := answers(ctx, s.gateway, cookies[0]); err != nil {
		return nil, err
	}
	s.servers = []*rig.Process{s.gateway.Process}
	if s.pool, err = newPool(ctx, []string{s.gateway.Address}, atOnce, s.gateway.Host, "/", cookies); err != nil {
		return nil, err
	}
	time.Sleep(2 * time.Second) // what the start has left is collected
	if s.idle, err = s.gateway.Memory(); err != nil {
		return nil, err
	}
	if s.first, err = s.pool.touch(ctx, len(cookies)); err != nil {
		return nil, err
	}
	s.used, err = s.gateway.Memory()
	return s, err
}

// answers starts a gateway, and tells how long it took to the first answer to somebody who
// is signed in.
func answers(ctx context.Context, g *rig.Gateway, cookies string) (time.Duration, error) {
	began := time.Now()
	if err := g.Start(ctx); err != nil {
		return 0, err
	}
	_, err := g.Get(ctx, http.DefaultClient, "/", cookies)
	return time.Since(began), err
}
