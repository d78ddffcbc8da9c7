package session

import (
	"crypto/sha256"
	"math"
	"sync"
	"time"

	"github.com/evergate/evergate/auth"
)

// kept is what the process knows of one session. It stays, with the tokens or
// without, for as long as any cookie of the session could be accepted: that is how
// a spent one and a signed-out one are told from the one that counts.
type kept struct {
	key Key

	mu         sync.Mutex // guards all below
	used       time.Time  // when it was last asked for
	ends       time.Time  // max_lifetime
	seen       time.Time  // the idle clock
	generation uint64     // of the newest set; 0 before any is known
	token      spentToken // digest of the newest refresh token
	hot        *hot       // nil where the tokens are forgotten
	heirs      []heir     // what took the place of spent tokens

	bound   binding   // the key that it is bound to; it stays, whatever older cookies say
	second  bindingID // another one that a cookie said
	missing missing   // of the proof of the first

	from  origin // what it was signed in by
	trail trail  // where it was used from since

	ended     string // why it ended, or ""
	endedUpTo uint64 // for cookies up to this generation
	silent    string // who may sign the person in again without a word
	retired   time.Time
	replaced  []Key // sessions of the same person that this one took the place of

	flight  *flight
	trouble map[string]trouble
	forced  string    // the token that an upstream refused and a renewal was forced for
	forceAt time.Time // when another may be forced
	minted  map[string]minted
	streams attendances
	values  map[string]keptValue // what the session keeps, by name
	part    func(map[string]keptValue)
	drop    func(Key) // forgets what its cookies opened to

	exchanging chan struct{} // of one: who exchanges a token

	walk walked
}

// hot is a session with its tokens. It is a value that is replaced, never edited.
type hot struct {
	payload
	set     cookieSet
	idToken bool // whether the set bears it
	lost    bool // no cookie can carry it: it lives in this process alone
}

func newKept(key Key, now time.Time) *kept {
	return &kept{key: key, used: now, exchanging: make(chan struct{}, 1)}
}

// every ends a session whatever cookie comes.
const every = math.MaxUint64

// end ends the session for cookies up to a generation, and forgets its tokens. mu
// is held.
func (k *kept) end(reason string, upTo uint64) {
	if k.ended == "" {
		k.ended = reason
	}
	k.endedUpTo = max(k.endedUpTo, upTo)
	k.hot, k.heirs, k.minted = nil, nil, nil
	if len(k.values) > 0 {
		k.part(k.values)
		k.values = nil
	}
	if k.drop != nil {
		k.drop(k.key)
	}
	k.wake()
}

// wake tells attended streams to look again. mu is held.
func (k *kept) wake() {
	k.streams.wake()
}

// absent says why nobody is signed in by this session. mu is held.
func (k *kept) absent() *auth.Absent {
	if k.ended == "" { // its tokens were forgotten, and no cookie at hand leads to new ones
		return &auth.Absent{Reason: auth.Ended}
	}
	return &auth.Absent{Reason: k.ended, Silent: k.silent}
}

// unknowable reports that no cookie of the session can be accepted any more. mu is
// held.
func (k *kept) unknowable(now time.Time, idle time.Duration) bool {
	switch {
	case k.flight != nil || len(k.streams) > 0:
		return false
	case k.generation == 0:
		return now.Sub(k.used) > forgetIdle
	}
	return !now.Before(k.ends) || k.ended == "" && !now.Before(k.seen.Add(idle))
}

// cool forgets the tokens of a session that nobody uses: the cookie has what it
// takes to go on. While the access token is valid it stays, or whoever comes every
// quarter of an hour would cost the provider a grant each time. mu is held.
func (k *kept) cool(now time.Time) {
	if k.hot != nil && !k.hot.lost && k.flight == nil && len(k.streams) == 0 &&
		now.Sub(k.used) > forgetIdle && !now.Before(k.hot.Login.Expires) {
		k.hot, k.minted = nil, nil
	}
}

// adopt takes in what a cookie says and returns why the session is over for it, or
// "". The cookie counts if its refresh token is the newest, or leads there. That the
// session is bound counts in any case. mu is held.
func (s *Stateless) adopt(k *kept, c *cookieSet) (reason string) {
	now := s.cfg.Now()
	k.used = now
	if k.ended != "" && c.generation <= k.endedUpTo {
		return k.ended
	}
	if k.hot != nil && k.hot.set.digest == c.digest {
		k.sight(c.generation, now, s.retention())
		return ""
	}
	p, err := unpack(c.data)
	if err != nil {
		return auth.Damaged
	}
	s.learn(k, p.Bound)
	k.recall(&p)
	defer s.carry(k) // once it is known which set is the newest
	token := digestToken(p.Login.RefreshToken)
	switch {
	case c.generation > k.generation:
		// The first cookie since the start, or one that was handed out before it and
		// that an older one, late, has overtaken. What that one ended ends here.
		k.ended, k.token, k.generation, k.trouble = "", token, c.generation, nil
		s.warm(k, p, *c, now)
	case token == k.token && k.hot == nil:
		s.warm(k, p, *c, now)
	case token == k.token:
	case k.hot == nil:
		newest, set, ok := k.follow(p.Login.RefreshToken)
		if !ok {
			return auth.Ended
		}
		s.warm(k, newest, set, now)
	case !k.shorten(p.Login.RefreshToken, now):
		return auth.Ended
	}
	k.sight(c.generation, now, s.retention())
	return ""
}

// warm takes p for the session. A cookie tells the last use coarsely: the session
// may have been used since, so the idle time counts from the latest that can be. mu
// is held.
func (s *Stateless) warm(k *kept, p payload, set cookieSet, now time.Time) {
	k.hot = &hot{payload: p, set: set, idToken: p.Login.IDToken != ""}
	k.ends = p.Created.Add(s.set().MaxLifetime)
	if k.seen.IsZero() || p.Seen.After(k.seen) {
		k.seen = earlier(p.Seen.Add(s.coarse()), later(now, p.Seen))
	}
}

// change makes p the session, in a set of a generation of its own if anything that
// the cookie carries is another. mu is held.
func (s *Stateless) change(k *kept, p payload) (err error) {
	if k.seen.Sub(p.Seen) >= s.coarse()/2 {
		p.Seen = k.seen
	}
	set, idToken, err := s.fit(p, k.generation+1)
	next := &hot{payload: p, set: set, idToken: idToken, lost: err != nil}
	if set.data == nil || set.digest == k.hot.set.digest {
		next.set = k.hot.set
	} else {
		k.generation++
	}
	k.hot, k.token = next, digestToken(p.Login.RefreshToken)
	return err
}

// over says why the session has reached its end, or "". mu is held.
func (s *Stateless) over(k *kept, now time.Time) string {
	switch {
	case !now.Before(s.ends(k)):
		if !k.retired.IsZero() {
			return auth.Ended
		}
		return auth.Over
	case !now.Before(k.seen.Add(s.set().IdleTimeout)):
		return auth.Idle
	}
	return ""
}

// ends is when the session ends however it is used. mu is held.
func (s *Stateless) ends(k *kept) time.Time {
	ends := k.ends
	if k.hot != nil && !k.hot.Login.Until.IsZero() {
		ends = earlier(ends, k.hot.Login.Until)
	}
	if !k.retired.IsZero() {
		ends = earlier(ends, k.retired)
	}
	return ends
}

// spentToken is a digest of a refresh token.
type spentToken [sha256.Size]byte

func digestToken(token string) spentToken {
	return sha256.Sum256([]byte("evergate refresh token\x00" + token))
}
