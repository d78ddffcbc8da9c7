package metrics_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/metrics"
	"github.com/evergate/evergate/internal/web"
)

var update = flag.Bool("update", false, "write docs/reference/metrics.md anew")

// everything is Metrics in which every series was counted once.
func everything() *metrics.Metrics {
	m := metrics.New("1.2.3", "go1.26", time.Unix(1000, 0))
	m.Watch(func() metrics.State {
		return metrics.State{Parts: []metrics.Part{{Kind: "store", Name: "store", OK: true}}}
	})
	m.RateLimited("wiki")
	m.Observed("wiki", "allowed", "denied")
	m.Done(&web.Done{Route: "wiki", Decision: "allowed", Status: 200, Took: time.Second, Upstream: time.Second})
	for _, k := range event.Kinds {
		e := event.Event{Name: k.Name, Provider: "corp", Took: time.Second}
		if len(k.Reasons) > 0 {
			e.Reason = k.Reasons[0]
		}
		m.Hear(context.Background(), e)
		m.Audited(k.Name)
	}
	return m
}

// TestReference: docs/reference/metrics.md is what /metrics says.
func TestReference(t *testing.T) {
	m := everything()
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# Metrics\n\n" +
		"*Made of the metrics in the code, by `go test ./internal/metrics -run TestReference -update`. What to watch, and with which rules: [docs/metrics.md](../metrics.md).*\n\n" +
		"At `/metrics` of the admin listener, for Prometheus. Durations are in seconds and sizes in bytes. Histograms have native buckets (factor 1.1), and classic ones for who does not take those. " +
		"Values of labels are fixed words or names of the config: a client cannot make one.\n\n| metric | type | labels | what it is |\n|---|---|---|---|\n")
	seen := map[string]bool{}
	for _, f := range families {
		name := f.GetName()
		seen[name] = true
		if !strings.HasPrefix(name, "evergate_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		kind := strings.ToLower(f.GetType().String())
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, kind, strings.Join(labels, ", "), strings.ReplaceAll(f.GetHelp(), `""`, "`\"\"`"))
	}
	b.WriteString("\nBesides there are those of Go (`go_*`) and of the process (`process_*`).\n")

	// None is left out since nobody counted it.
	descs := make(chan *prometheus.Desc, 1000)
	m.Registry().Describe(descs)
	close(descs)
	for d := range descs {
		name, _, _ := strings.Cut(strings.TrimPrefix(d.String(), `Desc{fqName: "`), `"`)
		if strings.HasPrefix(name, "evergate_") && !seen[name] {
			t.Errorf("%s is not in the reference: count it in everything()", name)
		}
	}
	path := filepath.Join("..", "..", "docs", "reference", "metrics.md")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != b.String() {
		t.Errorf("%s is stale (%v); write it anew: go test ./internal/metrics -run TestReference -update", path, err)
	}
}

// TestNames: base units, and "_total" for what is counted and nothing else, as promtool
// demands (deploy/check asks it of a gateway that runs).
func TestNames(t *testing.T) {
	families, err := everything().Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		name, kind := f.GetName(), f.GetType().String()
		if !strings.HasPrefix(name, "evergate_") {
			continue
		}
		if strings.HasSuffix(name, "_total") != (kind == "COUNTER") {
			t.Errorf("%s is a %s", name, kind)
		}
		for _, unit := range []string{"_ms", "_milliseconds", "_minutes", "_kb", "_percent"} {
			if strings.Contains(name, unit) {
				t.Errorf("%s: want seconds, bytes or a ratio", name)
			}
		}
	}
}
