package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/evergate/evergate/internal/secret"
)

// Ring is the key ring that seals cookies: the first key seals, all open.
// It implements auth.Sealer. It is safe for concurrent use.
//
// gorilla/securecookie encrypts with AES-256-CTR and authenticates name, time
// and ciphertext with HMAC-SHA-256. Ring closes what it leaves open: short
// keys and unencrypted cookies are refused, purpose and host are part of the
// authenticated name, and the expiry is sealed in rather than derived from a
// timestamp that may lie in the future.
type Ring struct {
	keys []ringKey
	// Now is the clock of expiries; nil means time.Now.
	Now func() time.Time
}

type ringKey struct {
	id    string
	codec *securecookie.SecureCookie
	tag   []byte // key of the digests that sessions are found by
}

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
	if len(keys) == 0 {
		return nil, errors.New("session: a key ring needs at least one key; make one with: evergate key new")
	}
	r := &Ring{}
	for i, text := range keys {
		k, err := parseKey(text)
		if err != nil {
			return nil, fmt.Errorf("session: key %d of the ring: %w; make one with: evergate key new", i+1, err)
		}
		for _, other := range r.keys {
			if other.id == k.id {
				return nil, fmt.Errorf("session: key %d of the ring is there twice", i+1)
			}
		}
		r.keys = append(r.keys, k)
	}
	return r, nil
}

func parseKey(text secret.Text) (ringKey, error) {
	parts := strings.Split(strings.TrimSpace(text.Reveal()), ".")
	if len(parts) != 3 || parts[0] != keyPrefix {
		return ringKey{}, fmt.Errorf("want one line %s.<time>.<key>", keyPrefix)
	}
	if _, err := strconv.ParseInt(parts[1], 10, 64); err != nil {
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
	return ringKey{id: keyID(material), codec: codec, tag: tag[:]}, nil
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
	k := r.keys[0]
	value, err := k.codec.Encode(sealName(purpose, host), append(binary.BigEndian.AppendUint64(nil, uint64(until)), plain...))
	if err != nil {
		return "", fmt.Errorf("session: seal %s: %w", purpose, err)
	}
	return k.id + "." + value, nil
}

// Open implements auth.Sealer. The error is ErrUnknownKey or ErrSeal.
func (r *Ring) Open(purpose, host, sealed string) ([]byte, error) {
	id, value, ok := strings.Cut(sealed, ".")
	if !ok || len(sealed) > maxSealed || !isKeyID(id) {
		return nil, ErrSeal
	}
	// securecookie overlooks stray bits at the end; one value, one spelling.
	if _, err := base64.URLEncoding.Strict().DecodeString(value); err != nil {
		return nil, ErrSeal
	}
	for _, k := range r.keys {
		if k.id != id {
			continue
		}
		var b []byte
		if err := k.codec.Decode(sealName(purpose, host), value, &b); err != nil || len(b) < 8 {
			return nil, ErrSeal
		}
		if until := int64(binary.BigEndian.Uint64(b)); until != 0 && r.now().UnixMilli() >= until {
			return nil, ErrSeal
		}
		return b[8:], nil
	}
	return nil, ErrUnknownKey
}

// Tags returns the digests of a thing that sessions are found by, one for each
// key of the ring, that of the sealing key first: records bear the first, and
// are looked for under all. Without the ring a tag tells nothing, not even to
// somebody who guesses right.
func (r *Ring) Tags(purpose string, parts ...string) []Tag {
	tags := make([]Tag, 0, len(r.keys))
	for _, k := range r.keys {
		mac := hmac.New(sha256.New, k.tag)
		for _, part := range append([]string{purpose}, parts...) {
			mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
			mac.Write([]byte(part))
		}
		tags = append(tags, Tag(mac.Sum(nil)))
	}
	return tags
}

func (r *Ring) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// sealName binds purpose and host. A host holds no "|", so no two pairs meet.
func sealName(purpose, host string) string { return "evergate|" + purpose + "|" + host }
