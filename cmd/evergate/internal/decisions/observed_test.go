package decisions_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestDifferencesAreCounted: each way in which observed rules differ, the most frequent
// first; the log hears of it at once, and then each minute at most.
func TestDifferencesAreCounted(t *testing.T) {
	s := newScene(t, 20)
	for range 3 {
		s.ask("alice/s1/staff", "/w/page") // allowed, would be denied
	}
	s.ask("root/s2/admin", "/w/page")   // denied, would be allowed
	s.ask("", "/w/page")                // login either way
	s.ask("mallory/s3/none", "/w/page") // denied either way
	s.ask("alice/s1/staff", "/plain")   // nothing is observed here
	got := s.log.Differences()
	if len(got.All) != 2 || got.Beyond != 0 {
		t.Fatalf("got %+v, want two differences", got)
	}
	a, b := got.All[0], got.All[1]
	if a.Route != "wiki" || a.User != "alice" || a.Decision != "allowed" || a.Observed != "denied" || a.Rule != nil || a.Count != 3 || a.Request == "" {
		t.Errorf("got %+v", a)
	}
	if b.User != "root" || b.Decision != "denied" || b.Observed != "allowed" || b.Rule == nil || b.Rule.At != "rules.next.allow[0]" || b.Rule.Line != 6 || b.Count != 1 {
		t.Errorf("got %+v", b)
	}
	if n := s.n.n; n["wiki allowed denied"] != 3 || n["wiki denied allowed"] != 1 || n["wiki login login"] != 1 || n["wiki denied denied"] != 1 || len(n) != 4 {
		t.Errorf("counted: got %v", n)
	}
	told := func() int { return strings.Count(s.out.String(), "event=rules.observed") }
	if got := told(); got != 2 {
		t.Errorf("got %d lines in the log, want 2:\n%s", got, s.out.String())
	}
	first := got.All[0].First
	s.now = s.now.Add(time.Minute)
	s.ask("alice/s1/staff", "/w/page")
	s.ask("alice/s1/staff", "/w/page")
	if told() != 3 || !strings.Contains(s.out.String(), "user=alice decision=allowed observed=denied count=4") {
		t.Errorf("a minute later: got\n%s", s.out.String())
	}
	if a := s.log.Differences().All[0]; a.Count != 5 || a.First != first || !a.Last.Equal(s.now) {
		t.Errorf("a minute later: got %+v", a)
	}

	// A reload about something else keeps the table, and tells the lines of now.
	s.load("# moved\n"+file, 5)
	if d := s.log.Differences(); len(d.All) != 2 || d.All[1].Rule.Line != 7 {
		t.Errorf("after a reload: got %+v", d)
	}
	late := s.gate // a request that has not left the edition of before
	s.load(strings.Replace(file, "groups: [admin]", "groups: [staff]", 1), 5)
	if d := s.log.Differences(); len(d.All) != 0 || s.n.n != nil || !d.Since.Equal(s.now) {
		t.Errorf("after a reload of the rules: got %+v, counted %v", d, s.n.n)
	}
	now := s.gate
	s.gate = late
	s.ask("alice/s1/staff", "/w/page")
	s.gate = now
	s.ask("alice/s1/staff", "/w/page")
	if d := s.log.Differences(); len(d.All) != 0 {
		t.Errorf("a late request: got %+v", d)
	}
}

// TestDifferencesOfRulesThatAskForNoTime: a Question tells none to rules that do not look at it.
// When they differed is known all the same, and the log hears of it each minute.
func TestDifferencesOfRulesThatAskForNoTime(t *testing.T) {
	s := newScene(t, 20)
	s.load(strings.Replace(file, "      - when: request.header(\"X-App\") == \"yes\"\n    rules", "    rules", 1), 20)
	for range 3 {
		s.ask("alice/s1/staff", "/w/page")
	}
	d := s.log.Differences().All
	if len(d) != 1 || d[0].Count != 3 || !d[0].First.Equal(s.now) || !d[0].Last.Equal(s.now) {
		t.Errorf("got %+v, want one of now", d)
	}
	if got := strings.Count(s.out.String(), "event=rules.observed"); got != 1 {
		t.Errorf("got %d lines in the log, want 1:\n%s", got, s.out.String())
	}
}

// TestDifferencesAreBounded: what has no place in the table is counted all the same.
func TestDifferencesAreBounded(t *testing.T) {
	s := newScene(t, 0)
	for i := range 1005 {
		s.ask(fmt.Sprintf("u%d/s/staff", i), "/w/page")
	}
	s.ask("u1/s/staff", "/w/page")
	if d := s.log.Differences(); len(d.All) != 1000 || d.Beyond != 5 || d.All[0].User != "u1" || d.All[0].Count != 2 || s.n.n["wiki allowed denied"] != 1006 {
		t.Errorf("got %d, %d beyond, first %+v, counted %v", len(d.All), d.Beyond, d.All[0], s.n.n)
	}
}
