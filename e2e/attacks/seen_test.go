package attacks

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// mark is how far the places are that a case is looked at in.
type mark struct {
	requests, log, audit int
	sessions             []string
}

func (l *lab) marks() mark {
	return mark{requests: l.app.count(), log: l.out.len(), audit: len(l.events()), sessions: l.sessions()}
}

// traces is what a case is to leave behind.
type traces struct {
	app      int      // requests that the app got
	sessions int      // sessions that began, less those that ended
	events   []string // of the audit log, in any order
	any      bool     // the events are the case's own matter, and it has looked at them
}

// saw looks at the app, the store and the audit log, and returns what the app got.
func (l *lab) saw(want traces) []*got {
	l.t.Helper()
	l.looked = true
	all := l.app.since(l.t, l.before.requests)
	if len(all) != want.app {
		var heads []string
		for _, g := range all {
			heads = append(heads, g.head())
		}
		l.t.Errorf("the app got %d requests, want %d\n%.2000s", len(all), want.app, strings.Join(heads, "\n"))
	}
	if now := len(l.sessions()) - len(l.before.sessions); now != want.sessions {
		l.t.Errorf("the store has %+d sessions, want %+d", now, want.sessions)
	}
	if want.any {
		return all
	}
	slices.Sort(want.events)
	var events []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // the audit log is written beside
		events = nil
		for _, e := range l.events()[l.before.audit:] {
			name := fmt.Sprint(e["event"])
			if name == "risk.new_network" { // where the cases of one lab ask from is TestRisk's matter alone
				continue
			}
			if reason, ok := e["reason"]; ok {
				name += "/" + fmt.Sprint(reason)
			}
			events = append(events, name)
		}
		slices.Sort(events)
		if slices.Equal(events, want.events) {
			return all
		}
	}
	l.t.Errorf("the audit log has %q, want %q", events, want.events)
	return all
}

// events are the lines of the audit log.
func (l *lab) events() (all []map[string]any) {
	l.t.Helper()
	b, err := os.ReadFile(filepath.Join(l.dir, "audit.jsonl"))
	if err != nil && !os.IsNotExist(err) {
		l.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			l.t.Fatalf("the audit log has %q: %v", line, err)
		}
		all = append(all, e)
	}
	return all
}

// sessions are the names of the sessions in the store, as the operator sees them. It is empty
// where there is no store.
func (l *lab) sessions() (names []string) {
	l.t.Helper()
	status, body := l.operator("/api/sessions?user=")
	if status == http.StatusNotFound || status == http.StatusNotImplemented {
		return nil
	}
	var all []struct{ Name string }
	if err := json.Unmarshal([]byte(body), &all); status != 200 || err != nil {
		l.t.Fatalf("the operator's list of sessions: got %d %.200s (%v)", status, body, err)
	}
	for _, s := range all {
		names = append(names, s.Name)
	}
	return names
}

// operator asks the admin listener, with its token.
func (l *lab) operator(path string) (status int, body string) {
	l.t.Helper()
	token, err := os.ReadFile(filepath.Join(l.dir, "data", "admin.token"))
	if err != nil {
		l.t.Fatal(err)
	}
	req, err := http.NewRequest("GET", "http://"+l.admin+path, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// unharmed: the gateway still runs, did not panic, and serves somebody else.
func (l *lab) unharmed() {
	l.t.Helper()
	select {
	case <-l.ended:
		l.t.Fatalf("evergate is gone: %v\n%s", l.err, l.out.end())
	default:
	}
	if said := l.out.from(l.before.log); strings.Contains(said, "panic") || strings.Contains(said, "DATA RACE") {
		l.t.Errorf("the log tells of a panic:\n%s", said[max(0, len(said)-4000):])
	}
	if r := l.get("/.evergate/ping"); r.StatusCode != http.StatusOK {
		l.t.Errorf("afterwards the gateway answers %d", r.StatusCode)
	}
}

// kept: nothing that is secret is in the log or the audit log of the whole section.
func (l *lab) kept(t *testing.T) {
	t.Helper()
	audit, _ := os.ReadFile(filepath.Join(l.dir, "audit.jsonl"))
	for where, text := range map[string]string{"log": l.out.from(0), "audit log": string(audit)} {
		for what, secret := range l.secrets.all() {
			if strings.Contains(text, secret) {
				t.Errorf("the %s holds %s", where, what)
			}
		}
	}
}
