package local

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/sync/semaphore"

	"github.com/evergate/evergate/auth"
)

// phc is a parsed argon2id hash: $argon2id$v=19$m=65536,t=3,p=4$salt$hash.
type phc struct {
	memory, time uint32 // KiB, passes
	threads      uint8
	salt, hash   []byte
}

// The parameters that hashes are made with: the second recommended option of
// RFC 9106 section 4 (64 MiB, 3 passes, 4 lanes).
var current = phc{memory: 64 << 10, time: 3, threads: 4}

// What is accepted from a users file. Below, a hash is too quickly guessed
// (OWASP's least: 19 MiB and 2 passes); above, one sign-in takes the machine.
const (
	minMemory, maxMemory = 19 << 10, 1 << 20 // KiB
	minTime, maxTime     = 2, 20
	maxThreads           = 16
	saltSize, hashSize   = 16, 32
	maxPassword          = auth.MaxPassword
)

func parsePHC(s string) (p phc, err error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return phc{}, errors.New("it is no argon2id hash ($argon2id$v=19$m=…,t=…,p=…$salt$hash)")
	}
	if parts[2] != "v=19" {
		return phc{}, fmt.Errorf("argon2 version %q, want v=19", parts[2])
	}
	params := strings.Split(parts[3], ",")
	if len(params) != 3 {
		return phc{}, errors.New("its parameters are not m=…,t=…,p=…")
	}
	m, err1 := param(params[0], "m=", minMemory, maxMemory)
	t, err2 := param(params[1], "t=", minTime, maxTime)
	threads, err3 := param(params[2], "p=", 1, maxThreads)
	if err := errors.Join(err1, err2, err3); err != nil {
		return phc{}, err
	}
	p = phc{memory: m, time: t, threads: uint8(threads)}
	strict := base64.RawStdEncoding.Strict()
	var saltErr, hashErr error
	p.salt, saltErr = strict.DecodeString(parts[4])
	p.hash, hashErr = strict.DecodeString(parts[5])
	if saltErr != nil || hashErr != nil || len(p.salt) < 8 || len(p.salt) > 64 || len(p.hash) < 16 || len(p.hash) > 64 {
		return phc{}, errors.New("its salt or hash is no base64 of a usual length")
	}
	return p, nil
}

func param(s, name string, least, most uint64) (uint32, error) {
	digits, ok := strings.CutPrefix(s, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || n < least || n > most {
		return 0, fmt.Errorf("parameter %q, want %s%d to %d", s, name, least, most)
	}
	return uint32(n), nil
}

func (p phc) derive(password string) []byte {
	return argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.threads, uint32(len(p.hash)))
}

// Hasher hashes passwords, a bounded number at a time: each takes 64 MiB and
// more, so that a flood of sign-ins would otherwise take all memory. It is safe
// for concurrent use.
type Hasher struct {
	running *semaphore.Weighted
	queued  *semaphore.Weighted
	derive  func(phc, string) []byte // phc.derive, or a count in tests
}

const (
	maxQueued = 64 // attempts that wait for a hash; one more is sent away
	queueTime = 10 * time.Second
)

// NewHasher returns a Hasher that hashes up to atOnce passwords at a time.
func NewHasher(atOnce int) *Hasher {
	return &Hasher{
		running: semaphore.NewWeighted(int64(max(atOnce, 1))),
		queued:  semaphore.NewWeighted(int64(max(atOnce, 1) + maxQueued)),
		derive:  phc.derive,
	}
}

// Hash returns the PHC string of a fresh salted hash.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if len(password) > maxPassword {
		return "", fmt.Errorf("local: the password has %d bytes, want at most %d", len(password), maxPassword)
	}
	p := current
	p.salt, p.hash = make([]byte, saltSize), make([]byte, hashSize)
	_, _ = rand.Read(p.salt)
	sum, err := h.run(ctx, p, password)
	if err != nil {
		return "", err
	}
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", p.memory, p.time, p.threads,
		enc.EncodeToString(p.salt), enc.EncodeToString(sum)), nil
}

// verify reports whether password is the one behind p. A nil p costs what decoy
// does and is never right.
func (h *Hasher) verify(ctx context.Context, p *phc, decoy phc, password string) (bool, error) {
	against := decoy
	if p != nil {
		against = *p
	}
	sum, err := h.run(ctx, against, password)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(sum, against.hash) == 1 && p != nil, nil
}

func (h *Hasher) run(ctx context.Context, p phc, password string) ([]byte, error) {
	busy := &auth.Unavailable{What: "sign-in", RetryAfter: 5 * time.Second, Err: errors.New("too many passwords are being checked")}
	if !h.queued.TryAcquire(1) {
		return nil, busy
	}
	defer h.queued.Release(1)
	ctx, cancel := context.WithTimeout(ctx, queueTime)
	defer cancel()
	if err := h.running.Acquire(ctx, 1); err != nil {
		return nil, busy
	}
	defer h.running.Release(1)
	sum := h.derive(p, password)
	// What it took is garbage now, and there are few other things to make the collector look: the
	// next one would take as much again beside it. A look costs a hundredth of a hash.
	runtime.GC()
	return sum, nil
}
