package passkey_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/credential"
	"github.com/evergate/evergate/auth/passkey"
	"github.com/evergate/evergate/internal/event"
)

const home = "https://apps.example.org"

// drawer is a credential.Cabinet in memory.
type drawer struct {
	mu     sync.Mutex // guards the rest
	values map[string][]byte
	counts map[string]uint64
	writes int
	away   bool
}

var errAway = errors.New("the store is away")

func (d *drawer) Load(_ context.Context, name string, _ uint64) ([]byte, uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away {
		return nil, 0, errAway
	}
	return d.values[name], d.counts[name], nil
}

func (d *drawer) Save(_ context.Context, name string, prev uint64, value []byte, _ time.Duration) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.away:
		return false, errAway
	case d.counts[name] != prev:
		return false, nil
	}
	d.values[name], d.counts[name] = value, prev+1
	d.writes++
	return true, nil
}

func (*drawer) Reseal(context.Context, string) error { return nil }

func (d *drawer) set(away bool) { d.mu.Lock(); defer d.mu.Unlock(); d.away = away }

func (d *drawer) written() int { d.mu.Lock(); defer d.mu.Unlock(); return d.writes }

// house is a Keeper with what it keeps passkeys in, and what it told.
type house struct {
	*passkey.Keeper
	t      testing.TB
	drawer *drawer
	book   *credential.Book
	now    time.Time
	told   []event.Event
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, drawer: &drawer{values: map[string][]byte{}, counts: map[string]uint64{}}, now: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)}
	h.book = credential.NewBook(h.drawer)
	at, err := url.Parse(home)
	if err == nil {
		h.Keeper, err = passkey.New(passkey.Config{PublicURL: at, Book: h.book, Provider: "local", Prefix: "local/", Now: func() time.Time { return h.now },
			Heard: func(_ context.Context, e event.Event) { h.told = append(h.told, e) }})
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// device is an authenticator with one key, as a browser hands its answers on. What is not as it
// should be is set by a test.
type device struct {
	key      *ecdsa.PrivateKey
	id       []byte
	handle   []byte // whose it is; nil does not say so
	count    uint32
	verifies bool
	synced   bool
	origin   string // where the browser is
	party    string // whom the authenticator signs for
	kind     string // of the client data, where it is another one
}

func newDevice(t testing.TB) *device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	return &device{key: key, id: id, verifies: true, origin: home, party: "apps.example.org"}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// data is the authenticator data (WebAuthn section 6.1), with more behind it.
func (d *device) data(flags byte, more []byte) []byte {
	flags |= 1
	if d.verifies {
		flags |= 4
	}
	if d.synced {
		flags |= 8
	}
	party := sha256.Sum256([]byte(d.party))
	return append(binary.BigEndian.AppendUint32(append(party[:], flags), d.count), more...)
}

func (d *device) client(kind, challenge string) []byte {
	if d.kind != "" {
		kind = d.kind
	}
	out, _ := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": d.origin, "crossOrigin": false})
	return out
}

func (d *device) answer(response map[string]any) []byte {
	out, _ := json.Marshal(map[string]any{"id": b64(d.id), "rawId": b64(d.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{}})
	return out
}

// make answers options of navigator.credentials.create.
func (d *device) make(challenge string) []byte {
	point, _ := d.key.PublicKey.Bytes()
	key := []byte{0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32}
	key = append(append(append(key, point[1:33]...), 0x22, 0x58, 32), point[33:]...)
	more := append(make([]byte, 16), 0, byte(len(d.id)))
	data := d.data(0x40, append(append(more, d.id...), key...))
	object := append([]byte("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58"), byte(len(data)))
	return d.answer(map[string]any{"clientDataJSON": b64(d.client("webauthn.create", challenge)), "attestationObject": b64(append(object, data...)), "transports": []string{"internal"}})
}

// sign answers options of navigator.credentials.get.
func (d *device) sign(challenge string) []byte {
	data, client := d.data(0, nil), d.client("webauthn.get", challenge)
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(append(bytes.Clone(data), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, d.key, sum[:])
	if err != nil {
		panic(err)
	}
	response := map[string]any{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)}
	if d.handle != nil {
		response["userHandle"] = b64(d.handle)
	}
	return d.answer(response)
}

// enrol makes a passkey for user.
func (h *house) enrol(user string, d *device) auth.Proof {
	h.t.Helper()
	options, c, err := h.Offer(h.t.Context(), user, user, false)
	if err != nil {
		h.t.Fatal(err)
	}
	var o struct {
		User struct{ ID string }
	}
	if err := json.Unmarshal(options, &o); err != nil {
		h.t.Fatal(err)
	}
	if d.handle, err = base64.RawURLEncoding.DecodeString(o.User.ID); err != nil {
		h.t.Fatal(err)
	}
	p, err := h.Add(h.t.Context(), c, "Laptop", d.make(c.Challenge))
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// use signs in with a passkey; "" is by it alone.
func (h *house) use(user string, verify bool, d *device) (string, auth.Proof, error) {
	h.t.Helper()
	_, c, err := h.Ask(h.t.Context(), user, verify)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.Assert(h.t.Context(), c, d.sign(c.Challenge))
}
