package decisions_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/decisions"
)

// TestShow: the answers of one user tell what was decided, for as long as was asked.
func TestShow(t *testing.T) {
	s := newScene(t, 20)
	shown := func(who, target string) string {
		t.Helper()
		return strings.Join(s.ask(who, target).Header()["X-Evergate-Decision"], "|")
	}
	if got := shown("alice/s1/staff", "/w/page"); got != "" {
		t.Errorf("before anybody asked: got %s", got)
	}
	if err := s.log.Show("alice", 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ who, target, want string }{
		{"alice/s1/staff", "/w/page", `allowed; route="wiki"; rule="routes[0].allow[0]"; line=13; observed=denied; request="request-N"`},
		{"alice/s1/none", "/w/page", `denied; route="wiki"; observed=denied; request="request-N"`},
		{"alice/s1/none", "/open", `public; route="/open"; request="request-N"`},
		{"bob/s2/staff", "/w/page", ""},
		{"", "/w/page", ""},
	} {
		got := shown(c.who, c.target)
		if want := strings.Replace(c.want, "request-N", fmt.Sprintf("request-%d", requests.Load()), 1); got != want {
			t.Errorf("%s %s: got\n%s, want\n%s", c.who, c.target, got, want)
		}
	}
	if h := s.ask("alice/s1/staff", "/open").Header().Get("Cache-Control"); !strings.Contains(h, "private") {
		t.Errorf("a public page that tells of alice: got Cache-Control %q, want it private", h)
	}
	if got := s.log.Shown(); len(got) != 1 || got[0].User != "alice" || !got[0].Until.Equal(s.now.Add(10*time.Minute)) {
		t.Errorf("got %+v", got)
	}
	s.now = s.now.Add(10 * time.Minute)
	if got := shown("alice/s1/staff", "/w/page"); got != "" || len(s.log.Shown()) != 0 {
		t.Errorf("after ten minutes: got %s, %+v", got, s.log.Shown())
	}
	if err := s.log.Show("alice", 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := s.log.Show("alice", 0); err != nil {
		t.Fatal(err)
	}
	if got := shown("alice/s1/staff", "/w/page"); got != "" {
		t.Errorf("after its end: got %s", got)
	}
	for _, want := range []string{"event=decisions.shown user=alice until=2026-11-27T09:10:00.000Z", "event=decisions.hidden user=alice"} {
		if !strings.Contains(s.out.String(), want) {
			t.Errorf("got\n%s\nwant in it %s", s.out.String(), want)
		}
	}
	for _, c := range []struct {
		user string
		long time.Duration
	}{{"", time.Minute}, {"alice", -1}, {"alice", 24*time.Hour + 1}, {strings.Repeat("x", 300), time.Minute}} {
		if err := s.log.Show(c.user, c.long); err == nil {
			t.Errorf("%.9s for %s: got no error", c.user, c.long)
		}
	}
	for i := range 100 {
		if err := s.log.Show(fmt.Sprint("u", i), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.log.Show("one-more", time.Hour); err == nil {
		t.Error("more than a hundred: got no error")
	}
}

// TestShownNames: a name is a String of RFC 9651, or a Display String where it has to be.
func TestShownNames(t *testing.T) {
	for name, want := range map[string]string{
		`a "wiki" \ b`: `route="a \"wiki\" \\ b"`,
		"Büro 100%":    `route=%"B%c3%bcro 100%25"`,
	} {
		s := newScene(t, 20)
		quoted := "'" + strings.ReplaceAll(name, "'", "''") + "'"
		s.load(strings.Replace(file, "name: wiki", "name: "+quoted, 1), 20)
		if err := s.log.Show("alice", time.Minute); err != nil {
			t.Fatal(err)
		}
		if got := s.ask("alice/s1/staff", "/w/page").Header().Get("X-Evergate-Decision"); !strings.Contains(got, "; "+want+";") {
			t.Errorf("got %s, want %s in it", got, want)
		}
	}
}

// TestAllAtOnce: requests, reloads and questions meet.
func TestAllAtOnce(t *testing.T) {
	s := newScene(t, 5)
	gate := s.gate
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 200 {
				askOf(gate, fmt.Sprintf("u%d/s%d/staff", i, j%7), "/w/page")
			}
		})
	}
	wg.Go(func() {
		for i := range 50 {
			s.load(strings.Replace(file, "[admin]", fmt.Sprintf("[g%d]", i/10), 1), 3+i%3)
		}
	})
	wg.Go(func() {
		for i := range 100 {
			s.log.List(decisions.Which{})
			s.log.Differences()
			if err := s.log.Show("u1", time.Duration(i%2)*time.Hour); err != nil {
				t.Error(err)
			}
			s.log.Shown()
		}
	})
	wg.Wait()
	if got := s.log.List(decisions.Which{}); len(got) == 0 {
		t.Error("nothing is kept")
	}
}
