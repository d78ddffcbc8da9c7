package session

import (
	"crypto/hkdf"
	"crypto/sha256"
	"slices"
	"time"
)

// heir is what took the place of a spent refresh token: the session of then, sealed
// with a key that only the spent token gives. It is for requests that come with the
// old cookie, because they are late or because the Set-Cookie was lost.
type heir struct {
	old        spentToken
	generation uint64 // of the set that is sealed
	sealed     []byte
	first      time.Time // first request that brought this generation or a later one
	used       time.Time // for whom the oldest makes room
}

// maxHeirs bounds those of one session. A browser that keeps cookies has one or two.
const maxHeirs = 16

// heirKey derives the key that a spent token's successor is sealed with.
func heirKey(token string) DataKey {
	b, err := hkdf.Key(sha256.New, []byte(token), nil, "evergate successor 1", len(DataKey{}))
	if err != nil {
		panic("session: " + err.Error()) // of lengths that are constant
	}
	return DataKey(b)
}

// leave keeps set as what took the place of token. mu is held.
func (k *kept) leave(token string, set *cookieSet, now time.Time) {
	aead, err := newAEAD(heirKey(token))
	if err != nil {
		panic("session: " + err.Error()) // of a key length that is constant
	}
	h := heir{old: digestToken(token), generation: set.generation, used: now,
		sealed: aead.Seal(nil, nil, set.data, sealContext(k.key, set.generation))}
	if i := k.heir(h.old); i >= 0 {
		h.first = k.heirs[i].first // or whoever comes with it would keep it alive
		k.heirs[i] = h
		return
	}
	if len(k.heirs) >= maxHeirs {
		oldest := 0
		for i := range k.heirs {
			if k.heirs[i].used.Before(k.heirs[oldest].used) {
				oldest = i
			}
		}
		k.heirs = slices.Delete(k.heirs, oldest, oldest+1)
	}
	k.heirs = append(k.heirs, h)
}

func (k *kept) heir(old spentToken) int {
	return slices.IndexFunc(k.heirs, func(h heir) bool { return h.old == old })
}

// follow goes from a spent token to the newest session. mu is held.
func (k *kept) follow(token string) (p payload, set cookieSet, ok bool) {
	for range maxHeirs {
		i := k.heir(digestToken(token))
		if i < 0 {
			return payload{}, cookieSet{}, false
		}
		h := &k.heirs[i]
		aead, err := newAEAD(heirKey(token))
		if err != nil {
			return payload{}, cookieSet{}, false
		}
		data, err := aead.Open(nil, nil, h.sealed, sealContext(k.key, h.generation))
		if err != nil {
			return payload{}, cookieSet{}, false
		}
		if p, err = unpack(data); err != nil {
			return payload{}, cookieSet{}, false
		}
		token = p.Login.RefreshToken
		if digestToken(token) == k.token {
			return p, newSet(h.generation, data), true
		}
	}
	return payload{}, cookieSet{}, false
}

// shorten reports whether a spent token leads to the session, and makes it lead
// there straight: what lies between may be forgotten. mu is held, and the tokens
// are there.
func (k *kept) shorten(token string, now time.Time) bool {
	i := k.heir(digestToken(token))
	if i < 0 {
		return false
	}
	if h := &k.heirs[i]; h.generation < k.hot.set.generation {
		k.leave(token, &k.hot.set, now)
	} else {
		h.used = now
	}
	return true
}

// sight notes that a request brought a generation, and forgets the spent tokens
// whose successors have been in use for long enough. mu is held.
func (k *kept) sight(generation uint64, now time.Time, retention time.Duration) {
	k.heirs = slices.DeleteFunc(k.heirs, func(h heir) bool {
		return generation >= h.generation && !h.first.IsZero() && now.Sub(h.first) >= retention
	})
	for i := range k.heirs {
		if h := &k.heirs[i]; generation >= h.generation && h.first.IsZero() {
			h.first = now
		}
	}
}
