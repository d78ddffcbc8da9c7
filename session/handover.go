package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

// A session is handed to another host of the gateway by a code, as an authorization
// server hands out a grant (RFC 6749 section 4.1, RFC 7636): it goes through the
// browser's address line, is looked at once, within 30 s, for one host, and only together with a
// verifier that lies in a cookie of that host. What it stands for lies in the store,
// sealed with a key that is made of the code, so the store alone opens nothing.

// A copied cookie of the first host could be taken to a host that its owner never opens,
// where no handle of theirs would ever meet the thief's. So a host stands by itself for a
// while only: then the browser goes round by the first host again, whose handle has
// rotated meanwhile under whoever really has it.
const (
	// confirmAt is when a person who opens a page is sent round. They see nothing of it.
	confirmAt = time.Hour
	// confirmBy is when nothing is served any more without.
	confirmBy = 12 * time.Hour
)

// codeTTL is for how long a code can be redeemed (RFC 6749 section 4.1.2 has ten minutes
// at most; here nobody waits in between).
const codeTTL = 30 * time.Second

// handed is what a code stands for.
type handed struct {
	Session   ID      `json:"s"`
	Key       DataKey `json:"k"`
	Host      string  `json:"h"`
	Challenge []byte  `json:"c"`
}

type handoverCode [32]byte

func (c handoverCode) place() Key {
	return sha256.Sum256(append([]byte("evergate handover place\x00"), c[:]...))
}

func (c handoverCode) key() DataKey {
	return sha256.Sum256(append([]byte("evergate handover key\x00"), c[:]...))
}

// Send implements auth.Handovers.
func (m *Manager) Send(ctx context.Context, login *auth.Login, host string, challenge []byte) (string, error) {
	s, ok := login.Session.(*live)
	if !ok || s.m != m || host == "" || len(challenge) != sha256.Size {
		return "", errors.New("session: a hand-over needs a session of this Manager, a host and a SHA-256 challenge")
	}
	var code handoverCode
	_, _ = rand.Read(code[:]) // never fails (crypto/rand)
	data, err := sealJSON(code.key(), handed{s.h.session, s.h.key, host, challenge}, nil)
	if err != nil {
		return "", err
	}
	now, err := m.cfg.Store.Now(ctx)
	if err == nil {
		err = m.cfg.Store.Put(ctx, code.place(), 0, Record{Version: 1, Expires: now.Add(codeTTL), Data: data})
	}
	if err != nil {
		return "", &auth.Unavailable{What: "the session store", Err: err}
	}
	return base64.RawURLEncoding.EncodeToString(code[:]), nil
}

// Receive implements auth.Handovers.
func (m *Manager) Receive(header http.Header, r *http.Request, code, verifier string) (*auth.Login, error) {
	ctx, host := r.Context(), hostOf(r)
	got, err := m.redeem(ctx, code, host, verifier)
	if err != nil {
		return nil, err
	}
	old, noOld := m.handleOf(r, host)
	l, h, err := m.join(r, handle{session: got.Session, key: got.Key}, old, host)
	if err != nil {
		return nil, err
	}
	login := l.own()
	if noOld == nil && old.session != h.session {
		m.retire(context.WithoutCancel(ctx), old, login)
	}
	if h != old {
		cookie, err := m.handleCookie(h, host, l.state, l.now)
		if err != nil {
			return nil, err
		}
		http.SetCookie(headerWriter{header}, cookie)
	}
	l.entry.use(l.now)
	m.tell(ctx, slog.LevelInfo, "signed in on another host", about(event.SessionHandedOver, l.entry.key, &login.Identity), slog.String("host", host))
	login.Session = &live{m: m, e: l.entry, h: h, host: host}
	return login, nil
}

// Mark implements auth.Handovers.
func (m *Manager) Mark(login *auth.Login) string {
	if s, ok := login.Session.(*live); ok {
		return base64.RawURLEncoding.EncodeToString(s.e.key[:])
	}
	return ""
}

// EndMarked implements auth.Handovers.
func (m *Manager) EndMarked(ctx context.Context, mark string) (*auth.Login, error) {
	var key Key
	raw, err := base64.RawURLEncoding.DecodeString(mark)
	if err != nil || copy(key[:], raw) != len(key) {
		return nil, nil
	}
	login := m.known(key)
	_, err = m.endKeys(context.WithoutCancel(ctx), []Key{key}, auth.Ended, event.ByPerson)
	return login, err
}

// redeem takes what a code stands for. Whoever comes with the wrong verifier, or at the
// wrong host, uses it up as well: a browser that was lured into somebody else's errand
// then leaves nothing to whoever reads the address.
func (m *Manager) redeem(ctx context.Context, code, host, verifier string) (handed, error) {
	var c handoverCode
	raw, err := base64.RawURLEncoding.Strict().DecodeString(code)
	if err != nil || len(raw) != len(c) {
		return handed{}, &auth.Refused{Reason: "a code that this gateway did not make"}
	}
	copy(c[:], raw)
	rec, err := m.cfg.Store.Get(ctx, c.place(), 0)
	if errors.Is(err, ErrNotFound) {
		return handed{}, &auth.Refused{Reason: "the code is over, or none of this gateway's"}
	}
	if err != nil {
		return handed{}, &auth.Unavailable{What: "the session store", Err: err}
	}
	if rec.Version != 1 {
		return handed{}, &auth.Refused{Reason: "the code was used already"}
	}
	// What is left says that it was used. It is empty, and ends when the code would have.
	err = m.cfg.Store.Put(ctx, c.place(), 1, Record{Version: 2, Expires: rec.Expires})
	if errors.Is(err, ErrConflict) {
		return handed{}, &auth.Refused{Reason: "the code was used already"}
	}
	if err != nil {
		return handed{}, &auth.Unavailable{What: "the session store", Err: err}
	}
	var got handed
	if openJSON(c.key(), rec.Data, nil, &got) != nil {
		return handed{}, &auth.Refused{Reason: "the code does not open what it stands for"}
	}
	sum := sha256.Sum256([]byte(verifier))
	if got.Host != host || subtle.ConstantTimeCompare(got.Challenge, sum[:]) != 1 {
		return handed{}, &auth.Refused{Reason: "the code is for another browser or another host"}
	}
	return got, nil
}

// holds reports whether old is a good handle of the very session and family.
func (m *Manager) holds(old, h handle, fam Family, l *loaded) bool {
	if old.session != h.session || old.key != h.key {
		return false
	}
	_, _, v := fam.Present(Use{Generation: old.generation, Child: old.child}, l.now, m.rules(l.state))
	return v == Serve && old.generation <= fam.Generation
}

// join adds the family of host to the session of h, or a child to that which is there,
// and returns the handle for it. Where the browser behind r has a good one there already, old,
// that is all it needs; where it has lost the key that it was bound to there, it begins anew.
func (m *Manager) join(r *http.Request, h, old handle, host string) (loaded, handle, error) {
	ctx := r.Context()
	for range maxTries {
		if err := m.rest(ctx); err != nil {
			return loaded{}, h, err
		}
		l, err := m.load(ctx, h)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrSeal) {
			return l, h, &auth.Absent{Reason: auth.Ended}
		}
		if err != nil {
			return l, h, &auth.Unavailable{What: "the session store", Err: err}
		}
		if err := m.stands(ctx, &l); err != nil {
			return l, h, err
		}
		if l.state.Retired {
			return l, h, &auth.Absent{Reason: auth.Ended} // a newer sign-in has taken its place
		}
		next := l.state.withRoom(host).withHanded(host, l.now)
		fam, known := next.Families[host]
		anew, base := !known, next.Floor
		if known && !m.mayHold(r, &l, host) {
			anew, base = true, fam.Generation
			next = next.unbound(host)
		}
		switch {
		case anew:
			h.child = newChild()
			fam = NewFamily(h.child, l.now)
			fam.Generation += base
			h.generation = fam.Generation
			next = next.withBase(host, base)
		case m.holds(old, h, fam, &l):
			h = old
		default:
			fam = fam.Join(l.now)
			h.generation, h.child = fam.Generation, newChild()
		}
		saved, err := m.save(ctx, l, next.withFamily(host, fam))
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return l, h, &auth.Unavailable{What: "the session store", Err: err}
		}
		return saved, h, nil
	}
	return loaded{}, h, &auth.Unavailable{What: "the session store", Err: ErrConflict}
}

// rest waits while nobody should write to a session: a store that was out of reach may
// be about to hear of newer versions of it.
func (m *Manager) rest(ctx context.Context) error {
	for {
		left := m.unrest()
		if left <= 0 {
			return nil
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-m.ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil || m.ctx.Err() != nil {
			return &auth.Unavailable{What: "the session store", Err: errUnrest}
		}
	}
}
