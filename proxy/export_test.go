package proxy

import (
	"errors"
	"net/netip"
	"net/url"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// SetURL is the door to what goes onto the wire.
func SetURL(t *Target, u *url.URL, base string) { t.setURL(u, base) }

// CleanAny is Clean without its short way.
func CleanAny(target string, allow PathChars) (Target, *web.Error) { return cleanAny(target, allow) }

// Long is the length from which a body has a large buffer.
const Long = long

// HoldLong takes all large buffers that nobody uses, until they are let go.
func HoldLong() (letGo func()) {
	var all []*longBuffer
	for b := lendLong(); b != nil; b = lendLong() {
		all = append(all, b)
	}
	return func() {
		for _, b := range all {
			returnLong(b)
		}
	}
}

// LentLong is how many large buffers are in use.
func LentLong() int { return int(longLent.Load()) }

// Choose is the choice among targets, without a request.
func (u *Upstream) Choose(key string) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	t, _ := u.choose(time.Now(), key, nil)
	return t.name
}

// Fail is a failure of the target of that number.
func (u *Upstream) Fail(i int) { u.failed(u.targets[i], errors.New("it broke")) }

// SetHealth is what its health checks would say.
func (u *Upstream) SetHealth(i int, sick error) { u.setHealth(u.targets[i], sick) }

// ResolveEvery sets how often host names are looked up. It comes before Start.
func (u *Upstream) ResolveEvery(d time.Duration) { u.resolveEvery = d }

// MapBack maps an address of an upstream at inside.test:81 that got up for public
// from a browser at https://gw.test.
func MapBack(w Rewrite, public, up, address string) string {
	m := &mapping{strip: w.StripPrefix, add: w.AddPrefix, scheme: "https", host: "gw.test", sent: "inside.test:81", public: public, up: up, asked: public}
	return m.address(address)
}

// Waiting is how many requests wait for a place.
func (u *Upstream) Waiting() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.waiters)
}

// EncodersInUse is how many answers are being compressed.
func EncodersInUse() int64 { return encoding.Load() }

// MaxEncoders is maxEncoders.
const MaxEncoders = maxEncoders

// Rate is a limit without a route.
type Rate struct{ *rate }

// NewRate makes one that remembers so many callers.
func NewRate(l RateLimit, most int) Rate {
	k := newRate(l)
	k.most = most
	return Rate{k}
}

// Take counts a request of somebody who is signed in under a name, from one address.
func (k Rate) Take(subject string) bool {
	login := auth.Login{Identity: auth.Identity{Provider: "local", Subject: subject}}
	_, ok := k.take(k.caller(&login, netip.AddrFrom4([4]byte{192, 0, 2, 1})))
	return ok
}

// Callers is how many are remembered.
func (k Rate) Callers() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.full)
}
