// Package passkeytest has an authenticator for tests, which says whatever is to be said, and a
// place where passkeys are kept.
package passkeytest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
)

// Device is an authenticator with one key of ES256, as a browser hands its answers on. What is not as
// it should be is set by a test.
type Device struct {
	Key      *ecdsa.PrivateKey
	ID       []byte
	Handle   []byte // whose it is; nil does not say so
	Count    uint32
	Verifies bool
	Synced   bool
	Origin   string // where the browser is
	Party    string // whom the authenticator signs for
	Kind     string // of the client data, where it is another one
}

// NewDevice returns one that makes sure who holds it, in a browser at the origin home, of which host
// is the relying party.
func NewDevice(t testing.TB, home, host string) *Device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	return &Device{Key: key, ID: id, Verifies: true, Origin: home, Party: host}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// data is the authenticator data (WebAuthn section 6.1), with more behind it.
func (d *Device) data(flags byte, more []byte) []byte {
	flags |= 1
	if d.Verifies {
		flags |= 4
	}
	if d.Synced {
		flags |= 8
	}
	party := sha256.Sum256([]byte(d.Party))
	return append(binary.BigEndian.AppendUint32(append(party[:], flags), d.Count), more...)
}

func (d *Device) client(kind, challenge string) []byte {
	if d.Kind != "" {
		kind = d.Kind
	}
	out, _ := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": d.Origin, "crossOrigin": false})
	return out
}

func (d *Device) answer(response map[string]any) []byte {
	out, _ := json.Marshal(map[string]any{"id": b64(d.ID), "rawId": b64(d.ID), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{}})
	return out
}

// Make answers the challenge of navigator.credentials.create.
func (d *Device) Make(challenge string) []byte {
	point, _ := d.Key.PublicKey.Bytes()
	key := []byte{0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32}
	key = append(append(append(key, point[1:33]...), 0x22, 0x58, 32), point[33:]...)
	more := append(make([]byte, 16), 0, byte(len(d.ID)))
	data := d.data(0x40, append(append(more, d.ID...), key...))
	object := append([]byte("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58"), byte(len(data)))
	return d.answer(map[string]any{"clientDataJSON": b64(d.client("webauthn.create", challenge)), "attestationObject": b64(append(object, data...)), "transports": []string{"internal"}})
}

// Sign answers that of navigator.credentials.get.
func (d *Device) Sign(challenge string) []byte {
	data, client := d.data(0, nil), d.client("webauthn.get", challenge)
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(append(bytes.Clone(data), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, d.Key, sum[:])
	if err != nil {
		panic(err)
	}
	response := map[string]any{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)}
	if d.Handle != nil {
		response["userHandle"] = b64(d.Handle)
	}
	return d.answer(response)
}
