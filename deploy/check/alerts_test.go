package check

import (
	"fmt"
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
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	} `json:"groups"`
}

// rule is an alert, or a rate that alerts share.
type rule struct {
	Alert       string            `json:"alert,omitempty"`
	Record      string            `json:"record,omitempty"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func readRules(t *testing.T) (f ruleFile) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(read(t, "deploy/prometheus/alerts.yaml")), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// alerts are those of deploy/prometheus/alerts.yaml.
func alerts(t *testing.T) (all []rule) {
	t.Helper()
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				all = append(all, r)
			}
		}
	}
	if len(all) < 30 {
		t.Fatalf("got %d alerts, want all of them", len(all))
	}
	return all
}

// bound is what an alert's expression ends with.
var bound = regexp.MustCompile(`\s+(==|>) [0-9.]+\s*$`)

// unbound is an alert's expression that always has an answer.
func unbound(t *testing.T, r rule) string {
	t.Helper()
	if m := regexp.MustCompile(`^absent\((.*) == 1\)$`).FindStringSubmatch(r.Expr); m != nil {
		return m[1]
	}
	if !bound.MatchString(r.Expr) {
		t.Errorf("%s has no bound", r.Alert)
	}
	return bound.ReplaceAllString(r.Expr, "")
}

// TestAlerts: promtool takes the rules and the configuration, and its tests of the rules pass.
// They do not where any one of the alerts never comes, where one comes without what its bound
// is about, or as soon as that is so.
func TestAlerts(t *testing.T) {
	promtool := need(t, "promtool", "prometheus")
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"check", "config", "prometheus.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = "../prometheus"
		if _, err := output(cmd); err != nil {
			t.Error(err)
		}
	}
	for name, change := range map[string]func(r *rule){
		"never":              func(r *rule) { r.Expr = "vector(1) == 0" },
		"without bound":      func(r *rule) { r.Expr = unbound(t, *r) },
		"without delay":      func(r *rule) { r.For = "0m" },
		"with a day's delay": func(r *rule) { r.For = "1d" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := readRules(t)
			var noticed []string
			for _, g := range changed.Groups {
				for i := range g.Rules {
					r := &g.Rules[i]
					if before := *r; r.Alert != "" {
						if change(r); r.Expr != before.Expr || r.For != before.For {
							noticed = append(noticed, r.Alert)
						}
					}
				}
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
			for _, alert := range noticed {
				if err == nil || !regexp.MustCompile(fmt.Sprintf(`(alertname: |alertname=\\?")%s\b`, alert)).MatchString(out) {
					t.Errorf("%s: no test notices that it comes %s", alert, name)
				}
			}
		})
	}
}

// TestAlertsSayWhatToDo: each has words for whoever is woken by it, and leads to a page.
func TestAlertsSayWhatToDo(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range alerts(t) {
		if seen[r.Alert] {
			t.Errorf("%s is there twice", r.Alert)
		}
		seen[r.Alert] = true
		for _, key := range []string{"summary", "description", "runbook"} {
			if !strings.HasSuffix(r.Annotations[key], ".") {
				t.Errorf("%s: the %s is %q, want a sentence", r.Alert, key, r.Annotations[key])
			}
		}
		if !slices.Contains([]string{"page", "ticket", "info"}, r.Labels["severity"]) || r.For == "" {
			t.Errorf("%s: got the severity %q after %q", r.Alert, r.Labels["severity"], r.For)
		}
		page, ok := strings.CutPrefix(r.Annotations["runbook_url"], "https://github.com/evergate/evergate/blob/main/")
		if _, err := os.Stat(filepath.Join(repository, page)); !ok || err != nil {
			t.Errorf("%s leads to %q: %v", r.Alert, r.Annotations["runbook_url"], err)
		}
	}
}
