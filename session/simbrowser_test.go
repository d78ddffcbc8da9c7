package session_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/evergate/evergate/auth"
)

// simBrowser is a cookie jar and what is under way with it.
type simBrowser struct {
	w    *simWorld
	who  string
	host string
	// from is the same browser at the public host, where this one is at an app's own.
	from *simBrowser

	mu      sync.Mutex // guards all below
	cookie  string
	probe   string
	past    []simJar // what the jar was, for a crash
	crashes int      // answers to requests from before a crash reach nobody
	out     bool     // it has to be handed the session again, and cannot
	turned  time.Time
}

type simJar struct {
	at            time.Time
	cookie, probe string
}

func (b *simBrowser) jar() (cookie, probe string, crashes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cookie, b.probe, b.crashes
}

// apply takes the Set-Cookie of an answer to a request from before so many crashes.
func (b *simBrowser) apply(cookies []*http.Cookie, crashes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if crashes != b.crashes {
		return
	}
	for _, c := range cookies {
		to := &b.cookie
		if c.Name != "c" {
			to = &b.probe
		}
		*to = c.Value
		if c.MaxAge < 0 {
			*to = ""
		}
	}
	b.past = append(b.past, simJar{time.Now(), b.cookie, b.probe})
}

// crash brings back a jar up to 30 s old.
func (b *simBrowser) crash() {
	back := time.Now().Add(-b.w.random(30 * time.Second))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.crashes++
	for i := len(b.past) - 1; i >= 0; i-- {
		if b.cookie, b.probe = b.past[i].cookie, b.past[i].probe; !b.past[i].at.After(back) {
			break
		}
	}
	b.past = append(b.past, simJar{time.Now(), b.cookie, b.probe})
	b.w.note("%s crashes", b.who)
}

// restore puts an old handle back, and drops a probe.
func (b *simBrowser) restore(cookie string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cookie, b.probe = cookie, ""
}

// simSend says how a request goes.
type simSend struct {
	method   string
	late     time.Duration // how long after its cookies were attached it arrives
	upstream time.Duration // how long the app takes
	hangUp   time.Duration // when the browser goes away, or 0
	page     bool          // a person opens a page
}

// send sends one request and follows it to its end.
func (b *simBrowser) send(how simSend) {
	w := b.w
	cookie, probe, crashes := b.jar()
	if cookie == "" && b.from != nil {
		b.handOver()
		cookie, probe, crashes = b.jar()
	}
	if cookie == "" {
		return
	}
	ctx := context.Background()
	if how.late > 0 {
		w.note("%s sends a request that will be %v late", b.who, how.late)
	}
	time.Sleep(w.random(60*time.Millisecond) + how.late)
	for range 12 {
		if how.hangUp > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(context.Background(), how.hangUp)
			defer cancel()
		}
		r := w.pick()
		asked := time.Now()
		// From when on every replica knows; a sign-out that the store has lost is made
		// again within a second or so.
		revoked := w.revokedFor(simLag) && !(w.plan.loses && w.db.awayLately())
		login, err := r.m.Authenticate(simRequest(ctx, b.host, how.method, cookie, probe))
		if r.method.wire(0) { // its replica died, and the connection with it
			time.Sleep(w.random(time.Second))
			cookie, probe, crashes = b.jar()
			continue
		}
		if ctx.Err() != nil {
			return // nobody sees the answer
		}
		var detour *auth.Detour
		switch {
		case errors.As(err, &detour):
			time.Sleep(w.random(60 * time.Millisecond))
			b.apply(detour.Cookies, crashes)
			w.note("%s is sent back with a probe", b.who)
			cookie, probe, crashes = b.jar()
			time.Sleep(w.random(60 * time.Millisecond))
			continue
		case errors.As(err, new(*auth.Unavailable)):
			time.Sleep(time.Second + w.random(4*time.Second))
			cookie, probe, crashes = b.jar()
			continue
		case isUnconfirmed(err) && b.from == nil:
			b.mu.Lock()
			b.out = true
			b.mu.Unlock()
			return
		case isUnconfirmed(err), err == nil && how.page && b.from != nil && login.Session.Unconfirmed():
			b.handOver()
			cookie, probe, crashes = b.jar()
			continue
		case err != nil:
			w.signedOut(b.who, err)
			return
		}
		if revoked {
			w.fault("%s is served after the session was revoked", b.who)
		}
		if now := time.Now().Add(r.skew); !now.Before(login.AccessToken.Expires) {
			w.fault("%s is served with a token that ran out %v ago, asked %v ago", b.who, now.Sub(login.AccessToken.Expires), time.Since(asked))
		}
		if w.plan.front && how.page && how.method == http.MethodGet && !b.isTurned() && login.Session.Due() {
			b.goRound()
			cookie, probe, crashes = b.jar()
			continue
		}
		b.answer(login, how, crashes)
		return
	}
}

func isUnconfirmed(err error) bool {
	var absent *auth.Absent
	return errors.As(err, &absent) && absent.Reason == auth.Unconfirmed
}

// isOut reports whether the browser cannot go on by itself.
func (b *simBrowser) isOut() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out
}

// answer takes an answer from the app to the jar.
func (b *simBrowser) answer(login *auth.Login, how simSend, crashes int) {
	w := b.w
	header := http.Header{}
	if w.plan.forwardAuth {
		login.Session.Deliver(context.Background(), header)
	}
	time.Sleep(how.upstream + w.random(30*time.Millisecond))
	if !w.plan.forwardAuth && !w.plan.front {
		login.Session.Deliver(context.Background(), header)
	}
	if len(header) == 0 {
		return
	}
	if b.receive(header, crashes) {
		w.note("%s has a new handle", b.who)
	}
}

// receive takes the cookies of an answer to the jar, unless they are lost on the way.
func (b *simBrowser) receive(header http.Header, crashes int) bool {
	w := b.w
	if w.plan.losesCookies && w.chance(6) {
		w.note("%s: a Set-Cookie is lost", b.who)
		return false
	}
	delay := w.random(60 * time.Millisecond)
	if w.plan.losesCookies && w.chance(8) {
		delay = w.random(20 * time.Second)
	}
	time.Sleep(delay)
	b.apply((&http.Response{Header: header}).Cookies(), crashes)
	return true
}

// simUse is what somebody does at the browser until end.
func (b *simBrowser) use(end time.Time) {
	w := b.w
	for time.Now().Before(end) && !w.isRevoked() {
		how := simSend{method: http.MethodGet, page: w.chance(2)}
		if w.chance(4) {
			how.method = http.MethodPost
		}
		if w.plan.slowApps && w.chance(12) {
			how.upstream = w.random(3 * time.Minute)
		}
		if w.plan.hangUps && w.chance(6) {
			how.hangUp = w.random(2 * time.Second)
		}
		if w.plan.late && w.chance(15) {
			how.late = w.random(10 * time.Minute)
		}
		n := 1
		if w.chance(8) {
			n = 2 + int(w.random(11)) // a page with its parts
		}
		for range n {
			w.wg.Go(func() { b.send(how) })
		}
		if w.plan.crashes && w.chance(25) {
			b.crash()
		}
		switch {
		case w.plan.busy:
			time.Sleep(w.random(time.Second))
		case w.plan.idle && w.chance(20):
			time.Sleep(w.random(2 * time.Hour))
		case w.chance(4):
			time.Sleep(w.random(3 * time.Minute))
		default:
			time.Sleep(w.random(20 * time.Second))
		}
	}
}
