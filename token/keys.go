package token

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
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
)

// Keys are the keys that sign access tokens: one that signs now, and others
// that still verify what they signed. It is safe for concurrent use.
type Keys struct {
	dir       string // "" keeps them in memory
	algorithm string

	mu  sync.Mutex // makes changes one at a time
	set atomic.Pointer[keySet]
}

// keySet is swapped, never edited.
type keySet struct {
	current *key
	byID    map[string]*key
	jwks    []byte
}

type key struct {
	id     string
	method jwt.SigningMethod
	signer crypto.Signer
	jwk    jwk
	made   time.Time
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
	files, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil {
		return nil, fmt.Errorf("token: list signing keys: %w", err)
	}
	var all []*key
	for _, file := range files {
		one, err := readKey(file)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b *key) int { return cmp.Or(b.made.Compare(a.made), strings.Compare(a.id, b.id)) })
	i := slices.IndexFunc(all, func(one *key) bool { return one.method.Alg() == algorithm })
	if i < 0 {
		if err := k.swap(all, nil); err != nil {
			return nil, err
		}
		return k, k.Rotate()
	}
	return k, k.swap(all, all[i])
}

// Rotate makes a new key and signs with it from now on. The old ones stay
// published, for tokens that they have signed.
func (k *Keys) Rotate() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	signer, err := generate(k.algorithm)
	if err != nil {
		return err
	}
	fresh, err := newKey(signer, time.Now())
	if err != nil {
		return err
	}
	if k.dir != "" {
		if err := writeKey(filepath.Join(k.dir, fresh.id+".pem"), signer); err != nil {
			return err
		}
	}
	return k.swap(append([]*key{fresh}, k.all()...), fresh)
}

// JWKS is the public half of all keys, as RFC 7517 section 5 writes it.
func (k *Keys) JWKS() []byte { return k.set.Load().jwks }

func (k *Keys) all() (all []*key) {
	if set := k.set.Load(); set != nil {
		for _, one := range set.byID {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b *key) int { return cmp.Or(b.made.Compare(a.made), strings.Compare(a.id, b.id)) })
	return all
}

func (k *Keys) swap(all []*key, current *key) error {
	set := &keySet{current: current, byID: map[string]*key{}}
	doc := struct {
		Keys []jwk `json:"keys"`
	}{[]jwk{}}
	for _, one := range all {
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

func newKey(signer crypto.Signer, made time.Time) (*key, error) {
	method, err := methodOf(signer.Public())
	if err != nil {
		return nil, err
	}
	j, err := newJWK(signer.Public())
	if err != nil {
		return nil, err
	}
	return &key{id: j.Kid, method: method, signer: signer, jwk: j, made: made}, nil
}

func readKey(file string) (*key, error) {
	fi, err := os.Lstat(file)
	if err != nil {
		return nil, fmt.Errorf("token: read a signing key: %w", err)
	}
	if !fi.Mode().IsRegular() || fi.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("token: signing key %s has mode %s, want a file that only its owner may read; try: chmod 600 %s", file, fi.Mode(), file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("token: read a signing key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("token: signing key %s is no PEM file with a PRIVATE KEY (PKCS #8)", file)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("token: signing key %s: %w", file, err)
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("token: signing key %s does not sign", file)
	}
	one, err := newKey(signer, fi.ModTime())
	if err != nil {
		return nil, fmt.Errorf("token: signing key %s: %w", file, err)
	}
	return one, nil
}

// writeKey puts the whole file in place in one step: a crash leaves it or
// nothing.
func writeKey(file string, signer crypto.Signer) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("token: keep a signing key: %w", err)
		}
	}()
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, werr := tmp.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err := errors.Join(werr, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}
