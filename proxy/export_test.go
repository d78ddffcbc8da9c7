package proxy

import (
	"errors"
	"net/url"
	"time"
)

// SetURL is the door to what goes onto the wire.
func SetURL(t *Target, u *url.URL, base string) { t.setURL(u, base) }

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
