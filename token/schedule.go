package token

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

const (
	// published is how long a key is in the key set before it signs: who verifies
	// may keep a key set for an hour. What the rest is for: another gateway sees the
	// key a minute later, its clock may be a minute ahead, and caches on the way keep
	// the key set for five minutes.
	published = time.Hour + 10*time.Minute
	// retired is how long a key stays in the key set once its successor signs: what it
	// signed lasts no longer, clocks a minute apart and an hour for those who
	// disagree more than that included.
	retired = MaxTTL + leeway + time.Hour
)

// schedule says which keys there are to be at a time.
type schedule struct {
	algorithm string
	every     time.Duration // 0 is never
}

// plan returns what is to become of all, keys in order, at now, and which of them is
// new. Now is the clock that all gateways share: one whose own clock is wrong must not
// rotate for the others.
func (s schedule) plan(all []*key, now time.Time) (next []*key, fresh *key, err error) {
	next = slices.DeleteFunc(slices.Clone(all), func(k *key) bool { return s.over(k, all, now) })
	from, due := now, true // none for the algorithm: nobody can wait for it
	if mine := ofAlgorithm(next, s.algorithm); len(mine) > 0 {
		newest := mine[len(mine)-1]
		from, due = now.Add(published), s.every > 0 && !now.Before(newest.from.Add(s.every-published))
	}
	if !due {
		return next, nil, nil
	}
	if fresh, err = makeKey(s.algorithm, from); err != nil {
		return nil, nil, err
	}
	next = append(next, fresh)
	inOrder(next)
	return next, fresh, nil
}

// over reports whether nothing is valid any more that k signed, and nothing will be
// signed with it. Never so for the last key of its algorithm, unless it is of another
// algorithm than ours and far beyond its rotation: a gateway that used it, of an
// earlier config, would have made its successor.
func (s schedule) over(k *key, all []*key, now time.Time) bool {
	mine := ofAlgorithm(all, k.method.Alg())
	if i := slices.Index(mine, k) + 1; i < len(mine) {
		return !now.Before(mine[i].from.Add(retired))
	}
	return k.method.Alg() != s.algorithm && s.every > 0 && !now.Before(k.from.Add(s.every+retired))
}

// keysFormat is that of the document. A later one may say more, and is not to be
// written over by somebody who does not understand it.
const keysFormat = 1

type keysDocument struct {
	Format int         `json:"format"`
	Keys   []storedKey `json:"keys"`
}

type storedKey struct {
	PKCS8 []byte    `json:"pkcs8"`
	From  time.Time `json:"from"`
}

func encodeKeys(all []*key) ([]byte, error) {
	doc := keysDocument{Format: keysFormat}
	for _, k := range all {
		der, err := x509.MarshalPKCS8PrivateKey(k.signer)
		if err != nil {
			return nil, fmt.Errorf("token: encode a signing key: %w", err)
		}
		doc.Keys = append(doc.Keys, storedKey{der, k.from.UTC().Round(0)})
	}
	return json.Marshal(doc)
}

func decodeKeys(value []byte) (all []*key, err error) {
	var doc keysDocument
	if err := json.Unmarshal(value, &doc); err != nil {
		return nil, fmt.Errorf("token: read the shared signing keys: %w", err)
	}
	if doc.Format != keysFormat {
		return nil, fmt.Errorf("token: the shared signing keys are of format %d, want %d: a later version of evergate wrote them", doc.Format, keysFormat)
	}
	for _, stored := range doc.Keys {
		parsed, err := x509.ParsePKCS8PrivateKey(stored.PKCS8)
		if err != nil {
			return nil, fmt.Errorf("token: read a shared signing key: %w", err)
		}
		signer, ok := parsed.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("token: a shared signing key of type %T does not sign", parsed)
		}
		k, err := newKey(signer, stored.From)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	inOrder(all)
	return all, nil
}
