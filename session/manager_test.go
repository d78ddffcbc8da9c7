package session_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/auth"
	happened "github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/memory"
)

const (
	life  = 10 * time.Minute
	grace = time.Minute
)

// method is a provider with knobs.
type method struct {
	mu      sync.Mutex
	renewed int
	err     error         // what Refresh answers
	check   error         // what Check answers
	slow    time.Duration // how long Refresh takes
	groups  []string
	subject string
	rotates bool // each renewal gives a new refresh token
	revoked []string

	exchanged int
}

func (m *method) Exchange(_ context.Context, l *auth.Login, audience, scope string) (auth.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return auth.Token{}, m.err
	}
	m.exchanged++
	return token(fmt.Sprintf("exchanged %d of %s for %s %s", m.exchanged, l.AccessToken.Value.Reveal(), audience, scope)), nil
}

func (m *method) Revoke(_ context.Context, l *auth.Login) error {
	m.set(func(m *method) { m.revoked = append(m.revoked, l.RefreshToken.Reveal()) })
	return nil
}

func (m *method) Refresh(ctx context.Context, l *auth.Login, resource string) (*auth.Login, error) {
	m.mu.Lock()
	slow, err := m.slow, m.err
	m.renewed++
	n := m.renewed
	groups, subject := m.groups, m.subject
	m.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	next := *l
	next.Identity.Groups = groups
	if subject != "" {
		next.Identity.Subject = subject
	}
	if m.rotates {
		next.RefreshToken = secret.New(fmt.Sprintf("refresh-%d", n))
	}
	fresh := token(fmt.Sprintf("token-%d", n))
	if resource == "" {
		next.AccessToken = fresh
		return &next, nil
	}
	next.Resources = maps.Clone(next.Resources)
	if next.Resources == nil {
		next.Resources = map[string]auth.Token{}
	}
	next.Resources[resource] = fresh
	return &next, nil
}

func (m *method) Check(*auth.Login) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.check
}

func (m *method) set(f func(*method)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m)
}

func (m *method) calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.renewed
}

func token(v string) auth.Token {
	now := time.Now()
	return auth.Token{Value: secret.New(v), Issued: now, Expires: now.Add(life)}
}

// faulty is a store that can be taken away.
type faulty struct {
	session.Store
	read, write atomic.Bool // out of order
	slow        func()      // called once, when a record was read and is not handed out yet
	epoch       atomic.Uint64
	deleting    time.Duration // how long Delete takes
	late        atomic.Pointer[chan struct{}]
}

func (f *faulty) Epoch() uint64 { return f.epoch.Load() }

var errDisk = errors.New("the disk is full")

func (f *faulty) Get(ctx context.Context, k session.Key, atLeast uint64) (session.Record, error) {
	if f.read.Load() {
		return session.Record{}, errDisk
	}
	rec, err := f.Store.Get(ctx, k, atLeast)
	if slow := f.slow; slow != nil {
		f.slow = nil
		slow()
	}
	return rec, err
}

func (f *faulty) Lease(ctx context.Context, k session.Key, h session.Holder, ttl time.Duration) (session.Leased, error) {
	if f.read.Load() {
		return session.Leased{}, errDisk
	}
	return f.Store.Lease(ctx, k, h, ttl)
}

func (f *faulty) Put(ctx context.Context, k session.Key, prev uint64, r session.Record) error {
	if done := f.late.Swap(nil); done != nil { // this one write takes until then, and works
		<-*done
		return f.Store.Put(ctx, k, prev, r)
	}
	if f.write.Load() {
		return errDisk
	}
	return f.Store.Put(ctx, k, prev, r)
}

func (f *faulty) Delete(ctx context.Context, k session.Key) error {
	time.Sleep(f.deleting)
	return f.Store.Delete(ctx, k)
}

// bed is a Manager and what is around it.
type bed struct {
	*testing.T
	m      *session.Manager
	method *method
	store  *faulty
	key    secret.Text
	ring   *session.Ring
	minter *minter
	heardOf
}

// heardOf are the events that were heard of.
type heardOf struct {
	mu    sync.Mutex // guards heard
	heard []happened.Event
}

func (e *heardOf) hear(_ context.Context, event happened.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, event)
}

// told counts the events of a name.
func (e *heardOf) told(name happened.Name) (n int) { return len(e.events(name)) }

// events are those of a name.
func (e *heardOf) events(name happened.Name) (events []happened.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range e.heard {
		if h.Name == name {
			events = append(events, h)
		}
	}
	return events
}

// minter says what it was asked for.
type minter struct{ minted int }

func (m *minter) Mint(_ context.Context, l *auth.Login, audience string) (auth.Token, error) {
	m.minted++
	return token("minted for " + l.Identity.User + " and " + audience), nil
}

func newBed(t *testing.T) *bed {
	t.Helper()
	key := session.NewKey(time.Now())
	ring, err := session.NewRing(key)
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{T: t, method: &method{}, store: &faulty{Store: memory.New()}, key: key, ring: ring, minter: &minter{}}
	b.start()
	return b
}

func (b *bed) start() {
	b.Helper()
	m, err := session.New(session.Config{
		Store: b.store, Ring: b.ring, Methods: map[string]auth.Refresher{"local": b.method},
		Minter: b.minter, Cookie: "__Host-Http-evergate", IdleTimeout: 12 * time.Hour, MaxLifetime: 72 * time.Hour,
		Grace: grace, MaxStale: 10 * time.Minute,
		Heard: b.hear,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.m = m
}

// again is another gateway over the same store.
func (b *bed) again() {
	b.Helper()
	if err := b.m.Close(); err != nil {
		b.Fatal(err)
	}
	b.start()
}

// jar is a browser's cookies.
type jar map[string]string

func (j jar) clone() jar {
	c := jar{}
	for k, v := range j {
		c[k] = v
	}
	return c
}

func (j jar) request(method string) *http.Request {
	r := httptest.NewRequest(method, "https://gw.test/", nil)
	for k, v := range j {
		r.AddCookie(&http.Cookie{Name: k, Value: v})
	}
	return r
}

func (j jar) take(h http.Header) {
	for _, c := range (&http.Response{Header: h}).Cookies() {
		if c.MaxAge < 0 {
			delete(j, c.Name)
		} else {
			j[c.Name] = c.Value
		}
	}
}

func (b *bed) signIn() jar {
	b.Helper()
	j := jar{}
	b.signInWith(j, "alice")
	return j
}

func (b *bed) signInWith(j jar, user string) {
	b.Helper()
	h := http.Header{}
	login := &auth.Login{AccessToken: token("token-0"), AuthTime: time.Now(),
		Identity: auth.Identity{Provider: "local", Subject: user, User: user}}
	if err := b.m.Begin(h, j.request("POST"), login, false); err != nil {
		b.Fatalf("begin: %v", err)
	}
	j.take(h)
}

// get is one request of a browser, with the detours a browser makes.
func (b *bed) get(j jar) (*auth.Login, error) { return b.do(j, "GET") }

func (b *bed) do(j jar, method string) (*auth.Login, error) { return requestOf(b.m, j, method) }

func requestOf(by auth.Authenticator, j jar, method string) (*auth.Login, error) {
	for range 5 {
		login, err := by.Authenticate(j.request(method))
		var detour *auth.Detour
		if errors.As(err, &detour) {
			h := http.Header{}
			for _, c := range detour.Cookies {
				h.Add("Set-Cookie", c.String())
			}
			j.take(h)
			continue
		}
		if err == nil {
			h := http.Header{}
			login.Session.Deliver(context.Background(), h)
			j.take(h)
		}
		return login, err
	}
	return nil, errors.New("the detours do not end")
}

func (b *bed) mustServe(j jar) *auth.Login {
	b.Helper()
	login, err := b.get(j)
	if err != nil {
		b.Fatalf("got %v, want the request served", err)
	}
	return login
}

func (b *bed) mustBeAbsent(j jar, reason string) {
	b.Helper()
	_, err := b.get(j)
	var absent *auth.Absent
	if !errors.As(err, &absent) || absent.Reason != reason {
		b.Errorf("got %v, want nobody signed in: %s", err, reason)
	}
}

func run(t *testing.T, f func(b *bed)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		defer func() {
			if err := b.m.Close(); err != nil {
				t.Error(err)
			}
		}()
		f(b)
	})
}

func TestSignInServesUnderAFreshHandle(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		login := b.mustServe(j)
		if login.Identity.User != "alice" || login.AccessToken.Value.Reveal() != "token-0" {
			b.Errorf("got %q with %q, want alice with token-0", login.Identity.User, login.AccessToken.Value.Reveal())
		}
		if ends := login.Session.Times().Ends; !ends.Equal(time.Now().Add(72 * time.Hour)) {
			b.Errorf("ends: got %v, want in 72h", ends)
		}
	})
}

func TestRenewalAheadCostsTheRequestNothing(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		b.method.slow = 5 * time.Second
		time.Sleep(8*time.Minute + time.Second) // less than a fifth is left
		before := time.Now()
		if got := b.mustServe(j).AccessToken.Value.Reveal(); got != "token-0" || time.Since(before) > 0 {
			b.Errorf("got %q after %v, want token-0 at once", got, time.Since(before))
		}
		time.Sleep(6 * time.Second)
		if got := b.mustServe(j).AccessToken.Value.Reveal(); got != "token-1" {
			b.Errorf("after the renewal: got %q, want token-1", got)
		}
	})
}

// TestRenewalAheadBeginsAfterTheAnswer to the request that found it due, or 10 ms later; at once
// for whoever needs what comes of it, and not at all where the gateway stops before.
func TestRenewalAheadBeginsAfterTheAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		then  func(b *bed, j jar, answered func())
		calls int
	}{
		"answered":     {func(_ *bed, _ jar, answered func()) { answered() }, 1},
		"not answered": {func(*bed, jar, func()) {}, 0},
		"late answer":  {func(*bed, jar, func()) { time.Sleep(11 * time.Millisecond) }, 1},
		"needed": {func(b *bed, j jar, _ func()) {
			login, err := b.m.Authenticate(j.request("GET"))
			if err != nil {
				b.Fatal(err)
			}
			if fresh, err := login.Session.Replace(b.Context(), auth.Wanted{}, login.AccessToken); err != nil || fresh.Value.Reveal() != "token-1" {
				b.Errorf("an upstream refused token-0: got %q, %v, want token-1", fresh.Value.Reveal(), err)
			}
		}, 1},
		"stopped": {func(b *bed, _ jar, _ func()) {
			if err := b.m.Close(); err != nil {
				b.Fatal(err)
			}
			b.start()
			time.Sleep(time.Second)
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(b *bed) {
				j := b.signIn()
				time.Sleep(8*time.Minute + time.Second)
				r := j.request("GET")
				ctx, answered := context.WithCancel(r.Context())
				defer answered()
				if _, err := b.m.Authenticate(r.WithContext(ctx)); err != nil {
					b.Fatal(err)
				}
				before := time.Now()
				synctest.Wait()
				if n := b.method.calls(); n != 0 {
					b.Errorf("before the answer: got %d renewals, want none", n)
				}
				c.then(b, j, answered)
				synctest.Wait()
				if n := b.method.calls(); n != c.calls {
					b.Errorf("after %v: got %d renewals, want %d", time.Since(before), n, c.calls)
				}
			})
		})
	}
}

// TestRecordThatChangesWhileItIsRead: what was read is older than what is known here by
// then. The store has lost nothing, and the request is served.
func TestRecordThatChangesWhileItIsRead(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		time.Sleep(life + time.Second) // the next use renews and rotates
		b.method.slow = time.Second
		var wg sync.WaitGroup
		defer wg.Wait()
		b.store.slow = func() {
			wg.Go(func() { b.mustServe(j.clone()) })
			time.Sleep(time.Millisecond) // it has rotated, and has not renewed yet
		}
		b.mustServe(j)
	})
}

// TestNothingRotatesWhileOthersPutBack: another gateway may know of a child that the
// store has lost.
func TestNothingRotatesWhileOthersPutBack(t *testing.T) {
	run(t, func(b *bed) {
		b.store.epoch.Store(1)
		j := b.signIn()
		first := j["__Host-Http-evergate"]
		time.Sleep(life - time.Minute) // the next use rotates
		b.store.epoch.Store(2)         // the store was away
		b.mustServe(j)
		if j["__Host-Http-evergate"] != first {
			b.Error("a handle was handed out at once")
		}
		time.Sleep(3 * time.Second)
		b.mustServe(j)
		if j["__Host-Http-evergate"] == first {
			b.Error("no handle was handed out afterwards")
		}
	})
}

func TestStormAtExpiryRenewsAndRotatesOnce(t *testing.T) {
	for round := range 10 {
		run(t, func(b *bed) {
			j := b.signIn()
			b.method.slow = 100 * time.Millisecond
			time.Sleep(life + time.Second)
			var wg sync.WaitGroup
			start := time.Now()
			handles := make(chan string, 500)
			for range 500 {
				wg.Go(func() {
					tab := j.clone()
					login, err := b.get(tab)
					if err != nil {
						b.Errorf("got %v, want served", err)
						return
					}
					if got := login.AccessToken.Value.Reveal(); got != "token-1" {
						b.Errorf("got %q, want token-1", got)
					}
					handles <- tab["__Host-Http-evergate"]
				})
			}
			wg.Wait()
			close(handles)
			if n := b.method.calls(); n != 1 {
				b.Errorf("round %d: got %d renewals, want 1", round, n)
			}
			if took := time.Since(start); took > 200*time.Millisecond {
				b.Errorf("the last was served after %v, want one round trip", took)
			}
			distinct := map[string]bool{}
			for h := range handles {
				distinct[h] = true
			}
			if len(distinct) != 500 {
				b.Errorf("got %d handles, want 500 children of their own", len(distinct))
			}
			last := jar{}
			for h := range distinct {
				last["__Host-Http-evergate"] = h
			}
			b.mustServe(last)
			time.Sleep(2 * grace)
			b.mustServe(last) // settles
			time.Sleep(2 * grace)
			b.mustServe(last)
		})
	}
}

func TestBrowserThatGoesAwayDoesNotStopARenewal(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		b.method.slow = 2 * time.Second
		time.Sleep(life + time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := b.m.Authenticate(j.request("GET").WithContext(ctx)); err == nil {
			b.Error("got the request served, want it to end with its context")
		}
		time.Sleep(2 * time.Second)
		if got := b.mustServe(j).AccessToken.Value.Reveal(); got != "token-1" || b.method.calls() != 1 {
			b.Errorf("got %q by %d renewals, want token-1 by 1", got, b.method.calls())
		}
	})
}

func TestOutageKeepsTheSession(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		b.method.set(func(m *method) { m.err = &auth.Unavailable{What: "the provider"} })
		time.Sleep(life - time.Second - time.Minute)
		b.mustServe(j) // the token is still good
		time.Sleep(2 * time.Hour)
		_, err := b.get(j)
		var u *auth.Unavailable
		if !errors.As(err, &u) || u.RetryAfter <= 0 {
			b.Errorf("got %v, want unavailable with a time to come again", err)
		}
		b.method.set(func(m *method) { m.err = nil })
		time.Sleep(time.Minute)
		b.mustServe(j)
	})
}

func TestUnclearFailureAsksForSignInAfterMaxStale(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		b.method.set(func(m *method) { m.err = errors.New("400 unsupported_grant_type") })
		time.Sleep(life + time.Hour)
		for range 9 {
			var u *auth.Unavailable
			if _, err := b.get(j); !errors.As(err, &u) {
				b.Errorf("got %v, want unavailable", err)
			}
			time.Sleep(time.Minute)
		}
		time.Sleep(2 * time.Minute)
		b.mustBeAbsent(j, auth.Stale)
		b.method.set(func(m *method) { m.err = nil })
		time.Sleep(time.Minute)
		b.mustServe(j) // it was never ended
	})
}

func TestClearNoEndsTheSession(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		b.method.set(func(m *method) { m.err = &auth.Refused{Reason: "disabled"} })
		time.Sleep(life + time.Second)
		b.mustBeAbsent(j, auth.Withdrawn)
		b.method.set(func(m *method) { m.err = nil })
		b.mustBeAbsent(j, auth.Withdrawn)
	})
}

func TestAnotherSubjectEndsTheSession(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		b.method.set(func(m *method) { m.subject = "mallory" })
		time.Sleep(life + time.Second)
		b.mustBeAbsent(j, auth.Withdrawn)
	})
}

func TestWithdrawnLoginEndsAtOnce(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		b.mustServe(j)
		b.method.set(func(m *method) { m.check = &auth.Refused{Reason: "password changed"} })
		b.mustBeAbsent(j, auth.Withdrawn)
		b.method.set(func(m *method) { m.check = nil })
		b.mustBeAbsent(j, auth.Withdrawn)
	})
}

func TestLogoutWinsAgainstARenewalInFlight(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		b.method.slow = 10 * time.Second
		time.Sleep(9 * time.Minute)
		b.mustServe(j) // starts a renewal
		time.Sleep(time.Second)
		h := http.Header{}
		if login, err := b.m.End(h, j.request("POST")); err != nil || login == nil {
			b.Fatalf("end: got %v, %v", login, err)
		}
		old := j.clone()
		j.take(h)
		if len(j) != 0 {
			b.Errorf("cookies after sign-out: got %v, want none", j)
		}
		b.mustBeAbsent(old, auth.Ended)
		time.Sleep(20 * time.Second)
		b.mustBeAbsent(old, auth.Ended)
	})
}

func TestIdleAndAbsoluteEnd(t *testing.T) {
	run(t, func(b *bed) {
		idle, busy := b.signIn(), b.signIn()
		for range 71 {
			time.Sleep(time.Hour)
			b.mustServe(busy)
		}
		b.mustBeAbsent(idle, auth.Idle)
		time.Sleep(time.Hour)
		b.mustBeAbsent(busy, auth.Over)
	})
}

// TestTheEndIsToldLater: somebody who comes back after a night, to another gateway, hears why
// their session ended; and nobody who looks at a list takes it for one that lives.
func TestTheEndIsToldLater(t *testing.T) {
	run(t, func(b *bed) {
		listed := func() int {
			all, err := b.m.List(b.Context(), "")
			if err != nil {
				b.Fatal(err)
			}
			return len(all)
		}
		idle, busy, out := b.signIn(), b.signIn(), b.signIn()
		for range 71 {
			time.Sleep(time.Hour)
			b.mustServe(busy)
		}
		if n := listed(); n != 1 {
			b.Errorf("%d sessions are listed, want the one that lives", n)
		}
		b.again()
		b.mustBeAbsent(idle, auth.Idle) // the store has forgotten it; its handle is old
		time.Sleep(time.Hour + time.Minute)
		if n := listed(); n != 0 {
			b.Errorf("%d sessions are listed, want none: their time is over", n)
		}
		b.again()
		b.mustBeAbsent(busy, auth.Over)
		time.Sleep(2 * time.Hour)
		b.again()
		b.mustBeAbsent(busy, auth.Ended) // that is too long ago to be known
		b.mustBeAbsent(out, auth.Idle)
	})
}

func TestTheOperatorIsNamed(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		if n, err := b.m.Revoke(b.Context(), session.Which{User: "alice"}); err != nil || n != 1 {
			b.Fatalf("revoke: %d %v", n, err)
		}
		b.mustBeAbsent(j, auth.Operator)
	})
}

func TestRestartKeepsSessions(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		for range 20 {
			time.Sleep(11 * time.Hour) // nearly idle each time
			_ = b.m.Close()
			b.start()
			if _, err := b.get(j); err != nil {
				if time.Duration(20)*11*time.Hour > 72*time.Hour {
					break
				}
				b.Fatalf("got %v, want served", err)
			}
		}
	})
}

func TestDamagedAndDoubledCookies(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		good := j["__Host-Http-evergate"]
		for i := range good {
			bad := []byte(good)
			if bad[i]++; bad[i] > 'z' {
				bad[i] = 'a'
			}
			_, err := b.m.Authenticate(jar{"__Host-Http-evergate": string(bad)}.request("GET"))
			var absent *auth.Absent
			if !errors.As(err, &absent) || absent.Reason != auth.Damaged || len(absent.Clear) != 1 {
				b.Errorf("byte %d changed: got %v, want damaged and cleared", i, err)
			}
		}
		r := j.request("GET")
		r.AddCookie(&http.Cookie{Name: "__Host-Http-evergate", Value: "planted"})
		_, err := b.m.Authenticate(r)
		var absent *auth.Absent
		if !errors.As(err, &absent) || absent.Reason != auth.Duplicate || len(absent.Clear) != 1 {
			b.Errorf("twice: got %v, want duplicate and cleared", err)
		}
		b.mustServe(j)
	})
}

func TestHandleOfAnotherHostIsWorthless(t *testing.T) {
	run(t, func(b *bed) {
		r := b.signIn().request("GET")
		r.Host = "other.test"
		if _, err := b.m.Authenticate(r); !errors.Is(err, auth.ErrAnonymous) {
			b.Errorf("got %v, want nobody signed in", err)
		}
	})
}

func TestForeignKeyIsAnOutageNotASignOut(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		_ = b.m.Close()
		mine := b.ring
		b.ring, _ = session.NewRing(session.NewKey(time.Now()))
		b.start()
		var u *auth.Unavailable
		if _, err := b.get(j); !errors.As(err, &u) {
			b.Errorf("got %v, want unavailable", err)
		}
		_ = b.m.Close()
		b.ring = mine
		b.start()
		b.mustServe(j)
	})
}

func TestSignInAnewEndsWhatWasThere(t *testing.T) {
	run(t, func(b *bed) {
		planted := b.signIn()
		victim := planted.clone()
		b.signInWith(victim, "bob")
		b.mustBeAbsent(planted, auth.Ended)
		if got := b.mustServe(victim).Identity.User; got != "bob" {
			b.Errorf("got %q, want bob", got)
		}
		tab := victim.clone()
		b.signInWith(victim, "bob") // a second tab signs in too
		if tab["__Host-Http-evergate"] == victim["__Host-Http-evergate"] {
			b.Error("the second sign-in kept the handle, want a fresh one")
		}
		b.mustServe(tab) // what the first tab has under way
		time.Sleep(grace + time.Second)
		b.mustBeAbsent(tab, auth.Ended)
		b.mustServe(victim)
	})
}

// rotate brings a session just past a rotation and returns the jar from before it.
func (b *bed) rotate(j jar) (before jar) {
	b.Helper()
	time.Sleep(life * 9 / 10)
	before = j.clone()
	b.mustServe(j)
	if j["__Host-Http-evergate"] == before["__Host-Http-evergate"] {
		b.Fatal("the handle did not rotate")
	}
	return before
}

func TestLateRequestIsNotTheft(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		before := b.rotate(j)
		b.mustServe(j)
		time.Sleep(grace + time.Second)
		b.mustServe(j) // settles: the handle before is spent
		late := before.request("GET")
		_, err := b.m.Authenticate(late)
		var detour *auth.Detour
		if !errors.As(err, &detour) {
			b.Fatalf("a late request: got %v, want a detour", err)
		}
		h := http.Header{}
		for _, c := range detour.Cookies {
			h.Add("Set-Cookie", c.String())
		}
		j.take(h)
		b.mustServe(j) // the browser comes again with the jar of now
		time.Sleep(time.Hour)
		b.mustServe(j)
	})
}

func TestSpentHandleInAJarIsTheft(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		thief := b.rotate(j)
		b.mustServe(j)
		time.Sleep(grace + time.Second)
		b.mustServe(j)
		b.mustBeAbsent(thief, auth.Theft)
		b.mustBeAbsent(j, auth.Theft) // the owner asks why, too
	})
}

func TestActiveThiefAndOwnerAreToldApartWithinTwoRotations(t *testing.T) {
	run(t, func(b *bed) {
		owner := b.signIn()
		thief := owner.clone()
		start := time.Now()
		for time.Since(start) < 3*life {
			time.Sleep(20 * time.Second)
			_, err1 := b.get(owner)
			_, err2 := b.get(thief)
			if errors.Is(err1, auth.ErrAnonymous) || errors.Is(err2, auth.ErrAnonymous) {
				if took := time.Since(start); took > 2*life {
					b.Errorf("seen after %v, want within two rotations", took)
				}
				b.mustBeAbsent(owner, auth.Theft)
				b.mustBeAbsent(thief, auth.Theft)
				return
			}
		}
		b.Error("never seen")
	})
}

func TestLostSetCookieCostsNothing(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		for range 30 {
			time.Sleep(5 * time.Minute)
			if _, err := b.get(j.clone()); err != nil { // the answer never arrives
				b.Fatalf("got %v, want served", err)
			}
		}
	})
}

func TestStoreThatCannotBeReadServesWhatIsKnown(t *testing.T) {
	run(t, func(b *bed) {
		j, cold := b.signIn(), b.signIn()
		b.mustServe(j)
		_ = cold
		b.store.read.Store(true)
		b.store.write.Store(true)
		time.Sleep(5 * time.Minute)
		b.mustServe(j)
		time.Sleep(life)
		var u *auth.Unavailable
		if _, err := b.get(j); !errors.As(err, &u) {
			b.Errorf("after the token's expiry: got %v, want unavailable", err)
		}
		h := http.Header{}
		if err := b.m.Begin(h, jar{}.request("POST"), &auth.Login{AccessToken: token("x")}, false); !errors.As(err, &u) || len(h) != 0 {
			b.Errorf("sign-in: got %v, %v, want unavailable and no cookie", err, h)
		}
		if _, err := b.m.End(h, j.request("POST")); !errors.As(err, &u) || len(h) != 0 {
			b.Errorf("sign-out: got %v, %v, want unavailable and the cookie kept", err, h)
		}
		b.store.read.Store(false)
		b.store.write.Store(false)
		time.Sleep(time.Minute)
		b.mustServe(j)
	})
}

func TestStoreThatCannotBeWrittenInterruptsNobody(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		b.store.write.Store(true)
		for range 6 {
			time.Sleep(life + time.Second)
			b.mustServe(j)
		}
		got := b.mustServe(j).AccessToken.Value.Reveal()
		b.store.write.Store(false)
		time.Sleep(2 * time.Second) // tried again each second
		_ = b.m.Close()
		b.start()
		if again := b.mustServe(j).AccessToken.Value.Reveal(); again != got {
			b.Errorf("after the disk has room again, and a restart: got %q, want %q", again, got)
		}
	})
}

// A write that was under way while the token was renewed again stores the one before the last.
func TestWriteThatTakesLongLosesNoRenewal(t *testing.T) {
	run(t, func(b *bed) {
		b.method.rotates = true
		j := b.signIn()
		b.store.write.Store(true)
		time.Sleep(life + time.Second)
		b.mustServe(j)
		time.Sleep(life - 2500*time.Millisecond)
		done := make(chan struct{})
		b.store.late.Store(&done)
		time.Sleep(3 * time.Second)
		if b.store.late.Load() != nil {
			t.Fatal("nothing tried to write")
		}
		want := b.mustServe(j)
		if got := want.AccessToken.Value.Reveal(); got != "token-2" {
			t.Fatalf("got %q, want the second renewal's", got)
		}
		close(done)
		b.store.write.Store(false)
		time.Sleep(3 * time.Second)
		_ = b.m.Close()
		b.start()
		got := b.mustServe(j)
		if got.AccessToken.Value.Reveal() != "token-2" || got.RefreshToken.Reveal() != want.RefreshToken.Reveal() || b.method.calls() != 2 {
			b.Errorf("after a restart: got %q and %q after %d renewals, want those of the second renewal",
				got.AccessToken.Value.Reveal(), got.RefreshToken.Reveal(), b.method.calls())
		}
	})
}

func TestStreamsObey(t *testing.T) {
	attend := func(b *bed, j jar, allowed func(*auth.Login) error) (context.Context, func()) {
		if allowed == nil {
			allowed = func(*auth.Login) error { return nil }
		}
		return b.mustServe(j).Session.Attend(context.Background(), allowed)
	}
	t.Run("renewal goes on under a stream, and claims follow", func(t *testing.T) {
		run(t, func(b *bed) {
			b.method.set(func(m *method) { m.groups = []string{"staff"} })
			ctx, _ := attend(b, b.signIn(), func(l *auth.Login) error {
				if l.AccessToken.Value.Reveal() != "token-0" && len(l.Identity.Groups) == 0 {
					return &auth.Denied{Missing: "group staff"}
				}
				return nil
			})
			time.Sleep(3 * life)
			if n := b.method.calls(); n < 3 || ctx.Err() != nil {
				b.Errorf("got %d renewals, %v, want 3 and the stream open", n, ctx.Err())
			}
			b.method.set(func(m *method) { m.groups = nil })
			time.Sleep(life)
			if ctx.Err() == nil {
				b.Error("the stream is open after its group was lost, want it closed")
			}
		})
	})
	t.Run("sign-out closes within a second", func(t *testing.T) {
		run(t, func(b *bed) {
			j := b.signIn()
			ctx, _ := attend(b, j, nil)
			time.Sleep(time.Minute)
			if _, err := b.m.End(http.Header{}, j.request("POST")); err != nil {
				b.Fatal(err)
			}
			time.Sleep(time.Second)
			if ctx.Err() == nil {
				b.Error("the stream is open, want it closed")
			}
		})
	})
	t.Run("a recheck closes those who were withdrawn", func(t *testing.T) {
		run(t, func(b *bed) {
			ctx, _ := attend(b, b.signIn(), nil)
			time.Sleep(time.Minute)
			b.method.set(func(m *method) { m.check = &auth.Refused{Reason: "disabled"} })
			b.m.Recheck()
			time.Sleep(time.Second)
			if ctx.Err() == nil {
				b.Error("the stream is open, want it closed")
			}
		})
	})
	t.Run("a silent stream does not keep a session alive, a talking one does", func(t *testing.T) {
		run(t, func(b *bed) {
			silent, _ := attend(b, b.signIn(), nil)
			talking, activity := attend(b, b.signIn(), nil)
			for range 25 {
				time.Sleep(30 * time.Minute)
				activity()
			}
			if silent.Err() == nil {
				b.Error("the silent stream is open after 12.5 h, want it closed at 12 h")
			}
			if talking.Err() != nil {
				b.Error("the talking stream is closed, want it open")
			}
			time.Sleep(72 * time.Hour)
			if talking.Err() == nil {
				b.Error("the talking stream is open after max_lifetime, want it closed")
			}
		})
	})
}

func TestUnusedSessionsCostTheProviderNothing(t *testing.T) {
	run(t, func(b *bed) {
		b.mustServe(b.signIn())
		time.Sleep(11 * time.Hour)
		if n := b.method.calls(); n != 0 {
			b.Errorf("got %d renewals, want 0", n)
		}
	})
}

func TestStoreHoldsNothingReadable(t *testing.T) {
	run(t, func(b *bed) {
		rec := &recorder{Store: memory.New()}
		_ = b.m.Close()
		b.store.Store = rec
		b.start()
		j := b.signIn()
		time.Sleep(life + time.Second)
		b.mustServe(j)
		for _, word := range []string{"token-0", "token-1", "alice"} {
			if strings.Contains(rec.text(), word) {
				b.Errorf("the store holds %q in the clear", word)
			}
		}
		if rec.text() == "" {
			b.Error("nothing was stored")
		}
	})
}

type recorder struct {
	session.Store
	mu  sync.Mutex // guards all: a renewal and the house write at the same time
	all strings.Builder
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.String()
}

func (r *recorder) Put(ctx context.Context, k session.Key, prev uint64, rec session.Record) error {
	r.mu.Lock()
	r.all.Write(k[:])
	r.all.Write(rec.Data)
	r.mu.Unlock()
	return r.Store.Put(ctx, k, prev, rec)
}
