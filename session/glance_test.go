package session_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
)

// glancer looks at a session every ten minutes, as a page does that watches the clock,
// with every cookie that comes of it.
func glancer(t *testing.T, a auth.Authenticator, j jar, times int) (looks int) {
	t.Helper()
	for range times {
		time.Sleep(10 * time.Minute)
		r := j.request("GET")
		login, err := a.Authenticate(r.WithContext(auth.WithGlance(r.Context())))
		if err != nil {
			return looks
		}
		looks++
		h := http.Header{}
		login.Session.Deliver(context.Background(), h)
		j.take(h)
		if left := time.Until(login.Session.Times().IdleEnds); left < -10*time.Minute || left > 12*time.Hour-time.Duration(looks)*10*time.Minute+time.Hour {
			t.Errorf("after %d looks the session is said to end in %v", looks, left)
		}
	}
	return looks
}

// TestGlancesAreNoUse: twelve hours of looks keep nobody signed in, and cost the provider
// nothing.
func TestGlancesAreNoUse(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		b.mustServe(j)
		renewed := b.method.calls()
		if looks := glancer(t, b.m, j, 90); looks < 70 || looks > 80 {
			t.Errorf("a session was seen %d times in ten minutes each, want it to end after twelve hours", looks)
		}
		if _, err := b.get(j); err == nil {
			t.Error("looks have kept a session that nobody used")
		}
		if got := b.method.calls(); got != renewed {
			t.Errorf("looks have caused %d renewals", got-renewed)
		}
	})
}

func TestStatelessGlancesAreNoUse(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		b.mustServe(j, "token-0")
		if looks := glancer(t, b.s, j, 90); looks < 70 || looks > 80 {
			t.Errorf("a session was seen %d times in ten minutes each, want it to end after twelve hours", looks)
		}
		b.mustBeAbsent(j, auth.Idle)
		b.wantGrants(0)
	})
}
