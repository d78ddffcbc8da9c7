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
	"github.com/evergate/evergate/internal/secret"
)

// state is a session as the record holds it, sealed. It is a value that is
// replaced, never edited; with returns the changed copy.
type state struct {
	// Created and Seen are by the store's clock; Seen is written coarsely.
	Created  time.Time         `json:"created"`
	Seen     time.Time         `json:"seen"`
	Remember bool              `json:"remember,omitempty"`
	Retired  bool              `json:"retired,omitempty"`
	Families map[string]Family `json:"families"`
	Login    storedLogin       `json:"login"`
}

// storedLogin is an auth.Login with its token in the clear: it exists inside
// the sealed record only.
type storedLogin struct {
	Identity auth.Identity `json:"identity"`
	AuthTime time.Time     `json:"auth_time"`
	AMR      []string      `json:"amr,omitempty"`
	ACR      string        `json:"acr,omitempty"`
	Stamp    string        `json:"stamp,omitempty"`
	Token    string        `json:"token"`
	Issued   time.Time     `json:"issued"`
	Expires  time.Time     `json:"expires"`
}

func storeLogin(l *auth.Login) storedLogin {
	return storedLogin{
		Identity: l.Identity, AuthTime: l.AuthTime, AMR: l.AMR, ACR: l.ACR, Stamp: l.Stamp,
		Token: l.AccessToken.Value.Reveal(), Issued: l.AccessToken.Issued, Expires: l.AccessToken.Expires,
	}
}

func (s storedLogin) login() *auth.Login {
	return &auth.Login{
		Identity: s.Identity, AuthTime: s.AuthTime, AMR: s.AMR, ACR: s.ACR, Stamp: s.Stamp,
		AccessToken: auth.Token{Value: secret.New(s.Token), Issued: s.Issued, Expires: s.Expires},
	}
}

func (s state) withFamily(host string, f Family) state {
	s.Families = maps.Clone(s.Families)
	s.Families[host] = f
	return s
}

// seal encrypts s with AES-256-GCM under the session's data key. The store key
// and the version are associated data: a record that is moved to another key,
// or an old one that is put back under a new version, does not open.
func (s state) seal(dk DataKey, key Key, version uint64) ([]byte, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("session: encode the record: %w", err)
	}
	aead, err := newAEAD(dk)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, plain, sealContext(key, version)), nil
}

func openState(data []byte, dk DataKey, key Key, version uint64) (state, error) {
	aead, err := newAEAD(dk)
	if err != nil {
		return state{}, err
	}
	plain, err := aead.Open(nil, nil, data, sealContext(key, version))
	if err != nil {
		return state{}, ErrSeal
	}
	var s state
	if err := json.Unmarshal(plain, &s); err != nil {
		return state{}, fmt.Errorf("session: decode the record: %w", err)
	}
	return s, nil
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
