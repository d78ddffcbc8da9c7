package session

import (
	"bytes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/evergate/evergate/internal/secret"
)

// Ring is the key ring that seals cookies: the first key seals, all open. A key
// that was made less than five minutes ago does not seal yet where there is another:
// gateways that share the ring read it at different moments, and one that has a
// key later than the others must know it before it meets its cookies.
//
// It implements auth.Sealer. It is safe for concurrent use.
//
// gorilla/securecookie encrypts with AES-256-CTR and authenticates name, time
// and ciphertext with HMAC-SHA-256. Ring closes what it leaves open: short
// keys and unencrypted cookies are refused, purpose and host are part of the
// authenticated name, and the expiry is sealed in rather than derived from a
// timestamp that may lie in the future.
type Ring struct {
	keys atomic.Pointer[[]ringKey] // replaced, never edited
	// Now is the clock of expiries; nil means time.Now.
	Now func() time.Time
}

type ringKey struct {
	id    string
	made  time.Time
	codec *securecookie.SecureCookie
	tag   []byte      // key of the digests that sessions are found by
	store cipher.AEAD // seals what lies in the store
}

// sealAfter is how long after it was made a key begins to seal.
const sealAfter = 5 * time.Minute

var (
	// ErrUnknownKey reports a value sealed under a key that the ring does not
	// hold. Another replica may hold it: the value is not known to be bad.
	ErrUnknownKey = errors.New("session: sealed under a key that is not on the ring")
	// ErrSeal reports a sealed value that is damaged, foreign or over.
	ErrSeal = errors.New("session: sealed value does not open")
)

const (
	keyPrefix   = "evergate-key-1"
	keyMaterial = 64   // 32 bytes for HMAC, 32 for AES-256
	maxSealed   = 4096 // a browser keeps no longer cookie
)

// NewKey makes a fresh key of the ring, as the one line of text that a key
// file holds: "evergate-key-1.<unix time>.<64 random bytes, base64url>".
func NewKey(now time.Time) secret.Text {
	material := make([]byte, keyMaterial)
	_, _ = rand.Read(material)
	return secret.New(fmt.Sprintf("%s.%d.%s", keyPrefix, now.Unix(), base64.RawURLEncoding.EncodeToString(material)))
}

// NewRing makes a ring of key texts as NewKey makes them, the sealing key first.
func NewRing(keys ...secret.Text) (*Ring, error) {
	r := &Ring{}
	return r, r.Replace(keys...)
}

// Replace puts other keys in the place of those of the ring. Cookies under a key that
// stays are not affected; on an error nothing changes.
func (r *Ring) Replace(keys ...secret.Text) error {
	if len(keys) == 0 {
		return errors.New("session: a key ring needs at least one key; make one with: evergate key new")
	}
	var all []ringKey
	for i, text := range keys {
		k, err := parseKey(text)
		if err != nil {
			return fmt.Errorf("session: key %d of the ring: %w; make one with: evergate key new", i+1, err)
		}
		for _, other := range all {
			if other.id == k.id {
				return fmt.Errorf("session: key %d of the ring is there twice", i+1)
			}
		}
		all = append(all, k)
	}
	r.keys.Store(&all)
	return nil
}

// Len is the number of keys.
func (r *Ring) Len() int { return len(*r.keys.Load()) }

// Sealing names the key that seals now. The name opens nothing.
func (r *Ring) Sealing() string { return r.sealing().id }

// sealing returns the key that seals now: the first that is old enough, or the
// oldest one.
func (r *Ring) sealing() ringKey {
	keys, now := *r.keys.Load(), r.now()
	oldest := keys[0]
	for _, k := range keys {
		if now.Sub(k.made) >= sealAfter {
			return k
		}
		if k.made.Before(oldest.made) {
			oldest = k
		}
	}
	return oldest
}

func parseKey(text secret.Text) (ringKey, error) {
	parts := strings.Split(strings.TrimSpace(text.Reveal()), ".")
	if len(parts) != 3 || parts[0] != keyPrefix {
		return ringKey{}, fmt.Errorf("want one line %s.<time>.<key>", keyPrefix)
	}
	made, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return ringKey{}, errors.New("its time is not a number of seconds")
	}
	material, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(material) != keyMaterial {
		return ringKey{}, fmt.Errorf("want %d bytes of key in base64url", keyMaterial)
	}
	if [keyMaterial]byte(material) == [keyMaterial]byte{} {
		return ringKey{}, errors.New("it is all zeros")
	}
	codec := securecookie.New(material[:32], material[32:])
	codec.SetSerializer(securecookie.NopEncoder{}).MaxAge(0).MaxLength(maxSealed)
	tag := sha256.Sum256(append([]byte("evergate tag key\x00"), material...))
	forStore := sha256.Sum256(append([]byte("evergate store key\x00"), material...))
	aead, err := newAEAD(forStore)
	if err != nil {
		return ringKey{}, err
	}
	return ringKey{id: keyID(material), made: time.Unix(made, 0), codec: codec, tag: tag[:], store: aead}, nil
}

// keyID names a key in six bytes: four of its digest, and two that check
// those, so that a damaged cookie is not taken for one of a foreign key.
func keyID(material []byte) string {
	sum := sha256.Sum256(append([]byte("evergate key id\x00"), material...))
	return withCheck(sum[:4])
}

func withCheck(id []byte) string {
	check := sha256.Sum256(id)
	return base64.RawURLEncoding.EncodeToString(append(id[:4:4], check[:2]...))
}

func isKeyID(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == 6 && withCheck(b[:4]) == s
}

// Seal implements auth.Sealer. A ttl of zero never ends.
func (r *Ring) Seal(purpose, host string, plain []byte, ttl time.Duration) (string, error) {
	var until int64
	if ttl > 0 {
		until = r.now().Add(ttl).UnixMilli()
	}
	k := r.sealing()
	value, err := k.codec.Encode(sealName(purpose, host), append(binary.BigEndian.AppendUint64(nil, uint64(until)), plain...))
	if err != nil {
		return "", fmt.Errorf("session: seal %s: %w", purpose, err)
	}
	return k.id + "." + value, nil
}

// Open implements auth.Sealer. The error is ErrUnknownKey or ErrSeal.
func (r *Ring) Open(purpose, host, sealed string) ([]byte, error) {
	plain, _, err := r.openUntil(purpose, host, sealed)
	return plain, err
}

// openUntil is Open, and says when it does not open any more; the zero time is never.
func (r *Ring) openUntil(purpose, host, sealed string) (plain []byte, ends time.Time, err error) {
	id, value, ok := strings.Cut(sealed, ".")
	if !ok || len(sealed) > maxSealed || !isKeyID(id) {
		return nil, time.Time{}, ErrSeal
	}
	// securecookie overlooks stray bits at the end, and every base64 of Go the line breaks
	// that an address may bring along; one value, one spelling.
	if _, err := base64.URLEncoding.Strict().DecodeString(value); err != nil || strings.ContainsAny(value, "\r\n") {
		return nil, time.Time{}, ErrSeal
	}
	for _, k := range *r.keys.Load() {
		if k.id != id {
			continue
		}
		var b []byte
		if err := k.codec.Decode(sealName(purpose, host), value, &b); err != nil || len(b) < 8 {
			return nil, time.Time{}, ErrSeal
		}
		if until := int64(binary.BigEndian.Uint64(b)); until != 0 {
			if ends = time.UnixMilli(until); r.now().UnixMilli() >= until {
				return nil, time.Time{}, ErrSeal
			}
		}
		return b[8:], ends, nil
	}
	return nil, time.Time{}, ErrUnknownKey
}

// sealedAt is when a value that Open has opened was sealed, to the second: securecookie
// puts the time in front of it, under its MAC.
func sealedAt(sealed string) (time.Time, bool) {
	_, value, _ := strings.Cut(sealed, ".")
	b, err := base64.URLEncoding.DecodeString(value)
	if err != nil {
		return time.Time{}, false
	}
	stamp, _, _ := bytes.Cut(b, []byte{'|'})
	seconds, err := strconv.ParseInt(string(stamp), 10, 64)
	return time.Unix(seconds, 0), err == nil
}

// Tags returns the digests of a thing that sessions are found by, one for each
// key of the ring, that of the sealing key first: records bear the first, and
// are looked for under all. Without the ring a tag tells nothing, not even to
// somebody who guesses right.
func (r *Ring) Tags(purpose string, parts ...string) []Tag {
	first := r.sealing()
	keys := []ringKey{first}
	for _, k := range *r.keys.Load() {
		if k.id != first.id {
			keys = append(keys, k)
		}
	}
	tags := make([]Tag, 0, len(keys))
	for _, k := range keys {
		mac := hmac.New(sha256.New, k.tag)
		for _, part := range append([]string{purpose}, parts...) {
			mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
			mac.Write([]byte(part))
		}
		tags = append(tags, Tag(mac.Sum(nil)))
	}
	return tags
}

// SealBlob seals what lies in the store, whatever its size. What is bound in: the
// purpose, and the place where it lies.
func (r *Ring) SealBlob(purpose string, place, plain []byte) []byte {
	k := r.sealing()
	return k.store.Seal([]byte(k.id), nil, plain, blobContext(purpose, place))
}

// OpenBlob opens what SealBlob sealed. Current says that the key is the one that seals
// now. The error is ErrUnknownKey or ErrSeal.
func (r *Ring) OpenBlob(purpose string, place, sealed []byte) (plain []byte, current bool, err error) {
	if len(sealed) < keyIDSize || !isKeyID(string(sealed[:keyIDSize])) {
		return nil, false, ErrSeal
	}
	id := string(sealed[:keyIDSize])
	for _, k := range *r.keys.Load() {
		if k.id != id {
			continue
		}
		if plain, err = k.store.Open(nil, nil, sealed[keyIDSize:], blobContext(purpose, place)); err != nil {
			return nil, false, ErrSeal
		}
		return plain, id == r.sealing().id, nil
	}
	return nil, false, ErrUnknownKey
}

const keyIDSize = 8 // six bytes in base64url

func blobContext(purpose string, place []byte) []byte {
	return append([]byte("evergate blob 1\x00"+purpose+"\x00"), place...)
}

func (r *Ring) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// sealName binds purpose and host. A host holds no "|", so no two pairs meet.
func sealName(purpose, host string) string { return "evergate|" + purpose + "|" + host }
