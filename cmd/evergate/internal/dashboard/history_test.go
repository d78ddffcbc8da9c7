package dashboard_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/dashboard"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

// clock is a time that a test sets.
type clock struct {
	mu sync.Mutex // guards at
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 27, 9, 0, 2, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func TestHistoryCountsAnHour(t *testing.T) {
	c := newClock()
	h := dashboard.NewHistory(c.now)
	hear := func(n event.Name, reason string) { h.Hear(t.Context(), event.Event{Name: n, Reason: reason}) }
	hear(event.SessionRenewed, "")
	hear(event.SessionRenewed, "")
	c.pass(5 * time.Second)
	hear(event.SessionRenewalFailed, event.RenewalUnavailable)
	hear(event.SessionWithdrawn, event.UserWithdrawn)
	c.pass(5 * time.Second)
	hear(event.SessionWithdrawn, event.GrantRefused)
	c.pass(5 * time.Second)
	series, end := h.Series(4)
	for kind, want := range map[int]string{dashboard.Renewed: "[0 2 0 0]", dashboard.RenewFailed: "[0 0 1 0]", dashboard.RenewRefused: "[0 0 0 1]"} {
		if got := fmt.Sprint(series[kind]); got != want {
			t.Errorf("%d: got %s, want %s", kind, got, want)
		}
	}
	if want := c.now().Add(-2 * time.Second); !end.Equal(want) {
		t.Errorf("the series ends at %s, want %s", end, want)
	}
	c.pass(time.Hour - 15*time.Second)
	hear(event.SessionRenewed, "") // in the slot of the first two
	if got := h.Total(dashboard.Renewed); got != 1 {
		t.Errorf("an hour later: got %d renewals in the last hour, want the 1 of now", got)
	}
	if got := h.Total(dashboard.RenewFailed); got != 1 {
		t.Errorf("an hour later: got %d failures, want the 1 of 55 minutes and 55 seconds ago", got)
	}
}

func TestHistoryCountsRoutes(t *testing.T) {
	c := newClock()
	h := dashboard.NewHistory(c.now)
	for _, d := range []web.Done{
		{Route: "wiki", Decision: "allowed", Status: 200}, {Route: "wiki", Decision: "allowed", Status: 502}, {Route: "wiki", Decision: "denied", Status: 403},
		{Route: "wiki", Decision: "login", Status: 303}, {Route: "wiki", Decision: "step-up", Status: 401}, {Route: "wiki", Decision: "allowed", Status: 429},
		{Route: "wiki", Decision: "unavailable", Status: 503},
	} {
		h.Done(&d)
	}
	c.pass(6 * time.Minute)
	h.Done(&web.Done{Route: "wiki", Decision: "public", Status: 200})
	all := h.Routes()
	if got, want := fmt.Sprint(all), "[{wiki [1 0 0 0] [8 2 2 2]}]"; got != want {
		t.Errorf("got %s, want %s: requests, asked to sign in, refused and failed, in five minutes and in an hour", got, want)
	}
	c.pass(time.Hour)
	if all := h.Routes(); len(all) != 0 {
		t.Errorf("an hour later: got %v, want nothing", all)
	}
}

// TestHistoryIsBounded: whatever names routes have, and however many there are.
func TestHistoryIsBounded(t *testing.T) {
	c := newClock()
	h := dashboard.NewHistory(c.now)
	for i := range 1500 {
		h.Done(&web.Done{Route: fmt.Sprint("route ", i), Decision: "allowed", Status: 200})
	}
	all := h.Routes()
	var sum uint64
	for _, r := range all {
		sum += r.Sixty[0]
	}
	if len(all) != 1001 || sum != 1500 {
		t.Errorf("got %d routes with %d requests, want 1000 and one for the others, with 1500", len(all), sum)
	}
	c.pass(2 * time.Hour)
	h.Done(&web.Done{Route: "route 1499", Decision: "allowed", Status: 200})
	if all := h.Routes(); len(all) != 1 || all[0].Route != "route 1499" {
		t.Errorf("once the others are forgotten: got %v, want the route by its name", all)
	}
}

// TestTimelineKeepsWhatBeganIt: an outage in which everybody's renewal fails, and a
// guesser, leave what happened before readable.
func TestTimelineKeepsWhatBeganIt(t *testing.T) {
	c := newClock()
	h := dashboard.NewHistory(c.now)
	hear := func(e event.Event) { h.Hear(t.Context(), e) }
	hear(event.Event{Name: event.ProviderAway, Provider: "demo", Err: errors.New(strings.Repeat("ä", 500))})
	for i := range 1000 {
		hear(event.Event{Name: event.SessionRenewalFailed, Provider: "demo", Reason: event.RenewalUnavailable, User: fmt.Sprint("user", i)})
		hear(event.Event{Name: event.LoginFailed, Provider: "local", Reason: event.BadCredentials, Origin: event.Origin{Client: fmt.Sprint("10.0.0.", i%250)}})
		c.pass(100 * time.Millisecond)
	}
	hear(event.Event{Name: event.ProviderBack, Provider: "demo"})
	all := h.Timeline()
	if len(all) != 8 {
		t.Fatalf("got %d moments, want 8: away, back, and three for each of the two runs\n%v", len(all), all)
	}
	if all[0].Name != event.ProviderBack || all[7].Name != event.ProviderAway {
		t.Errorf("got %s first and %s last, want the newest first", all[0].Name, all[7].Name)
	}
	if n := len([]rune(all[7].Detail)); n != 301 {
		t.Errorf("got %d runes of detail, want 300 and an ellipsis", n)
	}
	run := all[1]
	if run.Times != 998 || !run.Until.After(run.At) {
		t.Errorf("got %+v, want the third to have happened 998 times", run)
	}
	for i := range 500 {
		hear(event.Event{Name: event.SessionStarted, User: fmt.Sprint("user", i), Provider: fmt.Sprint(i)})
	}
	all = h.Timeline()
	if len(all) != 202 || all[len(all)-1].Name != event.ProviderAway {
		t.Errorf("after 500 sign-ins: got %d moments, want 200 of them and the provider's two", len(all))
	}
	for range 100 {
		hear(event.Event{Name: event.SessionRenewed})
		hear(event.Event{Name: event.SessionRotated})
	}
	if got := len(h.Timeline()); got != 202 {
		t.Errorf("renewals that work came into the timeline: %d", got)
	}
}

// TestTimelineTellsTheEndToo: that renewals work again is told where none had worked for a
// while, and not for each one that works after one that did not.
func TestTimelineTellsTheEndToo(t *testing.T) {
	c := newClock()
	h := dashboard.NewHistory(c.now)
	hear := func(n event.Name, provider string) { h.Hear(t.Context(), event.Event{Name: n, Provider: provider}) }
	hear(event.SessionRenewalFailed, "demo")
	c.pass(5 * time.Second)
	hear(event.SessionRenewed, "demo") // it was one session's trouble
	hear(event.SessionRenewalFailed, "demo")
	c.pass(40 * time.Second)
	hear(event.SessionRenewed, "corp")
	hear(event.SessionRenewed, "demo")
	hear(event.SessionRenewed, "demo")
	all := h.Timeline()
	if len(all) != 3 || all[0].Name != event.SessionRenewed || all[0].Provider != "demo" || !strings.Contains(all[0].Detail, "40 s") {
		t.Errorf("got %+v, want two failures, and once that demo works again after 40 s", all)
	}
}

// TestHistoryUnderLoad is for the race detector, and counts all there is.
func TestHistoryUnderLoad(t *testing.T) {
	c := newClock()
	h := dashboard.NewHistory(c.now)
	var wg sync.WaitGroup
	const each = 2000
	for i := range 8 {
		wg.Go(func() {
			for j := range each {
				h.Done(&web.Done{Route: fmt.Sprint("r", j%7), Decision: "allowed", Status: 200})
				h.Hear(context.Background(), event.Event{Name: event.SessionRenewed})
				if i == 0 && j%20 == 0 {
					c.pass(time.Second)
					h.Routes()
					h.Series(10)
				}
			}
		})
	}
	wg.Wait()
	var sum uint64
	for _, r := range h.Routes() {
		sum += r.Sixty[0]
	}
	if got := h.Total(dashboard.Renewed); sum != 8*each || got != 8*each {
		t.Errorf("got %d requests and %d renewals, want %d each", sum, got, 8*each)
	}
}

func TestDoneAllocatesNothing(t *testing.T) {
	h := dashboard.NewHistory(nil)
	d := &web.Done{Route: "wiki", Decision: "allowed", Status: 200}
	h.Done(d)
	if n := testing.AllocsPerRun(1000, func() { h.Done(d) }); n != 0 {
		t.Errorf("got %v allocations for a request, want 0", n)
	}
}

func BenchmarkDone(b *testing.B) {
	h := dashboard.NewHistory(nil)
	d := &web.Done{Route: "wiki", Decision: "allowed", Status: 200}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			h.Done(d)
		}
	})
}

func BenchmarkHearRenewal(b *testing.B) {
	h := dashboard.NewHistory(nil)
	e := event.Event{Name: event.SessionRenewed, User: "alice", Provider: "demo"}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			h.Hear(context.Background(), e)
		}
	})
}

// TestRunOfWhatOperatorsDid: who did it stays told, and a count of several people's sessions is not
// told of the last one of them.
func TestRunOfWhatOperatorsDid(t *testing.T) {
	h := dashboard.NewHistory(nil)
	ended := func(actor, user string, n int) {
		h.Hear(t.Context(), event.Event{Name: event.AdminRevoked, At: time.Now(), Actor: actor, User: user, Count: n})
	}
	for i := range 6 {
		ended("mallory", fmt.Sprint("user", i), 2)
	}
	ended("alice", "bob", 1)
	var said []string
	for _, m := range h.Timeline() {
		said = append(said, fmt.Sprint(m.Actor, " ended ", m.Count, " of ", m.User))
	}
	want := []string{"alice ended 1 of bob", "mallory ended 8 of ", "mallory ended 2 of user1", "mallory ended 2 of user0"}
	if !slices.Equal(said, want) {
		t.Errorf("got %q, want %q", said, want)
	}
}
