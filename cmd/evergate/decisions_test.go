//go:build unix

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/cmd/evergate/internal/decisions"
	"github.com/evergate/evergate/config"
)

// watched is a gateway whose decisions are asked for, as its operator does.
type watched struct {
	*process
	client *adminClient

	mu      sync.Mutex // guards secrets
	secrets []string   // what went up, or lies in browsers
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	w := &watched{}
	app := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("X-Evergate-Decision", "allowed; by=app")
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			w.mu.Lock()
			w.secrets = append(w.secrets, token)
			w.mu.Unlock()
		}
	}))
	t.Cleanup(app.Close)
	w.process = newProcess(t, app.URL)
	dir := filepath.Dir(w.file)
	if err := config.SaveUsers(filepath.Join(dir, "users.yaml"), []config.User{{Name: "alice", Password: testHash, Groups: []string{"staff"}}, {Name: "bob", Password: testHash}}); err != nil {
		t.Fatal(err)
	}
	w.edit("routes:\n", `rules:
  next:
    mode: observe
    allow:
      - groups: [admin]
routes:
  - name: wiki
    match: { path: /wiki/ }
    allow:
      - groups: [staff]
      - when: request.header("X-App") == "yes"
    rules: [next]
    respond: { body: wiki }
  - name: vault
    match: { path: /vault/ }
    allow:
      - groups: [staff]
        acr: [mfa]
    respond: { body: vault }
`)
	w.start()
	t.Cleanup(w.kill)
	cfg, err := config.Load(w.file)
	if err != nil {
		t.Fatal(err)
	}
	w.client = &adminClient{base: "http://" + cfg.Admin.Listen, token: filepath.Join(cfg.DataDir, adminTokenFile)}
	return w
}

// signIn returns a browser of user.
func (w *watched) signIn(user string) *browser {
	w.Helper()
	b := newBrowser(w.T)
	if code, err := b.post(w.base, "/.evergate/login", url.Values{"username": {user}, "password": {testPassword}, "rd": {"/"}}); err != nil || code != 200 {
		w.Fatalf("sign in %s: got %d, %v\n%s", user, code, err, &w.out)
	}
	return b
}

// get opens a page, and returns its status and what it shows of the decision.
func (w *watched) get(b *browser, path string, header ...string) (int, []string) {
	w.Helper()
	req, err := http.NewRequest(http.MethodGet, w.base+path, nil)
	if err != nil {
		w.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.client.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	at, _ := url.Parse(w.base)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range b.client.Jar.Cookies(at) {
		w.secrets = append(w.secrets, c.Value)
	}
	return res.StatusCode, res.Header["X-Evergate-Decision"]
}

// ask asks the admin listener, and looks that the answer gives nothing away.
func (w *watched) ask(path string, out any) {
	w.Helper()
	var raw json.RawMessage
	if err := w.client.call(w.Context(), http.MethodGet, path, nil, &raw); err != nil {
		w.Fatal(err)
	}
	w.discreet(path, string(raw))
	if err := json.Unmarshal(raw, out); err != nil {
		w.Fatal(err)
	}
}

// explain runs the command, with the same look at what it says.
func (w *watched) explain(args ...string) (stdout, stderr string) {
	w.Helper()
	var out, talk strings.Builder
	if code := run(append([]string{"explain", "--config", w.file}, args...), nil, &out, &talk); code != exitOK {
		w.Fatalf("explain %v: exit code %d, %s", args, code, talk.String())
	}
	w.discreet("explain", out.String()+talk.String())
	return out.String(), talk.String()
}

func (w *watched) discreet(where, text string) {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.secrets) < 4 {
		w.Fatalf("%s: got %d secrets to look for", where, len(w.secrets))
	}
	for _, secret := range append(w.secrets, "query-secret", testPassword) {
		if strings.Contains(text, secret) {
			w.Errorf("%s gives a secret away: %.12s… in\n%s", where, secret, text)
		}
	}
}

// TestLiveDecisions: whoever asks why somebody was let in, refused or sent to sign in
// once more is told by which rule, and on which line, also after an edit that moves lines.
func TestLiveDecisions(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	alice, bob := w.signIn("alice"), w.signIn("bob")
	for _, c := range []struct {
		who    *browser
		path   string
		header []string
		want   int
	}{
		{alice, "/wiki/a?token=query-secret", nil, 200}, {alice, "/vault/a", nil, 401}, {bob, "/wiki/a", nil, 403},
		{bob, "/wiki/b", []string{"X-App", "yes", "Authorization", "Bearer client-query-secret"}, 200},
		{newBrowser(t), "/wiki/a", nil, 401}, {alice, "/", nil, 200}, {bob, "/", nil, 200},
	} {
		if got, _ := w.get(c.who, c.path, c.header...); got != c.want {
			t.Fatalf("%s: got %d, want %d\n%s", c.path, got, c.want, &w.out)
		}
	}
	var all admin.Decisions
	w.ask("/api/decisions?limit=1000", &all)
	find := func(user, path, decision string) *decisions.Decision {
		t.Helper()
		for i := range all.Decisions {
			if d := &all.Decisions[i]; d.User == user && d.Path == path && d.Decision == decision {
				return d
			}
		}
		t.Fatalf("%s %s %s is not in\n%+v", user, path, decision, all.Decisions)
		return nil
	}
	// The line numbers are those of the file.
	text, err := os.ReadFile(w.file)
	if err != nil {
		t.Fatal(err)
	}
	lineOf := func(what string, nth int) int {
		t.Helper()
		for i, line := range strings.Split(string(text), "\n") {
			if strings.Contains(line, what) {
				if nth--; nth < 0 {
					return i + 1
				}
			}
		}
		t.Fatalf("%q is not in\n%s", what, text)
		return 0
	}
	staff, expression, admins, vault := lineOf("groups: [staff]", 0), lineOf("when:", 0), lineOf("groups: [admin]", 0), lineOf("groups: [staff]", 1)

	d := find("alice", "/wiki/a", "allowed")
	if d.Rule == nil || d.Rule.At != "routes[0].allow[0]" || d.Rule.Line != staff || len(d.Rules) != 2 || !d.Rules[0].Holds || !d.Rules[0].Decides ||
		d.Rules[1].Line != expression || d.Rules[1].Holds || d.Route != "wiki" || d.Session == "" || !d.Address.IsValid() || d.Request == "" {
		t.Errorf("allowed: got %+v", d)
	}
	if o := d.Observed; o == nil || o.Decision != "denied" || len(o.Rules) != 1 || o.Rules[0].Line != admins || o.Rules[0].Holds {
		t.Errorf("allowed, and observed: got %+v", d.Observed)
	}
	if d := find("alice", "/vault/a", "step-up"); d.Rule == nil || d.Rule.Line != vault || d.Rules[0].Holds || len(d.Rules[0].Conditions) != 2 {
		t.Errorf("stepped up: got %+v", d)
	}
	if d := find("bob", "/wiki/a", "denied"); d.Rule != nil || d.Rules[0].Holds || !strings.Contains(d.Reason, "needs group staff") {
		t.Errorf("denied: got %+v", d)
	}
	if d := find("bob", "/wiki/b", "allowed"); d.Rule == nil || d.Rule.Line != expression || !d.Rules[1].Holds {
		t.Errorf("allowed by an expression: got %+v", d)
	}
	if d := find("", "/wiki/a", "login"); d.Session != "" || !strings.Contains(d.Reason, "no-cookie") {
		t.Errorf("nobody: got %+v", d)
	}
	var mine admin.Decisions
	w.ask("/api/decisions?session="+url.QueryEscape(d.Session)+"&limit=2", &mine)
	if len(mine.Decisions) != 2 || mine.Decisions[0].Path != "/" || mine.Decisions[0].User != "alice" || mine.Keep != 20 {
		t.Errorf("of alice's session: got %+v", mine)
	}
	w.ask("/api/decisions?user=bob", &mine)
	if len(mine.Decisions) != 4 { // with the page after the sign-in
		t.Errorf("of bob: got %+v", mine)
	}

	out, _ := w.explain("--live", "--user", "bob", "--limit", "3")
	for _, want := range []string{"/wiki/a from 192.0.2.", "Decision  denied\n          not allowed: needs group staff", "no   groups: group staff\n", "bob (session "} {
		if !strings.Contains(out, want) {
			t.Errorf("explain --live: got\n%s\nwant in it %q", out, want)
		}
	}

	// An edit that moves the lines and changes a rule: what was decided before is told by
	// the rules of before.
	w.edit("rules:\n", "# one line\n# and another\nrules:\n")
	w.edit("groups: [staff]", "groups: [wiki]")
	var talk strings.Builder
	if code := run([]string{"reload", "--config", w.file}, nil, &talk, &talk); code != exitOK {
		t.Fatalf("reload: %s", talk.String())
	}
	if got, _ := w.get(alice, "/wiki/c"); got != 403 {
		t.Fatalf("after the edit: got %d, want 403", got)
	}
	w.ask("/api/decisions?user=alice", &all)
	if d := find("alice", "/wiki/c", "denied"); d.Rules[0].Line != staff+2 || d.Rules[0].Holds {
		t.Errorf("after the edit: got %+v", d)
	}
	if d := find("alice", "/wiki/a", "allowed"); d.Rule.Line != staff || !d.Rules[0].Holds {
		t.Errorf("before the edit: got %+v", d)
	}

	// Nothing is kept where the config says so.
	w.edit("admin: {", "admin: { decisions: 0,")
	w.within("the reload", func() bool { w.ask("/api/decisions", &all); return all.Keep == 0 && len(all.Decisions) == 0 })
	talk.Reset()
	if code := run([]string{"explain", "--config", w.file, "--live"}, nil, &talk, &talk); code != exitFailed || !strings.Contains(talk.String(), "admin.decisions is 0") {
		t.Errorf("explain --live of nothing: got %d, %s", code, talk.String())
	}
}

// TestLiveDifferences: what rules that are only observed would change is in the table, in
// the log, in the access line and in the metrics, until who may do what changes.
func TestLiveDifferences(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	alice, bob := w.signIn("alice"), w.signIn("bob")
	for _, b := range []*browser{alice, alice, alice, bob} {
		w.get(b, "/wiki/a?token=query-secret")
	}
	w.get(alice, "/")
	var got decisions.Differences
	w.ask("/api/observed", &got)
	if len(got.All) != 1 || got.All[0].User != "alice" || got.All[0].Count != 3 || got.All[0].Decision != "allowed" || got.All[0].Observed != "denied" {
		t.Fatalf("got %+v", got)
	}
	if _, metrics := w.admin("/metrics"); !strings.Contains(metrics, `evergate_observed_decisions_total{agrees="false",decision="allowed",observed="denied",route="wiki"} 3`+"\n") ||
		!strings.Contains(metrics, `evergate_observed_decisions_total{agrees="true",decision="denied",observed="denied",route="wiki"} 1`+"\n") {
		t.Errorf("the metrics: got\n%s", metrics)
	}
	log := w.said()
	if n := strings.Count(log, `"event":"rules.observed"`); n != 1 {
		t.Errorf("got %d lines of the event, want 1:\n%s", n, log)
	}
	if n := strings.Count(log, `"decision":"allowed","observed":"denied","status":200`); n != 3 {
		t.Errorf("got %d access lines that say so, want 3:\n%s", n, log)
	}
	out, _ := w.explain("--observed")
	if !strings.Contains(out, "TIMES") || !strings.Contains(out, "alice") || strings.Contains(out, "bob") || !strings.Contains(out, got.All[0].Request) {
		t.Errorf("explain --observed: got\n%s", out)
	}
	if out, _ = w.explain("--observed", "--json", "--user", "bob"); !strings.Contains(out, `"differences": []`) {
		t.Errorf("explain --observed --user bob: got %s", out)
	}

	reload := func() {
		t.Helper()
		var talk strings.Builder
		if code := run([]string{"reload", "--config", w.file}, nil, &talk, &talk); code != exitOK {
			t.Fatalf("reload: %s", talk.String())
		}
		w.ask("/api/observed", &got)
	}
	w.edit("access_token: { ttl: 30s }", "access_token: { ttl: 40s }")
	if reload(); len(got.All) != 1 {
		t.Errorf("after a reload about something else: got %+v", got)
	}
	w.edit("groups: [admin]", "groups: [admin, staff]")
	if reload(); len(got.All) != 0 {
		t.Errorf("after a reload of the rules: got %+v", got)
	}
	w.get(alice, "/wiki/a")
	if w.ask("/api/observed", &got); len(got.All) != 0 {
		t.Errorf("by rules that agree: got %+v", got)
	}
}

// TestShownDecisions: an operator has the answers to alice tell what was decided, and
// nobody else's; the app's own word about it never gets through.
func TestShownDecisions(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	alice, bob := w.signIn("alice"), w.signIn("bob")
	for _, path := range []string{"/", "/wiki/a"} {
		if _, got := w.get(alice, path); got != nil {
			t.Errorf("%s, before anybody asked: got %q", path, got)
		}
	}
	if _, talk := w.explain("--show", "10m", "--user", "alice"); !strings.Contains(talk, "Answers to alice carry X-Evergate-Decision until ") {
		t.Errorf("explain --show: got %s", talk)
	}
	for _, c := range []struct {
		who    *browser
		path   string
		status int
		want   string
	}{
		{alice, "/wiki/a?token=query-secret", 200, `allowed; route="wiki"; rule="routes[0].allow[0]"; line=`},
		{alice, "/vault/a", 401, `step-up; route="vault"; rule="routes[1].allow[0]"; line=`},
		{alice, "/", 200, `allowed; route="/"; request="`},
		{bob, "/", 200, ""}, {bob, "/wiki/a", 403, ""}, {newBrowser(t), "/wiki/a", 401, ""},
	} {
		status, got := w.get(c.who, c.path)
		if status != c.status || (c.want == "") != (got == nil) || got != nil && (len(got) != 1 || !strings.HasPrefix(got[0], c.want) || !strings.Contains(got[0], `; request="`)) {
			t.Errorf("%s: got %d, %q; want %d, %s", c.path, status, got, c.status, c.want)
		}
		w.discreet(c.path, strings.Join(got, ""))
	}
	var shown admin.Shown
	if w.ask("/api/decisions/show", &shown); len(shown.Shown) != 1 || shown.Shown[0].User != "alice" || time.Until(shown.Shown[0].Until) > 10*time.Minute {
		t.Errorf("got %+v", shown)
	}
	w.explain("--show", "0s", "--user", "alice")
	if _, got := w.get(alice, "/wiki/a"); got != nil {
		t.Errorf("after its end: got %q", got)
	}
	for _, event := range []string{`"event":"decisions.shown","user":"alice"`, `"event":"decisions.hidden","user":"alice"`} {
		w.within("the log has "+event, func() bool { return strings.Contains(w.out.String(), event) })
	}
	var talk strings.Builder
	if code := run([]string{"explain", "--config", w.file, "--show", "25h", "--user", "alice"}, nil, &talk, &talk); code != exitFailed ||
		!strings.Contains(talk.String(), "it goes from 0s, which ends it, to 24h0m0s") || strings.Contains(talk.String(), "is the gateway running") {
		t.Errorf("explain --show 25h: got %d, %s", code, talk.String())
	}
	for body, want := range map[admin.Show]string{
		{User: "alice", For: "25h"}:  "answers 400: show the decisions of alice for 25h0m0s: it goes from 0s, which ends it, to 24h0m0s",
		{User: "alice", For: "long"}: `answers 400: for: want a duration such as 10m, or 0s to end it, got "long"`,
		{For: "1m"}:                  "answers 400: show the decisions of whom?",
	} {
		if err := w.client.call(t.Context(), http.MethodPost, "/api/decisions/show", body, &shown); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %s", body, err, want)
		}
	}
	for _, path := range []string{"/api/decisions", "/api/observed", "/api/decisions/show"} {
		if code, _ := w.admin(path); code != http.StatusUnauthorized {
			t.Errorf("%s without the token: got %d, want 401", path, code)
		}
	}
	if err := w.client.call(t.Context(), http.MethodGet, "/api/decisions?limit=x", nil, &shown); err == nil || !strings.Contains(err.Error(), "limit: want 1 to 1000") {
		t.Errorf("a limit that is none: got %v", err)
	}
}

// TestExplainLiveIsTyped: what is wrong with how it is typed is said.
func TestExplainLiveIsTyped(t *testing.T) {
	for args, want := range map[string]string{
		"--live --observed":        "want one of --live, --observed and --show",
		"--show 10m":               "--show: name whose answers are to tell what was decided, by --user",
		"--show soon --user alice": `--show: want a duration such as 10m, or 0s to end it, got "soon"`,
		"--observed --session x":   "--session goes with --live",
		"--session x GET /":        "--session goes with --live",
		"--live --limit 0":         "--limit: want 1 to 1000, got 0",
		"--live GET /":             `evergate explain takes no argument, got "GET"`,
	} {
		var out strings.Builder
		if code := run(append([]string{"explain"}, strings.Fields(args)...), nil, &out, &out); code != exitMisuse || !strings.Contains(out.String(), want) {
			t.Errorf("%s: got %d, %s\nwant %s", args, code, out.String(), want)
		}
	}
}

// TestExplainLiveOfNobody: where no gateway answers, the next thing to look at is said.
func TestExplainLiveOfNobody(t *testing.T) {
	t.Parallel()
	p := newProcess(t, "http://127.0.0.1:1")
	var out strings.Builder
	if code := run([]string{"explain", "--config", p.file, "--live"}, nil, &out, &out); code != exitFailed || !strings.Contains(out.String(), "is the gateway running") {
		t.Errorf("got %d, %s", code, out.String())
	}
}

// TestObserveGuide: the events, metrics, headers, flags and requests that it names are there.
func TestObserveGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/observe.md")
	if err != nil {
		t.Fatal(err)
	}
	code := sources(t, "*.go") + sources(t, "internal/admin/*.go") + sources(t, "internal/decisions/*.go") + sources(t, "../../internal/metrics/*.go") + sources(t, "../../proxy/observe.go")
	names := regexp.MustCompile("`((?:rules|decisions)\\.[a-z]+|evergate_[a-z_]+|X-Evergate-[A-Z][a-z]+)`").FindAllStringSubmatch(string(b), -1)
	calls := regexp.MustCompile("`((?:GET|POST) /api/[a-z/]+)").FindAllStringSubmatch(string(b), -1)
	if len(names) < 5 || len(calls) != 4 {
		t.Errorf("got the names %q and the requests %q", names, calls)
	}
	for _, n := range append(names, calls...) {
		if !strings.Contains(code, `"`+n[1]+`"`) {
			t.Errorf("nothing here says %s", n[1])
		}
	}
	var help strings.Builder
	run([]string{"explain", "--help"}, nil, &help, &help)
	for _, flag := range regexp.MustCompile("--[a-z]+").FindAllString(string(b), -1) {
		if !strings.Contains(help.String(), flag+" ") {
			t.Errorf("explain has no %s", flag)
		}
	}
}
