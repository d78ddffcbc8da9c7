package auth_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/auth"
)

// shelf is one that several gateways share, and that a test can look at and break.
type shelf struct {
	auth.Shelf

	mu       sync.Mutex // guards all below
	values   map[string][]byte
	fault    error
	beforeIt func() // runs once, before a Save
}

func newShelf(now func() time.Time) *shelf {
	return &shelf{Shelf: auth.NewShelf(now), values: map[string][]byte{}}
}

func (s *shelf) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *shelf) broken(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.fault, ctx.Err())
}

func (s *shelf) Load(ctx context.Context, name string, atLeast uint64) ([]byte, uint64, error) {
	if err := s.broken(ctx); err != nil {
		return nil, 0, err
	}
	return s.Shelf.Load(ctx, name, atLeast)
}

func (s *shelf) Save(ctx context.Context, name string, prev uint64, value []byte, ttl time.Duration) (bool, error) {
	if err := s.broken(ctx); err != nil {
		return false, err
	}
	var before func()
	s.set(func() { before, s.beforeIt = s.beforeIt, nil })
	if before != nil {
		before()
	}
	ok, err := s.Shelf.Save(ctx, name, prev, value, ttl)
	if ok {
		s.set(func() {
			if s.values[name] = value; value == nil {
				delete(s.values, name)
			}
		})
	}
	return ok, err
}

func (s *shelf) kept() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.values)
}

var errShelf = errors.New("the shelf fell down")

// replicas are two gateways on one shelf, with the same sessions and keys.
func replicas(t *testing.T) (one, two *house, s *shelf) {
	t.Helper()
	s = newShelf(func() time.Time { return noon })
	one = open(t, func(c *auth.HandlerConfig) { c.Forms = auth.ShareForms(s) })
	two = open(t, func(c *auth.HandlerConfig) { c.Forms, c.Sessions = auth.ShareForms(s), one.sessions })
	two.sessions = one.sessions
	return one, two, s
}

func TestReplicasShareForms(t *testing.T) {
	one, two, s := replicas(t)
	b := one.browser()
	p := b.do("POST", "/send", urlencoded, "typed=secret", "Referer", one.URL+"/page")
	p.want(t, 200, "is kept for 10 minutes")
	for name, value := range s.kept() {
		if bytes.Contains(value, []byte("secret")) || bytes.Contains(value, []byte("/send")) {
			t.Errorf("%s shows what was typed to whoever opens the shelf", name)
		}
	}
	b.h = two
	shown := b.submit(p, "username", "alice", "password", "alicealice")
	shown.want(t, 200, "Send your form?")
	for name, value := range s.kept() {
		if bytes.Contains(value, []byte("alice")) {
			t.Errorf("%s shows whose form it is", name)
		}
	}
	b.h = one
	b.get(shown.at()).want(t, 200, "Send your form?")
	b.h = two
	two.got()
	b.submit(shown).want(t, 200, "the app: POST /send")
	if got := two.got(); len(got) != 1 || got[0].body != "typed=secret" {
		t.Errorf("the app got %+v, want the form", got)
	}
	b.h = one
	b.submit(shown).want(t, 409, "This form was sent already", "look whether it arrived")
	if got := one.got(); len(got) != 0 {
		t.Errorf("a second click at the other gateway sent %+v", got)
	}
	// Another person in that browser learns nothing, not even that it was sent.
	b.post("/.evergate/login", map[string][]string{"username": {"bob"}, "password": {"bobbob"}})
	b.submit(shown).want(t, 410)
}

// TestSentFormIsNotOffered by a gateway that has not heard yet that another sent it.
func TestSentFormIsNotOffered(t *testing.T) {
	one, two, s := replicas(t)
	late := open(t, func(c *auth.HandlerConfig) {
		c.Forms, c.Sessions = auth.ShareForms(lateShelf{s, map[string]copied{}}), one.sessions
	})
	late.sessions = one.sessions
	b := one.browser()
	shown := b.submit(b.do("POST", "/send", urlencoded, "a=1"), "username", "alice", "password", "alicealice")
	b.h = late
	b.get(shown.at()).want(t, 200, "Send your form?")
	b.h = two
	b.submit(shown).want(t, 200, "the app: POST /send")
	b.h = late
	b.get(shown.at()).want(t, 200, "the app: GET /send")
}

func TestFormGoesOutOnceOverAllReplicas(t *testing.T) {
	one, two, _ := replicas(t)
	b := one.browser()
	shown := b.submit(b.do("POST", "/send", urlencoded, "a=1"), "username", "alice", "password", "alicealice")
	one.got()
	var wg sync.WaitGroup
	answers := make(chan int, 40)
	for i := range cap(answers) {
		at := *b
		if i%2 == 1 {
			at.h = two
		}
		wg.Go(func() { answers <- at.submit(shown).StatusCode })
	}
	wg.Wait()
	close(answers)
	count := map[int]int{}
	for status := range answers {
		count[status]++
	}
	if count[200] != 1 || count[409] != 39 || len(one.got())+len(two.got()) != 1 {
		t.Errorf("of 40 clicks at two gateways got %v, want one 200 and 39 409", count)
	}
}

func TestShelfThatIsAwayIsNotGone(t *testing.T) {
	one, two, s := replicas(t)
	away := func(err error) { s.set(func() { s.fault = err }) }
	b := one.browser()
	away(errShelf)
	p := b.do("POST", "/send", urlencoded, "a=1")
	p.want(t, 200, "<h1>Sign in</h1>", "could not be kept", "out of order for the moment", "enter it again")
	if len(p.Cookies()) != 0 {
		t.Errorf("got cookies %v for a form that is not kept", p.Cookies())
	}
	away(nil)
	p = b.do("POST", "/send", urlencoded, "a=1", "Referer", one.URL+"/page")
	b.h = two
	away(errShelf)
	p = b.get(p.at())
	p.want(t, 200, "is kept for 10 minutes")
	p = b.submit(p, "username", "alice", "password", "alicealice")
	p.want(t, 503, "The store of kept forms is out of order", "Your form was not sent", "Try again")
	if p.Header.Get("Retry-After") == "" {
		t.Error("got no Retry-After on the page that offers the form")
	}
	away(nil)
	shown := b.get(p.at())
	shown.want(t, 200, "Send your form?")
	away(errShelf)
	p = b.submit(shown)
	p.want(t, 503, "Your form was not sent")
	if p.Header.Get("Retry-After") == "" {
		t.Error("got no Retry-After where the form was to be sent")
	}
	away(nil)
	two.got()
	b.submit(shown).want(t, 200, "the app: POST /send")
	if got := two.got(); len(got) != 1 || got[0].body != "a=1" {
		t.Errorf("afterwards the app got %+v, want the form", got)
	}
	away(errShelf)
	b.submit(b.get("/.evergate/logout")).want(t, 200, "Signed out")
}

func TestFormThatCannotBeReadIsAnOutage(t *testing.T) {
	one, _, s := replicas(t)
	b := one.browser()
	p := b.do("POST", "/send", urlencoded, "a=1")
	for name := range s.kept() {
		if ok, err := s.Save(t.Context(), name, 1, []byte("of another version"), time.Minute); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	b.submit(p, "username", "alice", "password", "alicealice").want(t, 503, "Your form was not sent")
}

// TestFormIsTakenByWhoeverIsFirst: another gateway changes the form just before this one
// writes.
func TestFormIsTakenByWhoeverIsFirst(t *testing.T) {
	one, two, s := replicas(t)
	b, other := one.browser(), *one.browser()
	other.h, other.c = two, b.c
	first := b.do("POST", "/send", urlencoded, "a=1")
	var inBetween page
	p := b.submit(first, "username", "alice", "password", "alicealice")
	s.set(func() { s.beforeIt = func() { inBetween = other.submit(p) } })
	two.got()
	b.submit(p).want(t, 409, "This form was sent already")
	inBetween.want(t, 200, "the app: POST /send")
	if got := append(one.got(), two.got()...); len(got) != 1 {
		t.Errorf("the app got %+v, want the form once", got)
	}
}

// TestClickThatWasGivenUpIsNotLeftInDoubt: a browser drops the first of two clicks.
func TestClickThatWasGivenUpIsNotLeftInDoubt(t *testing.T) {
	one, _, _ := replicas(t)
	b := one.browser()
	kept := b.do("POST!", "/send", urlencoded, "a=1").Cookies()[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "POST", one.URL+"/send", strings.NewReader("evergate_form="+kept.Name[len(sessionCookie+"-form-"):]))
	r.Header.Set("Content-Type", urlencoded)
	r.AddCookie(kept)
	if err := one.handler.Restore(r, &auth.Login{}); err != nil || r.ContentLength != 3 {
		t.Errorf("got %v and %d bytes, want the form", err, r.ContentLength)
	}
}

func TestFormsOnAShelfAreBounded(t *testing.T) {
	s := newShelf(time.Now)
	forms := auth.ShareForms(s)
	for range 40 {
		auth.Keep(t, forms)
	}
	if n, kept := auth.KeptForms(forms), len(s.kept()); n != 16 || kept != 16 {
		t.Errorf("got %d in the books and %d on the shelf, want 16", n, kept)
	}
	if err := forms.Close(); err != nil || len(s.kept()) != 16 {
		t.Errorf("after Close: got %v and %d forms, want them left to other gateways", err, len(s.kept()))
	}
}

func TestFormOnAShelfIsOverAfterTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forms := auth.ShareForms(newShelf(time.Now))
		form := auth.Keep(t, forms)
		time.Sleep(9 * time.Minute)
		if err := form.Open(t, forms, "alice"); err != nil {
			t.Fatalf("after 9 minutes: got %v", err)
		}
		// Whoever was offered it has no more time than there was.
		time.Sleep(time.Minute)
		if err := form.Open(t, forms, "alice"); err == nil {
			t.Error("after 10 minutes: it still opens")
		}
		synctest.Wait()
		if got := auth.KeptForms(forms); got != 0 {
			t.Errorf("got %d in the books, want none", got)
		}
	})
}

// busyShelf is one where somebody else is always faster.
type busyShelf struct{ auth.Shelf }

func (busyShelf) Save(context.Context, string, uint64, []byte, time.Duration) (bool, error) {
	return false, nil
}

func TestFormThatOthersAlwaysChangeIsAnOutage(t *testing.T) {
	s := auth.NewShelf(time.Now)
	form := auth.Keep(t, auth.ShareForms(s))
	err := form.Open(t, auth.ShareForms(busyShelf{s}), "alice")
	if _, down := errors.AsType[*auth.Unavailable](err); !down {
		t.Errorf("got %v, want a *Unavailable", err)
	}
}
