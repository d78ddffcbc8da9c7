package dashboard_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/cmd/evergate/internal/dashboard"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
	"github.com/evergate/evergate/session"
)

// house is a gateway as the pages see it, every part of which can fail.
type house struct {
	*testing.T
	*clock
	store, bad error
	providers  []dashboard.Provider
	targets    []proxy.TargetState
	draining   bool
	history    *dashboard.History
	told       []event.Event
	h          *dashboard.Handler
}

func newHouse(t *testing.T, change func(h *house, s *dashboard.Source)) *house {
	t.Helper()
	h := &house{T: t, clock: newClock()}
	h.history = dashboard.NewHistory(h.now)
	cfg := config.Default()
	s := dashboard.Source{
		Version: "1.2.3", Started: h.now(), Now: h.now, History: h.history, StoreName: "bolt",
		Config: func() *config.Config { return &cfg }, Bad: func() error { return h.bad }, Draining: func() bool { return h.draining },
		Store:     func(context.Context) error { return h.store },
		Providers: func() []dashboard.Provider { return h.providers },
		Upstreams: func() []dashboard.Upstream { return []dashboard.Upstream{{Targets: h.targets}} },
		Tell: func(ctx context.Context, _ slog.Level, _ string, e event.Event) {
			h.told = append(h.told, e)
			h.history.Hear(ctx, e)
		},
	}
	if change != nil {
		change(h, &s)
	}
	h.h = dashboard.New(s, secret.New("the-token"))
	t.Cleanup(func() { _ = h.h.Close() })
	return h
}

// page asks for one, as a person whom a route's rules let pass.
func (h *house) page(method, path string, form url.Values) (int, string) {
	h.Helper()
	h.h.Forget()
	r := httptest.NewRequest(method, "http://gw.test"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r = r.WithContext(auth.NewContext(r.Context(), &auth.Login{Identity: auth.Identity{User: "olga"}}))
	w := httptest.NewRecorder()
	h.h.Published().ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

var stateBox = regexp.MustCompile(`(?s)<div id="state" class="state (\w+)"[^>]*>(.*?)</div>`)

// TestStateInWords: the line on top says what is wrong, the worst first.
func TestStateInWords(t *testing.T) {
	at := newClock().now()
	for _, c := range []struct {
		name, level, says string
		make              func(h *house)
	}{
		{"nothing", "good", "All is well.", func(*house) {}},
		{"the store is away", "bad", "The session store is out of order: no route to host.", func(h *house) { h.store = errors.New("no route to host") }},
		{"a provider is left alone", "bad", "Provider corp does not answer since 09:00:02 UTC: renewals wait, and sessions are kept.", func(h *house) {
			h.providers = []dashboard.Provider{{Name: "corp", State: oidc.State{Open: true, Discovered: true, LastError: "503", Since: at}}}
		}},
		{"a provider was never reached", "bad", "Provider corp cannot be reached since 09:00:02 UTC, so nobody can sign in by it.", func(h *house) {
			h.providers = []dashboard.Provider{{Name: "corp", State: oidc.State{LastError: "no such host", Since: at}}}
		}},
		{"a provider failed somebody", "warn", "Provider corp has trouble since 09:00:02 UTC: the provider answered 503", func(h *house) {
			h.providers = []dashboard.Provider{{Name: "corp", State: oidc.State{Discovered: true, LastError: "the provider answered 503", Since: at}}}
		}},
		{"and everybody", "bad", "Provider corp has trouble since 09:00:02 UTC", func(h *house) {
			h.providers = []dashboard.Provider{{Name: "corp", State: oidc.State{Discovered: true, LastError: "the provider answered 503", Since: at}}}
			h.history.Hear(h.Context(), event.Event{Name: event.SessionRenewalFailed, Reason: event.RenewalUnavailable})
			h.pass(10 * time.Second)
		}},
		{"a provider that nobody has asked", "good", "not asked yet", func(h *house) { h.providers = []dashboard.Provider{{Name: "corp"}} }},
		{"a target is out", "bad", "Upstream http://a is out of order: refused.", func(h *house) {
			h.targets = []proxy.TargetState{{Target: "http://a", Err: errors.New("refused")}}
		}},
		{"a target fails", "warn", "Upstream http://a: the last 3 requests failed: it answered 502.", func(h *house) {
			h.targets = []proxy.TargetState{{Target: "http://a", Failed: 3, Last: errors.New("it answered 502")}}
		}},
		{"a bad file", "warn", "The config file cannot be used, so the config of before is in force.", func(h *house) { h.bad = errors.New("line 3") }},
		{"renewals fail", "warn", "In the last minute 2 renewals did not work, and 1 did; sessions are kept.", func(h *house) {
			for _, n := range []event.Name{event.SessionRenewed, event.SessionRenewalFailed, event.SessionRenewalFailed} {
				h.history.Hear(h.Context(), event.Event{Name: n})
			}
			h.pass(10 * time.Second)
		}},
		{"theft", "warn", "In the last hour a handle was used a second time", func(h *house) { h.history.Hear(h.Context(), event.Event{Name: event.ReuseDetected, User: "alice"}) }},
		{"going down", "warn", "The gateway is going down", func(h *house) { h.draining = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, nil)
			c.make(h)
			code, body := h.page("GET", "/", nil)
			box := stateBox.FindStringSubmatch(body)
			if code != 200 || box == nil || box[1] != c.level || !strings.Contains(body, c.says) || c.level != "good" && !strings.Contains(box[2], c.says) {
				t.Errorf("got %d %q, want %s: %s\n%s", code, box, c.level, c.says, body)
			}
		})
	}
	h := newHouse(t, nil)
	h.bad, h.store = errors.New("line 3"), errors.New("away")
	_, body := h.page("GET", "/", nil)
	if box := stateBox.FindStringSubmatch(body); box == nil || box[1] != "bad" || strings.Index(box[2], "store") > strings.Index(box[2], "config file") {
		t.Errorf("two troubles: got %q, want the worse first", box)
	}
}

// TestTimelineOfBoundSessions: that a browser bound its session is no news, and that one came
// without the proof is.
func TestTimelineOfBoundSessions(t *testing.T) {
	h := newHouse(t, nil)
	for _, e := range []event.Event{
		{Name: event.SessionBound, User: "alice"}, {Name: event.DeviceMismatch, User: "bob"}, {Name: event.SessionRevoked, User: "bob", Reason: event.WithoutDevice},
	} {
		h.history.Hear(t.Context(), e)
	}
	_, body := h.page("GET", "/timeline", nil)
	for words, want := range map[string]bool{"A session was bound": false, "bound session of bob was asked for": true, "A session of bob was ended since it was asked for again and again": true} {
		if strings.Contains(body, words) != want {
			t.Errorf("%q is there: want %v\n%s", words, want, body)
		}
	}
}

// TestTimelineOfRiskSignals: what was done about them, and no line for each network of a phone.
func TestTimelineOfRiskSignals(t *testing.T) {
	h := newHouse(t, nil)
	for _, e := range []event.Event{
		{Name: event.NewNetwork, User: "phone", Action: "log", Before: "192.0.2.0/24", Now: "198.51.100.0/24"},
		{Name: event.NewNetwork, User: "ann", Action: "step_up", Before: "192.0.2.0/24", Now: "198.51.100.0/24"},
		{Name: event.NewDevice, User: "bob", Action: "log", Before: "Firefox on Linux", Now: "curl"},
		{Name: event.ChangedBrowser, User: "cyd", Action: "log", Before: "Firefox on Linux", Now: "Chrome on Windows"},
		{Name: event.ParallelUse, User: "dan", Action: "revoke"}, {Name: event.SessionRevoked, User: "dan", Reason: event.InParallel},
	} {
		h.history.Hear(t.Context(), e)
	}
	_, body := h.page("GET", "/timeline", nil)
	for words, want := range map[string]bool{
		"A session of phone": false, "A session of ann is used from another network, and goes on after a fresh sign-in alone.": true,
		"bob signed in by a browser that is not known at their account.": true, "A session of cyd is used by another browser than it was signed in by.": true,
		"now Chrome on Windows, before Firefox on Linux": true, "A session of dan is used by two browsers in two networks at the same time, and was ended.": true,
		"A session of dan was ended since it was used by two browsers": true,
	} {
		if strings.Contains(body, words) != want {
			t.Errorf("%q is there: want %v\n%s", words, want, body)
		}
	}
}

// TestSessionsSayWhatIsBound: the list says which sessions are bound to their device.
func TestSessionsSayWhatIsBound(t *testing.T) {
	for bound, want := range map[bool]int{true: 1, false: 0} {
		h := newHouse(t, func(_ *house, s *dashboard.Source) { s.Sessions = listed{{Name: "x", User: "alice", Bound: bound}} })
		if code, body := h.page("GET", "/sessions", nil); code != 200 || strings.Count(body, "bound to its device") != want {
			t.Errorf("bound %v: got %d, want it said %d times:\n%s", bound, code, want, body)
		}
	}
}

// TestNothingBecomesMarkup: what people, providers and apps write is text wherever it shows.
func TestNothingBecomesMarkup(t *testing.T) {
	const evil = `<img src=x onerror=alert(1)>"'`
	h := newHouse(t, func(h *house, s *dashboard.Source) {
		s.Sessions = listed{{Name: evil, User: evil, Provider: evil, Device: session.Device{Agent: evil, Address: evil}}}
		s.File = func() admin.Running { return admin.Running{File: evil, Changed: []string{evil}, Error: evil} }
	})
	h.providers = []dashboard.Provider{{Name: evil, State: oidc.State{LastError: evil, Issuer: evil}}}
	h.targets = []proxy.TargetState{{Target: evil, Err: errors.New(evil)}}
	h.history.Hear(t.Context(), event.Event{Name: event.LoginFailed, User: evil, Reason: evil, Provider: evil, Err: errors.New(evil), Origin: event.Origin{Client: evil}})
	for _, path := range []string{"/", "/timeline", "/sessions", "/sessions?user=" + url.QueryEscape(evil), "/config", "/revoke?user=" + url.QueryEscape(evil)} {
		code, body := h.page("GET", path, nil)
		if code != 200 || strings.Contains(body, "<img") || !strings.Contains(body, "&lt;img") {
			t.Errorf("%s: got %d, want the text and no markup:\n%s", path, code, body)
		}
	}
	if code, body := h.page("POST", "/revoke", url.Values{"user": {evil}}); code != 200 || strings.Contains(body, "<img") {
		t.Errorf("revoke: got %d\n%s", code, body)
	}
	if len(h.told) != 1 || h.told[0].Actor != "olga" || h.told[0].User != evil || h.told[0].Count != 1 {
		t.Errorf("told: got %+v, want that olga did it", h.told)
	}
}

// listed are sessions that can be listed and ended.
type listed []session.Info

func (l listed) Latest(context.Context, string, int) ([]session.Info, int, error) {
	return l, len(l), nil
}
func (l listed) Revoke(context.Context, session.Which) (int, error) { return len(l), nil }
func (l listed) Due(_ time.Duration, n int) (int, []int)            { return len(l), make([]int, n) }

// TestCookieStore: where sessions lie in the browsers, the pages say so.
func TestCookieStore(t *testing.T) {
	h := newHouse(t, func(_ *house, s *dashboard.Source) { s.Store, s.StoreName = nil, "cookie" })
	for path, says := range map[string]string{"/": "they lie in the browsers", "/sessions": "nobody can list or end them from here"} {
		if code, body := h.page("GET", path, nil); code != 200 || !strings.Contains(body, says) {
			t.Errorf("%s: got %d, want %q\n%s", path, code, says, body)
		}
	}
	if code, _ := h.page("POST", "/revoke", url.Values{"user": {"alice"}}); code != 400 {
		t.Errorf("ending sessions: got %d, want 400", code)
	}
}

// TestReloadByTheDashboard is told, and what came of it is shown.
func TestReloadByTheDashboard(t *testing.T) {
	out := admin.Reloaded{OK: true, Changed: []string{"session.idle_timeout"}}
	h := newHouse(t, func(_ *house, s *dashboard.Source) {
		s.File = func() admin.Running { return admin.Running{File: "/etc/evergate.yaml"} }
		s.Reload = func() admin.Reloaded { return out }
	})
	if code, body := h.page("POST", "/reload", nil); code != 200 || !strings.Contains(body, "session.idle_timeout") {
		t.Errorf("got %d\n%s", code, body)
	}
	if out = (admin.Reloaded{Error: "evergate.yaml:3:1: unknown key"}); len(h.told) != 1 || h.told[0].Name != event.AdminReloaded || h.told[0].Actor != "olga" {
		t.Errorf("told: got %+v", h.told)
	}
	if code, body := h.page("POST", "/reload", nil); code != 422 || !strings.Contains(body, "unknown key") {
		t.Errorf("a bad file: got %d\n%s", code, body)
	}
	if code, _ := h.page("GET", "/reload", nil); code != 405 {
		t.Errorf("by a link: got %d, want 405", code)
	}
}

// TestVisitsEnd after their time, and are bounded.
func TestVisitsEnd(t *testing.T) {
	h := newHouse(t, nil)
	server := httptest.NewServer(h.h.Private())
	defer server.Close()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	visit := func() *http.Cookie {
		res, err := client.PostForm(server.URL+"/signin", url.Values{"token": {"the-token"}})
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.Cookies()[0]
	}
	status := func(c *http.Cookie) int {
		req, err := http.NewRequest("GET", server.URL+"/timeline", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.AddCookie(c)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		return res.StatusCode
	}
	first := visit()
	if got := status(first); got != 200 {
		t.Errorf("a visit: got %d", got)
	}
	h.pass(time.Second)
	for range 100 {
		visit()
	}
	if got := status(first); got != 303 {
		t.Errorf("after a hundred others: got %d, want to sign in again", got)
	}
	last := visit()
	h.pass(8 * time.Hour)
	if got := status(last); got != 303 {
		t.Errorf("after eight hours: got %d, want to sign in again", got)
	}
	nobody := dashboard.New(dashboard.Source{History: h.history, Tell: func(context.Context, slog.Level, string, event.Event) {}}, secret.Text{})
	defer nobody.Close()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "http://127.0.0.1/signin", strings.NewReader("token="))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if nobody.Private().ServeHTTP(w, r); w.Code != 401 {
		t.Errorf("a gateway without a token: got %d for an empty one, want 401", w.Code)
	}
}

// TestStreamSendsWhatChanges, and nothing twice.
func TestStreamSendsWhatChanges(t *testing.T) {
	parts, sent := map[string]any{"a": 1, "b": []string{"x"}}, map[string][]byte{}
	for i, want := range []string{"data: {\"a\":1,\"b\":[\"x\"]}\n\n", "", "data: {\"a\":2}\n\n"} {
		if i == 2 {
			parts["a"] = 2
		}
		if got, err := dashboard.Changes(parts, sent); err != nil || string(got) != want {
			t.Errorf("%d: got %q, %v, want %q", i, got, err, want)
		}
	}
	if _, err := json.Marshal(parts); err != nil {
		t.Fatal(err)
	}
}

// TestScriptIsSmallAndMakesNoMarkup: it would break under the pages' own policy.
func TestScriptIsSmallAndMakesNoMarkup(t *testing.T) {
	script, err := os.ReadFile("pages/dashboard.js")
	if err != nil {
		t.Fatal(err)
	}
	if len(script) > 8_000 {
		t.Errorf("the script has %d bytes, want 8 kB at most", len(script))
	}
	for _, sink := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "DOMParser", ".style."} {
		if strings.Contains(string(script), sink) {
			t.Errorf("the script has %s in it", sink)
		}
	}
}

// TestUPlotIsWhatItsREADMESays.
func TestUPlotIsWhatItsREADMESays(t *testing.T) {
	readme, err := os.ReadFile("uplot/README.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("uplot/uPlot.iife.min.js")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`\(v([\d.]+)\)`).FindSubmatch(script)
	if version == nil || !strings.Contains(string(readme), "uPlot) "+string(version[1])+" (MIT") {
		t.Errorf("the README does not say version %s", version)
	}
	if license, err := os.ReadFile("uplot/LICENSE"); err != nil || !strings.Contains(string(license), "MIT License") {
		t.Errorf("the licence: %v", err)
	}
}

// TestRefererOfAnotherSiteMayNotPost: a browser that says neither Sec-Fetch-Site nor Origin may still
// say which page it was.
func TestRefererOfAnotherSiteMayNotPost(t *testing.T) {
	h := newHouse(t, func(*house, *dashboard.Source) {})
	for _, tt := range []struct {
		scheme, origin, referer string
		refused                 bool
	}{
		{"http", "", "http://evil.test/", true}, {"http", "", "http://gw.test.evil.test/", true}, {"http", "", "http://gw.test:81/", true}, {"http", "", "http://gw.test@evil.test/", true},
		{"http", "", "about:blank", true}, {"http", "", "", true}, {"http", "", "%", true}, {"https", "", "http://gw.test/sessions", true},
		{"http", "", "http://gw.test/sessions", false}, {"https", "", "https://GW.test/", false}, {"http", "http://gw.test", "http://evil.test/", false}, {"http", "", "-", false},
	} {
		for _, path := range []string{"/revoke", "/reload"} {
			r := httptest.NewRequest(http.MethodPost, tt.scheme+"://gw.test"+path, nil)
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			if tt.referer != "-" {
				r.Header.Set("Referer", tt.referer)
			}
			ctx := web.WithNote(r.Context(), &web.Note{ID: "r", Scheme: tt.scheme})
			w := httptest.NewRecorder()
			h.h.Published().ServeHTTP(w, r.WithContext(auth.NewContext(ctx, &auth.Login{Identity: auth.Identity{User: "root"}})))
			if got := w.Code == http.StatusForbidden; got != tt.refused {
				t.Errorf("%s, %+v: got %d", path, tt, w.Code)
			}
		}
	}
}

// TestPlainPagesMayNotPost: of a browser that says no more than Origin, a page at http under the
// gateway's own name is anybody's who is on the way.
func TestPlainPagesMayNotPost(t *testing.T) {
	h := newHouse(t, func(*house, *dashboard.Source) {})
	for _, tt := range []struct {
		scheme, origin, site string
		want                 int
	}{
		{"https", "http://gw.test", "", http.StatusForbidden}, {"https", "https://gw.test", "", http.StatusOK}, {"https", "https://evil.test", "", http.StatusForbidden},
		{"https", "http://gw.test", "same-origin", http.StatusOK}, {"https", "", "cross-site", http.StatusForbidden}, {"http", "http://gw.test", "", http.StatusOK},
	} {
		r := httptest.NewRequest(http.MethodPost, tt.scheme+"://gw.test/nothing", nil)
		r.Header.Set("Origin", tt.origin)
		r.Header.Set("Sec-Fetch-Site", tt.site)
		ctx := web.WithNote(r.Context(), &web.Note{ID: "r", Scheme: tt.scheme})
		ctx = auth.NewContext(ctx, &auth.Login{Identity: auth.Identity{User: "root"}})
		w := httptest.NewRecorder()
		h.h.Published().ServeHTTP(w, r.WithContext(ctx))
		if got := w.Code == http.StatusForbidden; got != (tt.want == http.StatusForbidden) {
			t.Errorf("%+v: got %d", tt, w.Code)
		}
	}
}
