package oidc_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/internal/secret"
)

// person is a signed-in one of several.
func person(login *auth.Login, n int) *auth.Login {
	one := *login
	one.Identity.Subject = fmt.Sprint("person-", n)
	one.SID = fmt.Sprint("sid-", n)
	one.RefreshToken = secret.New(fmt.Sprint("refresh-of-", n))
	one.Identity.Claims = map[string]any{"sub": one.Identity.Subject}
	return &one
}

func TestOneBrokenSessionTripsNobody(t *testing.T) {
	p := newOP(t)
	m := p.method()
	login := p.signIn(m)
	p.handle(pathToken, func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("refresh_token") == "refresh-of-1" {
			says(500, "")(w, r)
			return
		}
		p.set(func() { delete(p.handlers, pathToken) })
		p.ServeHTTP(w, r)
	})
	for range 20 {
		_, err := m.Refresh(t.Context(), person(login, 1), "")
		unavailable(t, "a session that the provider chokes on", err)
		p.advance(time.Second)
	}
	if m.State().Open || p.count(pathToken) != 21 {
		t.Errorf("got open %v after %d requests", m.State().Open, p.count(pathToken))
	}
	if _, err := m.Refresh(t.Context(), login, ""); err != nil {
		t.Errorf("another session: got %v, want it renewed", err)
	}
}

func TestBreaker(t *testing.T) {
	p := newOP(t)
	m := p.method()
	login := p.signIn(m)
	p.handle(pathToken, says(503, ""))
	for i := range 3 {
		if m.State().Open {
			t.Fatalf("open after %d sessions", i)
		}
		_, err := m.Refresh(t.Context(), person(login, i), "")
		unavailable(t, "503", err)
	}
	if !m.State().Open {
		t.Fatal("three sessions met an outage, and the breaker is closed")
	}
	asked := p.count(pathToken)
	for i := range 100 {
		_, err := m.Refresh(t.Context(), person(login, i), "")
		if u := unavailable(t, "open", err); u != nil && (u.RetryAfter <= 0 || u.RetryAfter > 30*time.Second) {
			t.Errorf("come again in %v", u.RetryAfter)
		}
	}
	if got := p.count(pathToken); got != asked {
		t.Errorf("got %d requests while open", got-asked)
	}
	// A sign-in always passes.
	_, err := p.complete(m)
	unavailable(t, "a sign-in", err)
	if got := p.count(pathToken); got != asked+1 {
		t.Errorf("a sign-in was not tried")
	}

	// Half open: one goes to see, the others wait.
	p.advance(2 * time.Second)
	hold, reached := make(chan struct{}), make(chan struct{}, 100)
	p.handle(pathToken, func(w http.ResponseWriter, r *http.Request) {
		reached <- struct{}{}
		<-hold
		says(503, "")(w, r)
	})
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = m.Refresh(t.Context(), person(login, 1), "") })
	<-reached
	for i := range 20 {
		_, err := m.Refresh(t.Context(), person(login, i), "")
		unavailable(t, "behind the probe", err)
	}
	close(hold)
	wg.Wait()
	if len(reached) != 0 {
		t.Errorf("%d more went with the probe", len(reached))
	}
	if !m.State().Open {
		t.Fatal("closed by a probe that failed")
	}
	// The waits double up to 30 s.
	p.handle(pathToken, says(503, ""))
	var longest time.Duration
	for range 10 {
		p.advance(31 * time.Second)
		asked := p.count(pathToken)
		_, _ = m.Refresh(t.Context(), person(login, 1), "")
		if p.count(pathToken) != asked+1 {
			t.Fatal("no probe after 31 s")
		}
		p.advance(2 * time.Second)
		_, _ = m.Refresh(t.Context(), person(login, 3), "")
		if p.count(pathToken) != asked+2 {
			t.Fatal("no probe of another session after the first failed")
		}
		_, err := m.Refresh(t.Context(), person(login, 2), "")
		if u := unavailable(t, "open", err); u != nil {
			longest = max(longest, u.RetryAfter)
		}
	}
	if longest < 15*time.Second || longest > 30*time.Second {
		t.Errorf("the longest wait is %v, want up to 30 s", longest)
	}
	// Success closes it.
	p.advance(31 * time.Second)
	p.handle(pathToken, nil)
	if _, err := m.Refresh(t.Context(), login, ""); err != nil || m.State().Open {
		t.Errorf("got %v, open %v, want it closed", err, m.State().Open)
	}
	if _, err := m.Refresh(t.Context(), login, ""); err != nil {
		t.Errorf("got %v", err)
	}
}

// TestOneBrokenSessionKeepsNobodyAway: the provider is back but for one session,
// which asks just when somebody may go to see.
func TestOneBrokenSessionKeepsNobodyAway(t *testing.T) {
	p := newOP(t)
	m := p.method()
	login := p.signIn(m)
	p.handle(pathToken, says(503, ""))
	for i := range 3 {
		_, err := m.Refresh(t.Context(), person(login, i), "")
		unavailable(t, "503", err)
	}
	p.advance(31 * time.Second)
	_, err := m.Refresh(t.Context(), person(login, 1), "")
	unavailable(t, "the broken one", err)
	p.handle(pathToken, nil)
	p.advance(1100 * time.Millisecond)
	if _, err := m.Refresh(t.Context(), login, ""); err != nil || m.State().Open {
		t.Errorf("a second later, another session: got %v, open %v, want it renewed and the breaker closed", err, m.State().Open)
	}
}

// TestASignInCloses: whoever signs in has seen that the provider answers.
func TestASignInCloses(t *testing.T) {
	p := newOP(t)
	m := p.method()
	login := p.signIn(m)
	p.handle(pathToken, says(503, ""))
	for i := range 3 {
		_, _ = m.Refresh(t.Context(), person(login, i), "")
	}
	p.handle(pathToken, nil)
	p.signIn(m)
	if m.State().Open {
		t.Error("open after a sign-in")
	}
}

// TestNoIsAnAnswer: a provider that refuses is not down.
func TestNoIsAnAnswer(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"invalid_grant":  says(400, `{"error":"invalid_grant"}`),
		"invalid_client": says(401, `{"error":"invalid_client"}`),
		"invalid_scope":  says(400, `{"error":"invalid_scope"}`),
	} {
		p := newOP(t)
		m := p.method()
		login := p.signIn(m)
		p.handle(pathToken, h)
		for i := range 5 {
			_, _ = m.Refresh(t.Context(), person(login, i), "")
		}
		if m.State().Open || p.count(pathToken) != 6 {
			t.Errorf("%s: got open %v after %d requests", name, m.State().Open, p.count(pathToken))
		}
	}
}

// TestTwoDialsAreEnough: nobody there is nobody there, whoever asks.
func TestTwoDialsAreEnough(t *testing.T) {
	p := newOP(t)
	m := p.method()
	login := p.signIn(m)
	p.srv.Close()
	for range 2 {
		_, err := m.Refresh(t.Context(), login, "")
		unavailable(t, "nobody there", err)
	}
	_, err := m.Refresh(t.Context(), login, "")
	unavailable(t, "nobody there", err)
	if !m.State().Open {
		t.Error("closed after two dials that nobody answered")
	}
}

// TestSlowIsNotDown: an answer that takes its time is one.
func TestSlowIsNotDown(t *testing.T) {
	p := newOP(t)
	m := p.method(func(c *oidc.Config) { c.Timeout = 5 * time.Second })
	login := p.signIn(m)
	p.handle(pathToken, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(300 * time.Millisecond)
		p.set(func() { delete(p.handlers, pathToken) })
		p.ServeHTTP(w, r)
	})
	if _, err := m.Refresh(t.Context(), login, ""); err != nil || m.State().Open {
		t.Errorf("got %v, open %v", err, m.State().Open)
	}
}

// TestAbandonedProbe: a probe that we gave up ourselves leaves its place to the next.
func TestAbandonedProbe(t *testing.T) {
	p := newOP(t)
	m := p.method()
	login := p.signIn(m)
	p.handle(pathToken, says(503, ""))
	for i := range 3 {
		_, _ = m.Refresh(t.Context(), person(login, i), "")
	}
	p.advance(31 * time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	p.handle(pathToken, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := m.Refresh(ctx, person(login, 1), ""); err == nil {
		t.Fatal("got no error")
	}
	p.handle(pathToken, nil)
	if _, err := m.Refresh(t.Context(), login, ""); err != nil || m.State().Open {
		t.Errorf("got %v, open %v: a probe that we gave up keeps its place", err, m.State().Open)
	}
}
