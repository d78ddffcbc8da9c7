package session

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/dpop"
	"github.com/evergate/evergate/internal/secret"
)

// state is a session as the record holds it, sealed. It is a value that is
// replaced, never edited; with returns the changed copy.
type state struct {
	// Created and Seen are by the store's clock; Seen is written coarsely.
	Created  time.Time `json:"created"`
	Seen     time.Time `json:"seen"`
	Remember bool      `json:"remember,omitempty"`
	Device   Device    `json:"device,omitzero"`
	Trail    trail     `json:"trail,omitzero"`
	Retired  bool      `json:"retired,omitempty"`
	// Replaced are sessions of the same person that this one took the place of.
	// They live on for the grace time, unless this one is signed out.
	Replaced []Key `json:"replaced,omitempty"`
	// Renewals counts the grants, so that a store that lost the last of them is
	// told from one that knows of more than we do.
	Renewals uint64 `json:"renewals,omitempty"`
	// Until ends a session that cannot be renewed; zero is no such end.
	Until    time.Time         `json:"until,omitzero"`
	Families map[string]Family `json:"families"`
	// Home is the host that the person signed in at.
	Home string `json:"home,omitempty"`
	// Handed is when each of the other hosts was last handed the session.
	Handed map[string]time.Time `json:"handed,omitempty"`
	// Floor is the highest generation among the families that were dropped for want of
	// room: no handle of one that is not known counts unless it is above. Bases are the
	// floors from which families began anew: handles from before are nobody's, and no theft.
	Floor uint64            `json:"floor,omitempty"`
	Bases map[string]uint64 `json:"bases,omitempty"`
	// Bound are the keys that browsers hold, by host.
	Bound map[string]binding `json:"bound,omitempty"`
	Login storedLogin        `json:"login"`
}

// storedLogin is an auth.Login with its tokens in the clear: it exists inside
// the sealed record only.
type storedLogin struct {
	Identity auth.Identity `json:"identity"`
	AuthTime time.Time     `json:"auth_time"`
	AMR      []string      `json:"amr,omitempty"`
	ACR      string        `json:"acr,omitempty"`
	Stamp    string        `json:"stamp,omitempty"`
	storedToken
	RefreshToken string                 `json:"refresh_token,omitempty"`
	Key          string                 `json:"dpop_key,omitempty"` // private
	IDToken      string                 `json:"id_token,omitempty"`
	SID          string                 `json:"sid,omitempty"`
	Resources    map[string]storedToken `json:"resources,omitempty"`
	Until        time.Time              `json:"until,omitzero"`

	key *dpop.Key // Key, read
}

// storedToken is an auth.Token in the clear.
type storedToken struct {
	Token   string    `json:"token"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
	Bound   bool      `json:"dpop,omitempty"` // to the login's key

	boundTo *dpop.Key   // that key, where Bound
	ready   *auth.Token // the same, made once for all requests; nil is not made
}

func storeToken(t auth.Token) storedToken {
	return storedToken{Token: t.Value.Reveal(), Issued: t.Issued, Expires: t.Expires, Bound: t.Key != nil, boundTo: t.Key}.prepared()
}

func (s storedToken) token() auth.Token {
	if s.ready != nil {
		return *s.ready
	}
	return auth.Token{Value: secret.New(s.Token), Issued: s.Issued, Expires: s.Expires, Key: s.boundTo}
}

// prepared is s with what goes up for it made beforehand.
func (s storedToken) prepared() storedToken {
	s.ready = nil
	t := s.token().Ready()
	s.ready = &t
	return s
}

func storeLogin(l *auth.Login) storedLogin {
	s := storedLogin{
		Identity: l.Identity, AuthTime: l.AuthTime, AMR: l.AMR, ACR: l.ACR, Stamp: l.Stamp,
		storedToken: storeToken(l.AccessToken), RefreshToken: l.RefreshToken.Reveal(), Key: l.Key.Reveal(), key: l.Key,
		IDToken: l.IDToken.Reveal(), SID: l.SID, Until: l.Until,
	}
	for resource, t := range l.Resources {
		if s.Resources == nil {
			s.Resources = map[string]storedToken{}
		}
		s.Resources[resource] = storeToken(t)
	}
	return s
}

func (s *storedLogin) login() *auth.Login {
	l := &auth.Login{}
	s.fill(l)
	return l
}

func (s *storedLogin) fill(l *auth.Login) {
	*l = auth.Login{
		Identity: s.Identity, AuthTime: s.AuthTime, AMR: s.AMR, ACR: s.ACR, Stamp: s.Stamp,
		AccessToken: s.token(), RefreshToken: secret.New(s.RefreshToken), Key: s.key,
		IDToken: secret.New(s.IDToken), SID: s.SID, Until: s.Until,
	}
	for resource, t := range s.Resources {
		if l.Resources == nil {
			l.Resources = make(map[string]auth.Token, len(s.Resources))
		}
		l.Resources[resource] = t.token()
	}
}

// read makes of a login that was decoded what is needed of it beside the text: the key,
// and the tokens that are bound to it.
func (s *storedLogin) read() (err error) {
	if s.key, err = dpop.ParseKey(s.Key); err != nil {
		return fmt.Errorf("session: decode what was sealed: %w", err)
	}
	bind := func(t storedToken) storedToken {
		if t.Bound {
			t.boundTo = s.key
		}
		return t
	}
	s.storedToken = bind(s.storedToken)
	for resource, t := range s.Resources {
		s.Resources[resource] = bind(t)
	}
	return nil
}

// of returns the access token for resource, the zero one if there is none yet.
func (s *storedLogin) of(resource string) storedToken {
	if resource == "" {
		return s.storedToken
	}
	return s.Resources[resource]
}

// grant tells one renewal's outcome from the next: what the provider is asked
// with, or where there is no refresh token, what it gave.
func (s *storedLogin) grant() string {
	if s.RefreshToken != "" {
		return s.RefreshToken
	}
	return s.Token
}

// renewed returns s after a renewal for resource that gave fresh. Another
// replica may have got a token for another resource meanwhile; that stays.
func (s storedLogin) renewed(fresh storedLogin, resource string) storedLogin {
	resources := maps.Clone(s.Resources)
	if resource == "" {
		fresh.Resources = resources
		return fresh
	}
	if resources == nil {
		resources = map[string]storedToken{}
	}
	resources[resource] = fresh.Resources[resource]
	fresh.storedToken, fresh.Resources = s.storedToken, resources
	return fresh
}

func (s state) withFamily(host string, f Family) state {
	s.Families = maps.Clone(s.Families)
	if s.Families == nil {
		s.Families = map[string]Family{}
	}
	s.Families[host] = f
	return s
}

// maxFamilies bounds the hosts that one session is used on.
const maxFamilies = 100

// withRoom drops the family that has not rotated for the longest, where that of one more
// host would be too many. Who comes with a handle of it is handed over anew.
func (s state) withRoom(host string) state {
	if _, known := s.Families[host]; known || len(s.Families) < maxFamilies {
		return s
	}
	oldest := ""
	for h, f := range s.Families {
		if h != s.Home && (oldest == "" || f.Rotated.Before(s.Families[oldest].Rotated)) {
			oldest = h
		}
	}
	s.Floor = max(s.Floor, s.Families[oldest].Generation)
	s = s.unbound(oldest)
	s.Families, s.Handed, s.Bases = maps.Clone(s.Families), maps.Clone(s.Handed), maps.Clone(s.Bases)
	delete(s.Families, oldest)
	delete(s.Handed, oldest)
	delete(s.Bases, oldest)
	return s
}

// family is that of a host, as a handle of that generation finds it. A host without one
// is one that this copy of the record has not heard of, or that the store has lost: the
// handle is ahead of it. False is a handle of a family that was dropped.
func (s *state) family(host string, generation uint64) (Family, bool) {
	f, known := s.Families[host]
	if known {
		return f, generation > s.Bases[host]
	}
	return f, generation > s.Floor
}

// withBase notes that the family of host begins above that generation.
func (s state) withBase(host string, base uint64) state {
	if base == 0 {
		return s
	}
	s.Bases = maps.Clone(s.Bases)
	if s.Bases == nil {
		s.Bases = map[string]uint64{}
	}
	s.Bases[host] = base
	return s
}

// withHanded notes that host was handed the session.
func (s state) withHanded(host string, now time.Time) state {
	s.Handed = maps.Clone(s.Handed)
	if s.Handed == nil {
		s.Handed = map[string]time.Time{}
	}
	s.Handed[host] = now
	return s
}

// unconfirmed reports whether host was handed the session longer ago than that.
func (s *state) unconfirmed(host string, now time.Time, than time.Duration) bool {
	return s.Home != "" && host != s.Home && now.Sub(s.Handed[host]) >= than
}

// seal encrypts s with AES-256-GCM under the session's data key. The store key
// and the version are associated data: a record that is moved to another key,
// or an old one that is put back under a new version, does not open.
func (s state) seal(dk DataKey, key Key, version uint64) ([]byte, error) {
	return sealJSON(dk, s, sealContext(key, version))
}

// sealJSON seals v as JSON under dk, with place bound in.
func sealJSON(dk DataKey, v any, place []byte) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("session: encode what is to be sealed: %w", err)
	}
	aead, err := newAEAD(dk)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, plain, place), nil
}

// openJSON opens what sealJSON sealed into v. The error is ErrSeal for another key or
// another place.
func openJSON(dk DataKey, data, place []byte, v any) error {
	aead, err := newAEAD(dk)
	if err != nil {
		return err
	}
	plain, err := aead.Open(nil, nil, data, place)
	if err != nil {
		return ErrSeal
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return fmt.Errorf("session: decode what was sealed: %w", err)
	}
	return nil
}

// mark tells two records of the same version apart: the nonce they are sealed
// with. A store that lost its last writes may give a version out twice.
type mark [12]byte

func markOf(data []byte) (m mark) {
	copy(m[:], data)
	return m
}

func openState(data []byte, dk DataKey, key Key, version uint64) (s state, err error) {
	if err = openJSON(dk, data, sealContext(key, version), &s); err == nil {
		err = s.Login.read()
		s.Login.storedToken = s.Login.prepared()
	}
	return s, err
}

func newAEAD(dk DataKey) (cipher.AEAD, error) {
	block, err := aes.NewCipher(dk[:])
	if err != nil {
		return nil, fmt.Errorf("session: data key: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func sealContext(key Key, version uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte("evergate record 1\x00"), key[:]...), version)
}
