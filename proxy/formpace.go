package proxy

import (
	"errors"
	"time"
)

// How often a form is filled in. A session may do so thrice, and then once in a while:
// an app that shows its login page for some other reason is not asked at every request.
// A user whom the app refused is not tried again for a while, whatever the session: an
// app that locks people out would do so.
const (
	paceBurst = 3
	paceEvery = 20 * time.Second

	pauseLeast = 30 * time.Second
	pauseMost  = 10 * time.Minute

	maxPaces = 10_000 // that are remembered
)

// errPace reports a session that signs in too often.
var errPace = errors.New("the app shows its login page again and again")

// pace is how often a session may still sign in.
type pace struct {
	left  int
	since time.Time // when left was counted
}

// pause is for how long a user is not tried.
type pause struct {
	wait  time.Duration
	until time.Time
}

// mayTry takes one of the sign-ins that a session may make.
func (f *Form) mayTry(key string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.paces[key]
	if p == nil {
		f.sweep(now)
		p = &pace{left: paceBurst, since: now}
		f.paces[key] = p
	}
	if n := int(now.Sub(p.since) / paceEvery); n > 0 {
		p.left, p.since = min(paceBurst, p.left+n), p.since.Add(time.Duration(n)*paceEvery)
	}
	if p.left == 0 {
		return false
	}
	p.left--
	return true
}

// pausedFor is how long a user is not tried yet.
func (f *Form) pausedFor(account string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.failures[account]; p != nil {
		return p.until.Sub(now)
	}
	return 0
}

// failed notes that the app refused a user, and returns for how long it is left alone.
func (f *Form) failed(account string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.failures[account]
	if p == nil {
		f.sweep(now)
		p = &pause{}
		f.failures[account] = p
	}
	p.wait = min(max(2*p.wait, pauseLeast), pauseMost)
	p.until = now.Add(p.wait)
	return p.wait
}

func (f *Form) succeeded(account string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.failures, account)
}

// sweep forgets what has no effect any more, once there is much. The mutex is held.
func (f *Form) sweep(now time.Time) {
	if len(f.paces) >= maxPaces {
		for key, p := range f.paces {
			if now.Sub(p.since) > paceBurst*paceEvery {
				delete(f.paces, key)
			}
		}
	}
	if len(f.failures) >= maxPaces {
		for account, p := range f.failures {
			if now.Sub(p.until) > pauseMost {
				delete(f.failures, account)
			}
		}
	}
}
