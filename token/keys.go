package token

import (
	"cmp"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth"
)

// Keys are the keys that sign access tokens: one that signs now, others that still
// verify what they signed, and perhaps one that is published before its time. They lie
// in memory ([NewKeys]), in a folder ([OpenKeys]), or where gateways share them
// ([ShareKeys]). It is safe for concurrent use.
type Keys struct {
	dir       string // "" keeps them elsewhere
	algorithm string

	mu  sync.Mutex             // makes changes one at a time
	set atomic.Pointer[keySet] // nil until there are any

	shared *follower // nil where nobody shares them
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

// keySet is swapped, never edited.
type keySet struct {
	all     []*key // in the order of their use
	signers []*key // those of them that sign, each from its time on; not empty
	byID    map[string]*key
	jwks    []byte
}

type key struct {
	id     string
	method jwt.SigningMethod
	signer crypto.Signer
	jwk    jwk
	from   time.Time // when it begins to sign
}

// signing returns the key that signs at now. By a clock that is before all of them
// the first signs: a clock may be wrong, and a token signed too early is better than none.
func (s *keySet) signing(now time.Time) *key {
	for _, k := range slices.Backward(s.signers) {
		if !now.Before(k.from) {
			return k
		}
	}
	return s.signers[0]
}

// NewKeys makes one key, kept in memory.
func NewKeys(algorithm string) (*Keys, error) {
	k := &Keys{algorithm: algorithm}
	return k, k.Rotate()
}

// OpenKeys reads the keys in dir, a folder of PEM files (PKCS #8) of mode
// 0600, and makes the first one if there is none for algorithm. The newest key
// for algorithm signs; all of them verify.
func OpenKeys(dir, algorithm string) (*Keys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("token: make the folder for signing keys: %w", err)
	}
	k := &Keys{dir: dir, algorithm: algorithm}
	all, err := readKeys(dir)
	if err != nil {
		return nil, err
	}
	inOrder(all)
	mine := ofAlgorithm(all, algorithm)
	if len(mine) == 0 {
		return k, k.add(all)
	}
	return k, k.swap(all, mine[len(mine)-1:])
}

// Rotate makes a new key and signs with it from now on. The old ones stay
// published, for tokens that they have signed. Keys that are shared have a schedule,
// and refuse.
func (k *Keys) Rotate() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.shared != nil {
		return errors.New("token: signing keys that are shared rotate on their schedule")
	}
	var all []*key
	if set := k.set.Load(); set != nil {
		all = set.all
	}
	return k.add(all)
}

func (k *Keys) add(all []*key) error {
	fresh, err := makeKey(k.algorithm, time.Now())
	if err != nil {
		return err
	}
	if k.dir != "" {
		if err := writeKey(filepath.Join(k.dir, fresh.id+".pem"), fresh.signer); err != nil {
			return err
		}
	}
	return k.swap(append(slices.Clone(all), fresh), []*key{fresh})
}

// Close ends what ShareKeys began, and waits for it.
func (k *Keys) Close() error {
	if k.stop != nil {
		k.stop()
	}
	k.wg.Wait()
	return nil
}

// JWKS is the public half of all keys, as RFC 7517 section 5 writes it; nil as long as
// shared keys were never within reach.
func (k *Keys) JWKS() []byte {
	if set := k.set.Load(); set != nil {
		return set.jwks
	}
	return nil
}

// load returns the keys of now, or says that they are out of reach.
func (k *Keys) load() (*keySet, error) {
	if set := k.set.Load(); set != nil {
		return set, nil
	}
	return nil, &auth.Unavailable{What: "what signs access tokens", RetryAfter: lookAgain}
}

// inOrder sorts keys by when they begin to sign.
func inOrder(all []*key) {
	slices.SortFunc(all, func(a, b *key) int { return cmp.Or(a.from.Compare(b.from), strings.Compare(a.id, b.id)) })
}

func ofAlgorithm(all []*key, algorithm string) (mine []*key) {
	for _, k := range all {
		if k.method.Alg() == algorithm {
			mine = append(mine, k)
		}
	}
	return mine
}

// swap puts other keys into force.
func (k *Keys) swap(all, signers []*key) error {
	set := &keySet{all: all, signers: signers, byID: map[string]*key{}}
	doc := struct {
		Keys []jwk `json:"keys"`
	}{[]jwk{}}
	for _, one := range slices.Backward(all) { // the newest first
		set.byID[one.id] = one
		doc.Keys = append(doc.Keys, one.jwk)
	}
	var err error
	if set.jwks, err = json.Marshal(doc); err != nil {
		return fmt.Errorf("token: write the key set: %w", err)
	}
	k.set.Store(set)
	return nil
}

func makeKey(algorithm string, from time.Time) (*key, error) {
	signer, err := generate(algorithm)
	if err != nil {
		return nil, err
	}
	return newKey(signer, from)
}

func newKey(signer crypto.Signer, from time.Time) (*key, error) {
	method, err := methodOf(signer.Public())
	if err != nil {
		return nil, err
	}
	j, err := newJWK(signer.Public())
	if err != nil {
		return nil, err
	}
	return &key{id: j.Kid, method: method, signer: signer, jwk: j, from: from}, nil
}
