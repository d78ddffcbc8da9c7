package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/bench/internal/rig"
)

// TestShortRun measures all that needs processes, in less than a minute: what it says is of
// no worth, but that it says it.
func TestShortRun(t *testing.T) {
	rig.Need(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var out, talk bytes.Buffer
	o := options{parts: []string{"requests", "renewal", "cold", "sockets", "bodies", "weight"}, dir: t.TempDir(),
		rounds: 1, load: time.Second, conns: 4, sessions: 20, sockets: 40, body: 8 << 20, starts: 1, count: 1}
	if err := run(ctx, o, &out, &talk); err != nil {
		t.Fatalf("%v\n%s", err, &talk)
	}
	for _, want := range []string{"keep-alive, bolt store", "keep-alive, redis store", "keep-alive, cookie store", "triggers a renewal: p99",
		"cold session, Redis: round trips that its first request waits for | ≤ 1 | 1 (1–1) | yes |", "open WebSocket, idle", "body of 8.0 MiB down", "the program, stripped", "resident memory, idle",
		"| nothing |", "| `httputil.ReverseProxy` |", "Measured on "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant it to hold %q", &out, want)
		}
	}
	for _, not := range []string{" NaN", " 0.00 (0.00–0.00) × bare", "+Inf"} {
		if strings.Contains(out.String(), not) {
			t.Errorf("got\n%s\nwith a figure of nothing: %q", &out, not)
		}
	}
}

const benchSays = `goos: linux
BenchmarkDecide/match/10-2         	 5214741	       100.0 ns/op	       0 B/op	       0 allocs/op
BenchmarkDecide/match/10000-2      	 4811932	       180.0 ns/op	       0 B/op	       0 allocs/op
BenchmarkDecideCookie/bolt-2       	  811932	      1300 ns/op	     480 B/op	       2 allocs/op
BenchmarkDecideCookie/redis-2      	  811932	      1600 ns/op	     480 B/op	       1 allocs/op
BenchmarkDecide/match/10-2         	 5214741	       104.0 ns/op	       0 B/op	       0 allocs/op
PASS
`

func TestReadBenchmarks(t *testing.T) {
	all := readBenchmarks(benchSays)
	if got := strings.Join(all.names(), " "); got != "Decide/match/10 Decide/match/10000 DecideCookie/bolt DecideCookie/redis" {
		t.Errorf("got %s", got)
	}
	if f := all["Decide/match/10"]; f.ns.Median() != 102 || len(f.allocs) != 2 {
		t.Errorf("got %+v, want a median of 102 ns", f)
	}
	if f := all["DecideCookie/bolt"]; f.bytes.Median() != 480 || f.allocs.Median() != 2 {
		t.Errorf("got %+v, want 480 bytes in 2 allocations", f)
	}
	// The dearest counts: redis for the time, bolt for the allocations.
	goals := decisionGoals(all)
	if len(goals) != 2 || goals[0].met || !goals[1].met || !strings.HasPrefix(goals[0].got, "1600") {
		t.Errorf("got %+v", goals)
	}
	delete(all, "DecideCookie/bolt")
	delete(all, "DecideCookie/redis")
	if goals := decisionGoals(all); goals[0].met || goals[1].met {
		t.Errorf("what was not measured counts as met: %+v", goals)
	}
}

func TestGoals(t *testing.T) {
	for _, c := range []struct {
		name string
		goal goal
		want string
	}{
		{"the median counts, not the worst round", atMost("a", 1.1, " × bare", "%.2f", report.Rounds{1.0, 1.05, 9}), "| a | ≤ 1.10 × bare | 1.05 (1.00–9.00) × bare | yes |\n"},
		{"above", atMost("a", 1.1, "", "%.2f", report.Rounds{1.2}), "| a | ≤ 1.10 | 1.20 (1.20–1.20) | **no** |\n"},
		{"at least", atLeast("a", .97, "", "%.2f", report.Rounds{.98}), "| a | ≥ 0.97 | 0.98 (0.98–0.98) | yes |\n"},
		{"below", atLeast("a", .97, "", "%.2f", report.Rounds{.9}), "| a | ≥ 0.97 | 0.90 (0.90–0.90) | **no** |\n"},
		{"not measured is not met", atMost("a", 1.1, "", "%.2f", nil), "| a | ≤ 1.10 | 0.00 (0.00–0.00) | **no** |\n"},
	} {
		if got := goalTable([]goal{c.goal}); !strings.HasSuffix(got, c.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestOptions(t *testing.T) {
	good := options{parts: []string{"a", "b"}, rounds: 1, conns: 1, sessions: 1, sockets: 1, body: 1, starts: 1, count: 1}
	for _, c := range []struct {
		name   string
		change func(*options)
		want   string
	}{
		{"all of it", func(o *options) { o.write = true }, "<nil>"},
		{"no such part", func(o *options) { o.parts = []string{"c"} }, "want some of a, b"},
		{"a table of a part", func(o *options) { o.parts, o.write = []string{"a"}, true }, "all parts together"},
		{"no round", func(o *options) { o.rounds = 0 }, "above zero"},
	} {
		o := good
		c.change(&o)
		if got := fmt.Sprint(o.check([]string{"a", "b"})); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// TestWireCountsTrips: of two commands in one go as one, of two after each other as two.
func TestWireCountsTrips(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	w, err := newWire(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	c, err := net.Dial("tcp", w.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func(text string) {
		t.Helper()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, len(text))); err != nil {
			t.Fatal(err)
		}
	}
	ask("a command, and another")
	if n := w.Trips(); n != 1 {
		t.Errorf("in one go: got %d trips, want 1", n)
	}
	ask("once more")
	if n := w.Trips(); n != 2 {
		t.Errorf("once more: got %d trips, want 2", n)
	}
	w.Delay(50 * time.Millisecond)
	began := time.Now()
	ask("from far away")
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("from far away: took %s, want 50ms and more", took)
	}
}

func TestCommandsPerRequest(t *testing.T) {
	got := perRequest(map[string]int64{"get": 100, "ping": 1}, map[string]int64{"get": 300, "ping": 2, "exec": 100}, 100)
	if got != "exec 1.00, get 2.00" {
		t.Errorf("got %s", got)
	}
}
