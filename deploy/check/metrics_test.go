package check

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/idp"
)

// TestMetricsOfEverything: promtool has nothing to say of /metrics after everything that can be
// made to happen did, and each of it has shown there.
func TestMetricsOfEverything(t *testing.T) {
	promtool := need(t, "promtool", "prometheus")
	o := newObserved(t)
	var text string
	shows := func(what, series string) {
		t.Helper()
		o.within(t, what, func() error {
			o.alice.get(o.url + "/")
			_, text = o.ask("/metrics")
			if !regexp.MustCompile(`(?m)^evergate_` + series + ` [1-9]`).MatchString(text) {
				return fmt.Errorf("there is no %s, but\n%s", series, strings.Join(regexp.MustCompile(`(?m)^evergate_[^_]*_[^{ ]*[{ ].*`).FindAllString(text, -1), "\n"))
			}
			return nil
		})
	}
	o.use()
	o.revoked = o.revoked.Add(-time.Minute)
	o.use()
	shows("requests", `requests_total\{code="200",decision="allowed",route="app"\}`)
	shows("a request that is denied", `requests_total\{code="403",decision="denied",route="nobody"\}`)
	shows("an app that is away", `requests_total\{code="502",decision="allowed",route="dead"\}`)
	shows("the limit of a route", `rate_limited_total\{route="api"\}`)
	shows("an observed rule", `observed_decisions_total\{agrees="false",.*route="app"\}`)
	shows("a sign-in", `logins_total\{outcome="signed_in",provider="local"\}`)
	shows("a sign-in at the provider", `logins_total\{outcome="signed_in",provider="corp"\}`)
	shows("a wrong password", `logins_total\{outcome="credentials",provider="local"\}`)
	shows("a session that was revoked", `sessions_ended_total\{event="session.revoked",reason="by_operator"\}`)
	if status, _ := o.ask("/api/sessions"); status != http.StatusUnauthorized {
		t.Errorf("a stranger at the admin listener: got %d", status)
	}
	shows("a stranger at the admin listener", `audit_events_total\{event="admin.refused"\}`)

	o.bobSignsIn()
	bob := func() { o.bob.get(o.url + "/") }
	o.within(t, "a renewal", func() error {
		bob()
		if _, text := o.ask("/metrics"); !strings.Contains(text, `evergate_renewals_total{outcome="renewed",provider="corp"} `) ||
			strings.Contains(text, `evergate_renewals_total{outcome="renewed",provider="corp"} 0`) {
			return fmt.Errorf("bob is not renewed")
		}
		return nil
	})
	shows("how long it took", `renewal_duration_seconds_count\{provider="corp"\}`)
	o.provider.Turn(func(k *idp.Knobs) { k.Down = true })
	o.within(t, "a renewal that does not work", func() error {
		bob()
		if _, text := o.ask("/metrics"); strings.Contains(text, `evergate_renewals_total{outcome="unavailable",provider="corp"} 0`) {
			return fmt.Errorf("nothing was unavailable")
		}
		return nil
	})
	o.provider.Stop()
	shows("that every other part is in order", `part_up\{kind="store",name="store"\}`)
	o.within(t, "that the provider is away", func() error {
		bob() // by whose renewals it shows
		if _, text := o.ask("/metrics"); !strings.Contains(text, `evergate_part_up{kind="provider",name="corp"} 0`) {
			return fmt.Errorf("it is there")
		}
		return nil
	})

	file := filepath.Join(o.dir, "evergate.yaml")
	config, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	reload := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reload(string(config) + "limits: [")
	shows("a config that is bad", `config_reloads_total\{outcome="rejected"\}`)
	reload(string(config) + "log: { redact: [client] }\n")
	shows("another config", `config_reloads_total\{outcome="applied"\}`)

	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := output(check); err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	check = exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader("# TYPE evergate_milliseconds counter\nevergate_milliseconds 1\n")
	if out, err := output(check); err == nil {
		t.Errorf("promtool has nothing to say of what is wrong: %s", out)
	}
}

// fenced are the blocks of a page that are in a language.
func fenced(page, language string) (blocks []string) {
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```").FindAllStringSubmatch(page, -1) {
		blocks = append(blocks, strings.TrimSpace(m[1]))
	}
	return blocks
}

// TestMetricsGuide: its table has the alerts that there are, as they are, its configuration is
// one that Prometheus takes, and its queries are sound.
func TestMetricsGuide(t *testing.T) {
	promtool := need(t, "promtool", "prometheus")
	page := read(t, "docs/metrics.md")
	var told, are []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(Evergate\\w+)` \\| (\\w+) \\| .+ \\|$").FindAllStringSubmatch(page, -1) {
		told = append(told, m[1]+" "+m[2])
	}
	for _, r := range alerts(t) {
		are = append(are, r.Alert+" "+r.Labels["severity"])
	}
	if !slices.Equal(told, are) {
		t.Errorf("docs/metrics.md tells of\n%v\nand there are\n%v", told, are)
	}

	dir := t.TempDir()
	queries, configs := fenced(page, "promql"), fenced(page, "prometheus")
	if len(queries) < 10 || len(configs) != 1 {
		t.Fatalf("got %d queries and %d configurations", len(queries), len(configs))
	}
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: docs\n    rules:\n")
	for i, q := range queries {
		fmt.Fprintf(&rules, "      - { record: \"query:%d\", expr: %q }\n", i, q)
	}
	for name, text := range map[string]string{"alerts.yaml": rules.String(), "prometheus.yaml": configs[0]} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(promtool, "check", "config", "prometheus.yaml")
	cmd.Dir = dir
	if out, err := output(cmd); err != nil || !strings.Contains(out, fmt.Sprintf("%d rules found", len(queries))) {
		t.Errorf("%v %s", err, out)
	}
}

// TestHealthGuide: /readyz has the parts that docs/health.md tells of, and is what it says when
// they are out of order.
func TestHealthGuide(t *testing.T) {
	page := read(t, "docs/health.md")
	o := newObserved(t)
	var answer struct {
		Ready   bool
		Version string
		Parts   map[string]struct {
			OK     bool
			Reason string
		}
	}
	ready := func() int {
		status, body := o.ask("/readyz")
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		return status
	}
	if status := ready(); status != http.StatusOK || answer.Version == "" {
		t.Errorf("got %d, %+v", status, answer)
	}
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z ]+)( NAME| URL)?` \\| .* \\| (yes|\\*\\*no, 503\\*\\*) \\|$").FindAllStringSubmatch(page, -1) {
		told[m[1]] = true
	}
	for name := range answer.Parts {
		kind, _, _ := strings.Cut(strings.Replace(name, "store writes", "store_writes", 1), " ")
		if !told[strings.ReplaceAll(kind, "_", " ")] {
			t.Errorf("docs/health.md does not tell of the part %q", name)
		}
	}
	if len(told) < 8 {
		t.Errorf("got %v, want all parts", told)
	}
	o.bobSignsIn()
	o.provider.Stop()
	o.within(t, "the provider is away, and the gateway is ready", func() error {
		o.bob.get(o.url + "/")
		if status := ready(); status != http.StatusOK || answer.Parts["provider corp"].OK {
			return fmt.Errorf("got %d, %+v", status, answer)
		}
		return nil
	})
	if status, body := o.ask("/livez"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("/livez: got %d %q", status, body)
	}
}
