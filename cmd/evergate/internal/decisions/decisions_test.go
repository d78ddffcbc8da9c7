package decisions_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/decisions"
)

// TestDecisionsAreExplained: each request is there, the newest first, with what came of
// each rule and the line that it stands on, and with nothing that opens anything.
func TestDecisionsAreExplained(t *testing.T) {
	s := newScene(t, 20)
	for _, c := range []struct{ who, target, decision, rule, observed string }{
		{"alice/s1/staff", "/w/page?token=query-secret", "allowed", "routes[0].allow[0] line 13", "denied"},
		{"mallory/s2/staff", "/w/page", "denied", "routes[0].deny[0] line 11", "denied"},
		{"bob/s3/none", "/w/page", "denied", "", "denied"},
		{"", "/w/page", "login", "", "login"},
		{"root/s4/admin", "/w/page", "denied", "", "allowed"},
		{"alice/s1/staff", "/open", "public", "", ""},
		{"alice/s1/staff", "/plain", "allowed", "", ""},
		{"", "/a//b", "refused", "", ""},
		{"robot//staff", "/w/page", "allowed", "routes[0].allow[0] line 13", "denied"},
	} {
		s.now = s.now.Add(time.Second)
		s.ask(c.who, c.target)
		d := s.log.List(decisions.Which{})[0]
		rule, observed := "", ""
		if d.Rule != nil {
			rule = fmt.Sprintf("%s line %d", d.Rule.At, d.Rule.Line)
		}
		if d.Observed != nil {
			observed = d.Observed.Decision
		}
		if d.Decision != c.decision || rule != c.rule || observed != c.observed || !d.Time.Equal(s.now) {
			t.Errorf("%s %s: got %s by %q, observed %q, at %s; want %s by %q, %q", c.who, c.target, d.Decision, rule, observed, d.Time, c.decision, c.rule, c.observed)
		}
		if d.Host != "example.com" || d.Address.String() != "192.0.2.7" || d.Method != "GET" || strings.ContainsAny(d.Path, "?") {
			t.Errorf("%s: got %+v", c.target, d)
		}
	}

	d := s.log.List(decisions.Which{User: "alice"})[2]
	got := ""
	for _, r := range d.Rules {
		got += fmt.Sprintf("%s %s:%d holds %v decides %v\n", r.Effect, r.At, r.Line, r.Holds, r.Decides)
		for _, c := range r.Conditions {
			got += fmt.Sprintf("  %s %s %v\n", c.Key, c.Wants, c.Holds)
		}
	}
	const want = `deny routes[0].deny[0]:11 holds false decides false
  users user mallory false
allow routes[0].allow[0]:13 holds true decides true
  groups group staff true
allow routes[0].allow[1]:14 holds false decides false
  when request.header("X-App") == "yes" false
`
	if got != want {
		t.Errorf("the rules of the first: got\n%swant\n%s", got, want)
	}
	if would := d.Observed.Rules; len(would) != 2 || would[1].At != "rules.next.allow[0]" || would[1].Line != 6 || would[1].Holds {
		t.Errorf("the observed rules of the first: got %+v", would)
	}
	if nobody := s.log.List(decisions.Which{})[5]; nobody.Decision != "login" || len(nobody.Rules) != 3 || !nobody.Rules[0].Skipped {
		t.Errorf("nobody: got %+v", nobody)
	}

	all, err := json.Marshal(s.log.List(decisions.Which{}))
	if err != nil || strings.Contains(string(all), "secret") {
		t.Errorf("a secret, or %v, is in %s", err, all)
	}
	if got := s.log.List(decisions.Which{Session: "s1", Limit: 2}); len(got) != 2 || got[0].Path != "/plain" || got[1].Path != "/open" {
		t.Errorf("the last two of a session: got %+v", got)
	}
	if got := s.log.List(decisions.Which{User: "robot"}); len(got) != 1 || got[0].Session != "" {
		t.Errorf("of a client with a token of its own: got %+v", got)
	}
}

// TestHeadersThatRulesRead: an explanation sees them as the decision did; others are not
// kept, nor is what somebody is known by.
func TestHeadersThatRulesRead(t *testing.T) {
	s := newScene(t, 20)
	holds := func() bool {
		t.Helper()
		d := s.log.List(decisions.Which{Limit: 1})[0]
		last := d.Rules[len(d.Rules)-1]
		if last.Holds != (d.Decision == "allowed") {
			t.Errorf("decided %s, explained %+v", d.Decision, last)
		}
		return last.Holds
	}
	for _, c := range []struct {
		path, name, value string
		want              bool
	}{
		{"/w/page", "X-App", "yes", true}, {"/w/page", "X-App", "no", false},
		{"/any", "X-Get", "yes", true}, {"/any", "X-Get", "no", false},
	} {
		s.now = s.now.Add(time.Second)
		s.ask("bob/s/none", c.path, c.name, c.value)
		if got := holds(); got != c.want {
			t.Errorf("%s, %s: %s: got %v", c.path, c.name, c.value, got)
		}
	}
	s.now = s.now.Add(time.Second)
	s.ask("bob/s/none", "/w/page", "X-App", strings.Repeat("x", 2000))
	if d := s.log.List(decisions.Which{Limit: 1})[0]; !strings.Contains(d.Note, "too large") {
		t.Errorf("a long header: got the note %q", d.Note)
	}
	s.now = s.now.Add(time.Second)
	s.ask("bob/s/none", "/w/"+strings.Repeat("x", 2000))
	if d := s.log.List(decisions.Which{Limit: 1})[0]; !strings.Contains(d.Note, "too large") || len(d.Path) > 600 {
		t.Errorf("a long path: got %d bytes, and the note %q", len(d.Path), d.Note)
	}
}

// TestTheRulesOfThen: a reload that moves lines, or changes rules, changes nothing about
// what is explained of before.
func TestTheRulesOfThen(t *testing.T) {
	s := newScene(t, 20)
	s.ask("alice/s1/staff", "/w/page")
	moved := "# a line\n# and another\n" + strings.Replace(file, "groups: [staff]", "groups: [nobody]", 1)
	s.load(moved, 20)
	s.now = s.now.Add(time.Second)
	s.ask("alice/s1/staff", "/w/page")
	all := s.log.List(decisions.Which{})
	if all[1].Decision != "allowed" || all[1].Rule.Line != 13 || !all[1].Rules[1].Holds {
		t.Errorf("before: got %+v", all[1])
	}
	if all[0].Decision != "denied" || all[0].Rules[1].Line != 15 || all[0].Rules[1].Holds {
		t.Errorf("after: got %+v", all[0])
	}
	for range 4 {
		s.load(moved, 20)
	}
	if d := s.log.List(decisions.Which{})[1]; d.Decision != "allowed" || d.Rule.At != "routes[0].allow[0]" || d.Rules != nil || !strings.Contains(d.Note, "not kept any more") {
		t.Errorf("many configs later: got %+v", d)
	}
}

// TestKeptIsBounded: a session keeps so many, and so many sessions there are; the longest
// unused goes first. What the config keeps may change.
func TestKeptIsBounded(t *testing.T) {
	s := newScene(t, 3)
	for i := range 5 {
		s.now = s.now.Add(time.Second)
		s.ask("alice/s1/staff", fmt.Sprint("/w/", i))
	}
	paths := func(w decisions.Which) (all string) {
		for _, d := range s.log.List(w) {
			all += d.Path + " "
		}
		return all
	}
	if got := paths(decisions.Which{Session: "s1"}); got != "/w/4 /w/3 /w/2 " {
		t.Errorf("of a session: got %s", got)
	}
	s.load(file, 2)
	if got := paths(decisions.Which{Session: "s1"}); got != "/w/4 /w/3 " {
		t.Errorf("after a reload that keeps less: got %s", got)
	}
	s.load(file, 4)
	for i := 5; i < 8; i++ {
		s.now = s.now.Add(time.Second)
		s.ask("alice/s1/staff", fmt.Sprint("/w/", i))
	}
	if got := paths(decisions.Which{Session: "s1"}); got != "/w/7 /w/6 /w/5 /w/4 " {
		t.Errorf("after a reload that keeps more: got %s", got)
	}
	for i := range 1000 {
		if i == 500 {
			s.ask("alice/s1/staff", "/plain") // so it is not the longest unused
		}
		s.ask(fmt.Sprintf("u/t%d/staff", i), "/plain")
	}
	if paths(decisions.Which{Session: "t0"}) != "" || paths(decisions.Which{Session: "t1"}) == "" || paths(decisions.Which{Session: "s1"}) == "" {
		t.Error("of 1,001 sessions another than the longest unused was forgotten")
	}
	for range 300 {
		s.ask("", "/plain")
	}
	nobody := 0
	for _, d := range s.log.List(decisions.Which{Limit: 1000}) {
		if d.Session == "" {
			nobody++
		}
	}
	if nobody != 200 {
		t.Errorf("of nobody: got %d, want 200", nobody)
	}
	s.load(file, 0)
	s.ask("alice/s1/staff", "/plain")
	if got := paths(decisions.Which{}); got != "" || s.log.Keeps() != 0 {
		t.Errorf("with admin.decisions 0: got %s", got)
	}
}

// TestMemory: as much as is ever kept takes what memory.go says.
func TestMemory(t *testing.T) {
	if decisions.FactSize > 512 {
		t.Errorf("a decision takes %d bytes", decisions.FactSize)
	}
	for keep, most := range map[int]uint64{20: 16 << 20, 1000: 40 << 20} {
		s := newScene(t, keep)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		path := "/w/" + strings.Repeat("x", 60)
		for i := range 1100 {
			for range min(keep, 60) {
				s.ask(fmt.Sprintf("u%d/t%d/staff", i, i), path, "X-App", "yes")
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		took := after.HeapAlloc - before.HeapAlloc
		t.Logf("%d decisions of each session: %.1f MB", keep, float64(took)/(1<<20))
		if took > most {
			t.Errorf("%d decisions of each session: %d bytes, want at most %d", keep, took, most)
		}
		runtime.KeepAlive(s)
	}
}
