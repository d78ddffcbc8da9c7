package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"time"
)

// ID names a session. It is random, and lies only in handles; the store and
// the logs see digests of it.
type ID [16]byte

// Key is what a session is kept under in the store: a digest of its ID.
type Key [sha256.Size]byte

// Key returns the store key of the session.
func (id ID) Key() Key {
	return sha256.Sum256(append([]byte("evergate session key\x00"), id[:]...))
}

// Name is a short digest of the key, for logs and pages. It opens nothing. It is letters
// and digits alone: a name that began with "-" would be a flag to whoever types it.
func (k Key) Name() string {
	sum := sha256.Sum256(k[:])
	return letters.Replace(base64.RawURLEncoding.EncodeToString(sum[:9]))
}

var letters = strings.NewReplacer("-", "x", "_", "y")

// DataKey opens the record of one session. It lies only in the session's
// handles and is constant for the session.
type DataKey [32]byte

// handle is what the session cookie carries, sealed. The family it belongs to
// is that of the host it is sealed for.
type handle struct {
	session    ID
	generation uint64
	child      Child
	key        DataKey
}

// opened is a handle as its cookie opened, with the store key of its session.
type opened struct {
	handle
	key Key
}

const (
	handleVersion = 1
	handleSize    = 1 + 16 + 8 + 16 + 32
)

func newHandle() (h handle) {
	_, _ = rand.Read(h.session[:])
	_, _ = rand.Read(h.key[:])
	h.generation, h.child = 1, newChild()
	return h
}

func (h handle) encode() []byte {
	b := make([]byte, 0, handleSize)
	b = append(b, handleVersion)
	b = append(b, h.session[:]...)
	b = binary.BigEndian.AppendUint64(b, h.generation)
	b = append(b, h.child[:]...)
	return append(b, h.key[:]...)
}

var errHandle = errors.New("session: the handle has an unknown shape")

func decodeHandle(b []byte) (h handle, err error) {
	if len(b) != handleSize || b[0] != handleVersion {
		return handle{}, errHandle
	}
	copy(h.session[:], b[1:17])
	h.generation = binary.BigEndian.Uint64(b[17:25])
	copy(h.child[:], b[25:41])
	copy(h.key[:], b[41:])
	if h.generation == 0 || h.child == (Child{}) {
		return handle{}, errHandle
	}
	return h, nil
}

// probeTTL is how long a probe cookie names its handle.
const probeTTL = 60 * time.Second

// probe is what the probe cookie carries: a digest that names one handle.
func (h handle) probe() []byte {
	sum := sha256.Sum256(append([]byte("evergate probe\x00"), h.encode()...))
	return sum[:]
}
