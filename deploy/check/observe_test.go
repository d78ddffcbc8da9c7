package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboard is what the tests need of deploy/grafana/evergate.json.
type dashboard struct {
	Title         string
	SchemaVersion int
	Panels        []struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ H, W, X, Y int }
		Targets                  []target
	}
	Annotations struct{ List []struct{ Expr string } }
	Templating  struct {
		List []struct{ Name, Definition string }
	}
}

type target struct{ Expr, LegendFormat string }

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/evergate.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDashboard: its panels are whole and lie beside each other.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	taken := map[[2]int]string{}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("%q has the number %d again, or no title", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("%s has no description, or shows nothing", p.Title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies over %q, or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	if d.SchemaVersion < 36 || len(d.Panels) < 40 {
		t.Errorf("got schema %d and %d panels", d.SchemaVersion, len(d.Panels))
	}
}

// TestPrometheus: a real one, with the configuration of deploy/, scrapes a gateway that people
// use. Every expression of the dashboard and of the alerts has an answer then, with the labels
// that its legend and its rule name.
func TestPrometheus(t *testing.T) {
	program := need(t, "prometheus", "prometheus")
	g := newObserved(t)
	p := newPrometheus(t, program, g.admin)
	g.use()

	var exprs []target
	for _, panel := range readDashboard(t).Panels {
		exprs = append(exprs, panel.Targets...)
	}
	d := readDashboard(t)
	for _, v := range d.Templating.List {
		if v.Definition != "" {
			m := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(v.Definition)
			if m == nil {
				t.Fatalf("%s: got %q", v.Name, v.Definition)
			}
			exprs = append(exprs, target{m[1], "{{" + m[2] + "}}"})
		}
	}
	for _, a := range d.Annotations.List {
		if expr, _, ok := strings.Cut(a.Expr, " > "); ok {
			exprs = append(exprs, target{expr, "{{instance}}"})
		}
	}
	if len(exprs) < 50 {
		t.Errorf("got %d expressions in the dashboard", len(exprs))
	}
	for _, query := range fenced(read(t, "docs/metrics.md"), "promql") {
		exprs = append(exprs, target{Expr: query})
	}
	for _, rule := range alerts(t) {
		// Without the bound there is an answer, and the rule's words about it can be filled in.
		labels := ""
		for _, m := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(fmt.Sprint(rule.Annotations), -1) {
			labels += "{{" + m[1] + "}}"
		}
		exprs = append(exprs, target{unbound(t, rule), labels})
	}
	for _, e := range exprs {
		if silent[e.Expr] {
			if strings.Contains(p.text(t, e.Expr), `"metric"`) {
				t.Errorf("%s has an answer: take it out of silent", e.Expr)
			}
			continue
		}
		expr := strings.NewReplacer("$instance", ".*", "$__rate_interval", "1m").Replace(e.Expr)
		var answer []sample
		p.within(t, expr, func() error {
			g.use()
			answer = p.query(t, expr)
			if len(answer) == 0 {
				return fmt.Errorf("there is no answer")
			}
			return nil
		})
		for _, m := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(e.LegendFormat, -1) {
			// A label without a value, such as route for the gateway's own pages, is none.
			if !slices.ContainsFunc(answer, func(s sample) bool { return s.Metric[m[1]] != "" }) {
				t.Errorf("%s: the answers have no label %s, but %v", expr, m[1], answer)
			}
		}
	}
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	p.within(t, "every rule was evaluated", func() error {
		p.get(t, "/api/v1/rules", &rules)
		for _, g := range rules.Data.Groups {
			for _, r := range g.Rules {
				if r.Health != "ok" {
					return fmt.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
				}
			}
		}
		if len(rules.Data.Groups) < 4 {
			return fmt.Errorf("there are %d groups", len(rules.Data.Groups))
		}
		return nil
	})
}

// prometheus is a real one.
type prometheus struct {
	*process
	url string
}

func newPrometheus(t *testing.T, program, target string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	text := read(t, "deploy/prometheus/prometheus.yaml")
	for old, new := range map[string]string{"127.0.0.1:9180": target, "scrape_interval: 30s": "scrape_interval: 1s", "evaluation_interval: 30s": "evaluation_interval: 1s"} {
		if strings.Count(text, old) != 1 {
			t.Fatalf("prometheus.yaml has not one %q", old)
		}
		text = strings.Replace(text, old, new, 1)
	}
	for name, text := range map[string]string{"prometheus.yaml": text, "alerts.yaml": read(t, "deploy/prometheus/alerts.yaml")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := loopback() + ":9090"
	cmd := exec.Command(program, "--config.file", filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path", filepath.Join(dir, "data"),
		"--web.listen-address", at, "--log.level", "warn")
	cmd.Dir = dir
	p := &prometheus{start(t, cmd), "http://" + at}
	p.within(t, "Prometheus is there", func() error { return dial(at) })
	return p
}

type sample struct{ Metric map[string]string }

// silent are expressions that have no answer here.
var silent = map[string]bool{
	`evergate_part_up{kind="certificate"}`: true, // this gateway speaks plain http
}

// text is the answer to an expression, as it comes.
func (p *prometheus) text(t *testing.T, expr string) string {
	t.Helper()
	var answer json.RawMessage
	p.get(t, "/api/v1/query?query="+url.QueryEscape(expr), &answer)
	return string(answer)
}

func (p *prometheus) query(t *testing.T, expr string) []sample {
	t.Helper()
	var answer struct {
		Data struct{ Result []sample }
	}
	p.get(t, "/api/v1/query?query="+url.QueryEscape(expr), &answer)
	return answer.Data.Result
}

func (p *prometheus) get(t *testing.T, path string, into any) {
	t.Helper()
	res, err := http.Get(p.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusServiceUnavailable { // it has only begun
		return
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: got %d, %s", path, res.StatusCode, body)
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(into); err != nil {
		t.Fatal(err)
	}
}
