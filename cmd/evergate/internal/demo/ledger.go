package demo

import (
	"crypto/sha256"
	"slices"
	"sync"
	"time"
)

// Bounds of what is remembered. What is beyond them is forgotten, oldest first.
const (
	maxUsers  = 100
	maxTokens = 50 // of one user
)

// ledger remembers which tokens each user has come with.
type ledger struct {
	now func() time.Time

	mu    sync.Mutex // guards users
	users map[string]*visitor
}

// visitor is one user of the app.
type visitor struct {
	last     time.Time // seen
	requests int
	tokens   []seen // in the order of first sight, at most maxTokens
	count    int    // of all tokens, forgotten ones included
	signIns  int    // of all tokens, how many opened a sign-in of their own
}

// seen is a token that a user came with.
type seen struct {
	digest    [sha256.Size]byte
	signIn    time.Time // auth_time
	Name      string    `json:"name"`
	Issued    time.Time `json:"issued"`
	Expires   time.Time `json:"expires"`
	FirstSeen time.Time `json:"first_seen"`
}

// tally is what the ledger knows of one user.
type tally struct {
	Requests   int    `json:"requests"`
	TokensSeen int    `json:"tokens_seen"`
	Renewals   int    `json:"renewals"`
	Tokens     []seen `json:"tokens"` // newest first
}

func newLedger(now func() time.Time) *ledger {
	return &ledger{now: now, users: map[string]*visitor{}}
}

// note counts a request of user with token b, which may be nil, and returns
// what is known of the user then.
func (l *ledger) note(user string, b *bearer) tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.users[user]
	if v == nil {
		l.makeRoom()
		v = &visitor{}
		l.users[user] = v
	}
	v.last = l.now()
	v.requests++
	if b != nil {
		v.meet(b, v.last)
	}
	tokens := slices.Clone(v.tokens)
	slices.Reverse(tokens)
	return tally{Requests: v.requests, TokensSeen: v.count, Renewals: v.count - v.signIns, Tokens: tokens}
}

// makeRoom forgets the user who was away for longest if there is no room for
// one more.
func (l *ledger) makeRoom() {
	if len(l.users) < maxUsers {
		return
	}
	var oldest string
	var at time.Time
	for name, v := range l.users {
		if at.IsZero() || v.last.Before(at) {
			oldest, at = name, v.last
		}
	}
	delete(l.users, oldest)
}

// meet remembers a token at its first sight. A token that carries the
// auth_time of an earlier one comes of the same sign-in, so it is a renewal.
func (v *visitor) meet(b *bearer, now time.Time) {
	signIn, known := b.time("auth_time"), false
	for _, s := range v.tokens {
		if s.digest == b.digest {
			return
		}
		known = known || s.signIn.Equal(signIn)
	}
	v.count++
	if !known {
		v.signIns++
	}
	if len(v.tokens) == maxTokens {
		v.tokens = slices.Delete(v.tokens, 0, 1)
	}
	v.tokens = append(v.tokens, seen{digest: b.digest, signIn: signIn, Name: b.name(),
		Issued: b.time("iat"), Expires: b.time("exp"), FirstSeen: now.UTC()})
}
