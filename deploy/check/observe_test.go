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

	"sigs.k8s.io/yaml"
)

type ruleFile struct {
	Groups []struct {
		Name  string           `json:"name"`
		Rules []map[string]any `json:"rules"`
	} `json:"groups"`
}

func alerts(t *testing.T) (f ruleFile) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(read(t, "deploy/prometheus/alerts.yaml")), &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Groups) != 1 || len(f.Groups[0].Rules) < 8 {
		t.Fatalf("got %+v, want a group with the alerts", f)
	}
	return f
}

// TestAlerts: promtool takes the rules and the configuration, and its tests of the rules pass.
// They do not where any one of the alerts never comes, or always.
func TestAlerts(t *testing.T) {
	promtool := need(t, "promtool", "prometheus")
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"check", "config", "prometheus.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = "../prometheus"
		if _, err := output(cmd); err != nil {
			t.Error(err)
		}
	}
	rules := alerts(t).Groups[0].Rules
	for _, rule := range rules {
		if notes, _ := rule["annotations"].(map[string]any); notes["summary"] == nil || notes["runbook"] == nil || rule["for"] == nil {
			t.Errorf("%v lacks a summary, a runbook or how long it takes", rule["alert"])
		}
		if severity := rule["labels"].(map[string]any)["severity"]; !slices.Contains([]any{"page", "ticket", "info"}, severity) {
			t.Errorf("%v: got severity %v", rule["alert"], severity)
		}
	}
	for _, expr := range []string{"vector(1) == 0", "vector(1)"} {
		changed := alerts(t)
		for _, rule := range changed.Groups[0].Rules {
			rule["expr"] = expr
		}
		text, err := yaml.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for file, text := range map[string]string{"alerts.yaml": string(text), "alerts_test.yaml": read(t, "deploy/prometheus/alerts_test.yaml")} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(promtool, "test", "rules", "alerts_test.yaml")
		cmd.Dir = dir
		out, err := output(cmd)
		for _, rule := range rules {
			if err == nil || !regexp.MustCompile(fmt.Sprintf(`(alertname: |alertname=\\?")%s\b`, rule["alert"])).MatchString(out) {
				t.Errorf("%v: no test notices that it is %s", rule["alert"], expr)
			}
		}
	}
}

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
	if d.SchemaVersion < 36 || len(d.Panels) < 10 {
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
	if len(exprs) < 18 {
		t.Errorf("got %d expressions in the dashboard", len(exprs))
	}
	for _, rule := range alerts(t).Groups[0].Rules {
		expr := fmt.Sprint(rule["expr"])
		if m := regexp.MustCompile(`^absent\((.*) == 1\)$`).FindStringSubmatch(expr); m != nil {
			expr = m[1]
		}
		// Without the bound there is an answer, and the rule's words about it can be filled in.
		bound := regexp.MustCompile(`\s+(==|>) [0-9.]+\s*$`)
		if expr != fmt.Sprint(rule["expr"]) {
		} else if !bound.MatchString(expr) {
			t.Errorf("%v has no bound", rule["alert"])
		}
		notes := fmt.Sprint(rule["annotations"])
		labels := ""
		for _, m := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(notes, -1) {
			labels += "{{" + m[1] + "}}"
		}
		exprs = append(exprs, target{bound.ReplaceAllString(expr, ""), labels})
	}
	for _, e := range exprs {
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
			if answer[0].Metric[m[1]] == "" {
				t.Errorf("%s: the answer has no label %s, but %v", expr, m[1], answer[0].Metric)
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
		for _, r := range rules.Data.Groups[0].Rules {
			if r.Health != "ok" {
				return fmt.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
		return nil
	})
}

// observed is a gateway with something to tell of.
type observed struct {
	t          *testing.T
	alice      *person
	url, admin string
	config     string
	used       int
}

func newObserved(t *testing.T) *observed {
	t.Helper()
	dir, at, app := t.TempDir(), loopback(), loopback()
	newApp(t, app+":8000")
	o := &observed{t: t, url: "http://localhost:8000", admin: at + ":9180", config: filepath.Join(dir, "evergate.yaml")}
	config := fmt.Sprintf(`public_url: %s
listen: %s:8000
data_dir: data
admin: { listen: "%s" }
identity: [{ local: { users_file: users.yaml } }]
rules:
  stronger: { mode: observe, allow: [{ amr: [hwk] }] }
routes:
  - { name: app, upstream: "http://%s:8000", rules: [stronger], allow: [{ groups: [staff] }] }
  - { name: api, match: { path: /api/ }, upstream: "http://%s:8000", rate_limit: { requests: 1, per: 24h, by: address } }
`, o.url, at, o.admin, app, app)
	for name, text := range map[string]string{"evergate.yaml": config, "users.yaml": users(t)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, exec.Command(filepath.Join(built(t), "usr/bin/evergate"), "serve", "--config", o.config))
	p.within(t, "the gateway is there", func() error { return dial(at + ":8000") })
	o.alice = newPerson(t, "", map[string]string{"8000": at + ":8000"})
	o.alice.signsIn(o.url + "/")
	return o
}

// use has each counter go on.
func (o *observed) use() {
	o.used++
	o.alice.get(o.url + "/")
	if o.alice.get(o.url+"/api/").status != http.StatusTooManyRequests && o.used > 1 {
		o.t.Fatal("there is no limit")
	}
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
