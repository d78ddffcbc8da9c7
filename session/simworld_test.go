package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

const (
	simLife  = 5 * time.Minute // of an access token
	simGrace = time.Minute     // S

	// For how long a host stands by itself.
	simConfirmAt, simConfirmBy = 5 * time.Minute, 15 * time.Minute
)

// simWorld is one history: replicas on one store, a provider with one-time refresh
// tokens, and browsers. All that is random comes from its seed.
type simWorld struct {
	plan simPlan
	ring *session.Ring
	db   *simDB
	op   simProvider
	wg   sync.WaitGroup
	// outages holds a place for one at a time.
	outages chan struct{}

	mu       sync.Mutex // guards all below
	rng      *rand.Rand
	replicas []*simReplica
	faults   []string
	excused  string // why a sign-out is nobody's fault, or ""
	theft    time.Time
	revoked  time.Time
	notes    []string
	start    time.Time
}

type simReplica struct {
	m      *session.Manager
	store  *simStore
	method *simMethod
	skew   time.Duration
}

func (w *simWorld) random(most time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.rng.Int64N(int64(most))) + 1
}

// chance is true once in n times.
func (w *simWorld) chance(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n) == 0
}

func (w *simWorld) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, fmt.Sprintf("%9.3f ", time.Since(w.start).Seconds())+fmt.Sprintf(format, args...))
}

// log puts the Manager's own log into the account, where one history is looked at.
func (w *simWorld) log() *slog.Logger {
	if os.Getenv("EVERGATE_ACCOUNT") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(simNotes{w}, &slog.HandlerOptions{Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		}}))
}

type simNotes struct{ w *simWorld }

func (n simNotes) Write(b []byte) (int, error) {
	n.w.note("%s", bytes.TrimSpace(b))
	return len(b), nil
}

func (w *simWorld) fault(format string, args ...any) {
	w.note("FAULT "+format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// excuse notes that a sign-out from here on is what no protocol can prevent.
func (w *simWorld) excuse(format string, args ...any) {
	w.note("excused from here: "+format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.excused == "" {
		w.excused = fmt.Sprintf(format, args...)
	}
}

func (w *simWorld) isExcused() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.excused != ""
}

func (w *simWorld) newReplica() *simReplica {
	w.mu.Lock()
	r := &simReplica{store: &simStore{db: w.db, rng: rand.New(rand.NewPCG(w.rng.Uint64(), 1)), ep: 1}}
	if w.plan.skew {
		r.skew = time.Duration(w.rng.IntN(2)*60-30) * time.Second // 60 s apart, or not at all
	}
	w.mu.Unlock()
	r.method = &simMethod{w: w, r: r}
	m, err := session.New(session.Config{
		Store: r.store, Ring: w.ring, Methods: map[string]auth.Refresher{"op": r.method},
		Cookie: "c", IdleTimeout: 12 * time.Hour, MaxLifetime: 72 * time.Hour, Grace: simGrace, MaxStale: 10 * time.Minute,
		Now: func() time.Time { return time.Now().Add(r.skew) }, Log: w.log(),
	}.TidyEvery(time.Hour).ConfirmWithin(simConfirmAt, simConfirmBy))
	if err != nil {
		panic(err)
	}
	r.m = m
	return r
}

// pick returns a replica that lives, as a load balancer does.
func (w *simWorld) pick() *simReplica {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.replicas[w.rng.IntN(len(w.replicas))]
}

// kill is kill -9 of one replica, and a new one in its place a while later.
func (w *simWorld) kill() {
	w.mu.Lock()
	i := w.rng.IntN(len(w.replicas))
	old := w.replicas[i]
	w.replicas[i] = w.replicas[(i+1)%len(w.replicas)]
	w.mu.Unlock()
	old.store.kill()
	if old.method.kill() || old.m.Unsaved() && w.db.awayLately() {
		w.excuse("a replica was killed while a grant was on the wire, or could not be stored (R10)")
	}
	w.note("kill -9 of a replica")
	w.wg.Go(func() { _ = old.m.Close() })
	time.Sleep(time.Second + w.random(4*time.Second))
	fresh := w.newReplica()
	w.mu.Lock()
	w.replicas[i] = fresh
	w.mu.Unlock()
}

// each returns the living replicas, each once.
func (w *simWorld) each() (all []*simReplica) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[*simReplica]bool{}
	for _, r := range w.replicas {
		if !seen[r] {
			seen[r] = true
			all = append(all, r)
		}
	}
	return all
}

// outage takes the store away for a while. Afterwards the replicas keep house once a
// second, as they always do.
func (w *simWorld) outage(most, lose time.Duration) {
	w.outages <- struct{}{}
	defer func() { <-w.outages }()
	replicas := w.each()
	var stores []*simStore
	for _, r := range replicas {
		stores = append(stores, r.store)
	}
	w.note("the store is away, and loses %v", lose)
	w.db.goAway(stores, lose)
	time.Sleep(time.Second/2 + w.random(most))
	w.db.comeBack()
	w.note("the store is back")
	var all sync.WaitGroup
	for _, r := range replicas {
		all.Go(func() {
			// The store's own clock is read as soon as it is back, which shows that it was away.
			time.Sleep(w.random(250 * time.Millisecond))
			_, _ = r.store.Now(context.Background())
			time.Sleep(w.random(time.Second))
			for range 6 {
				r.m.Tidy()
				time.Sleep(time.Second)
			}
		})
	}
	all.Wait()
}

// simProvider gives one-time refresh tokens.
type simProvider struct {
	mu      sync.Mutex // guards all below
	current int        // the refresh token that has not been used
	revoked bool
	grants  int
}

// simMethod is the provider as one replica reaches it.
type simMethod struct {
	w *simWorld
	r *simReplica

	mu     sync.Mutex // guards all below
	dead   bool
	onWire int // grants that are being asked for, or are not committed yet
}

func (m *simMethod) kill() (onWire bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	return m.onWire > 0
}

func (m *simMethod) wire(n int) (dead bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.onWire += n
	return m.dead
}

var errWire = &auth.Unavailable{What: "the provider"}

// sleep ends early with ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Refresh implements auth.Refresher.
func (m *simMethod) Refresh(ctx context.Context, login *auth.Login, _ string) (*auth.Login, error) {
	w := m.w
	most := 300 * time.Millisecond
	if w.plan.slowProvider && w.chance(3) {
		most = 15 * time.Second
	}
	there, back, after := w.random(most/2), w.random(most/2), time.Duration(0)
	if w.plan.slowProvider && w.chance(4) {
		after = w.random(25 * time.Second) // what follows a grant: keys, userinfo
	}
	if m.wire(1) {
		return nil, errWire
	}
	// Storing the answer takes a moment more.
	defer time.AfterFunc(4*simOp, func() { m.wire(-1) })
	if sleep(ctx, there) != nil || w.plan.providerFails && w.chance(8) {
		return nil, errWire // it never arrived
	}
	var presented int
	if _, err := fmt.Sscanf(login.RefreshToken.Reveal(), "rt-%d", &presented); err != nil {
		panic(err)
	}
	w.op.mu.Lock()
	if presented != w.op.current {
		if !w.op.revoked && !w.isExcused() {
			w.fault("the provider sees refresh token %d again, the current one is %d", presented, w.op.current)
		}
		w.op.revoked = true
	}
	if w.op.revoked {
		w.op.mu.Unlock()
		return nil, &auth.Refused{Reason: "invalid_grant"}
	}
	w.op.current++
	w.op.grants++
	next := w.op.current
	w.op.mu.Unlock()
	w.note("grant %d", next)
	if sleep(ctx, back+after) != nil {
		// The answer is lost. A gateway that waits as it should never has that here.
		return nil, errWire
	}
	if m.wire(0) {
		return nil, errWire
	}
	return simLogin(next, time.Now().Add(m.r.skew)), nil
}

// simLogin is what the provider answers, by the clock of who asked.
func simLogin(n int, now time.Time) *auth.Login {
	return &auth.Login{
		Identity: auth.Identity{Provider: "op", Subject: "s", User: "alice"}, AuthTime: now,
		AccessToken:  auth.Token{Value: secret.New(fmt.Sprint("at-", n)), Issued: now, Expires: now.Add(simLife)},
		RefreshToken: secret.New(fmt.Sprint("rt-", n)),
	}
}

// signedOut is called with an answer that says so.
func (w *simWorld) signedOut(who string, err error) {
	var absent *auth.Absent
	if !errors.As(err, &absent) {
		w.fault("%s: %v", who, err)
		return
	}
	w.note("%s: %v", who, err)
	w.mu.Lock()
	if w.revoked.IsZero() {
		w.revoked = time.Now()
	}
	theft := !w.theft.IsZero()
	w.mu.Unlock()
	if !theft && !w.isExcused() {
		w.fault("%s, who is honest, is signed out: %v", who, err)
	}
}

func (w *simWorld) isRevoked() bool { return w.revokedFor(0) }

// revokedFor reports whether the session was revoked and d has passed since.
func (w *simWorld) revokedFor(d time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.revoked.IsZero() && time.Since(w.revoked) >= d
}

// request is one as a replica reads it.
func simRequest(ctx context.Context, host, method, cookie, probe string) *http.Request {
	h := http.Header{}
	if cookie != "" {
		h["Cookie"] = []string{"c=" + cookie}
		if probe != "" {
			h["Cookie"][0] += "; c-probe=" + probe
		}
	}
	return (&http.Request{Method: method, Host: host, Header: h}).WithContext(ctx)
}
