package session

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

const (
	purposeBound     = "bound"
	purposeChallenge = "bind"
	boundSuffix      = "-bound"
	// defaultBoundFor is the BoundFor of Settings that have none. A browser proves its key
	// anew before that, and has a quota for it.
	defaultBoundFor = 10 * time.Minute
	// bindWithin is for how long after the sign-in, or after the hand-over to a host, a session
	// may be bound there. Browsers do it at once; some ask a chip that takes half a second.
	bindWithin = time.Minute
	// challengeTTL is the draft's advice.
	challengeTTL = 5 * time.Minute
	// maxMisses is how often a bound session may be asked for without its bound cookie, at
	// moments that lie missEvery apart and with no proof in between, before it ends.
	maxMisses = 5
	missEvery = 10 * time.Second
)

// binding is the key that a session is bound to on one host. It is a value that is replaced.
type binding struct {
	ID  bindingID `json:"id"`
	Key string    `json:"key"`
	// At is when it was bound, by the store's clock.
	At time.Time `json:"at"`
}

// bindingID tells the bindings of a session apart.
type bindingID [8]byte

func (id bindingID) String() string { return hex.EncodeToString(id[:]) }

// proven is what a bound cookie says: that whoever holds the key of that binding had it.
type proven struct {
	session Key
	id      bindingID
}

func (p proven) encode() []byte { return append(append([]byte{}, p.session[:]...), p.id[:]...) }

func decodeProven(plain []byte) (p proven, ok bool) {
	if len(plain) != len(p.session)+len(p.id) {
		return p, false
	}
	return proven{Key(plain[:len(p.session)]), bindingID(plain[len(p.session):])}, true
}

// bound reports whether the session is bound on each host that it has a handle for.
func (s *state) bound() bool {
	for host := range s.Families {
		if s.Bound[host].Key == "" {
			return false
		}
	}
	return len(s.Families) > 0
}

// missing is how often a bound session was asked for without the proof.
type missing struct {
	times int
	last  time.Time
}

// Binding implements auth.Bindings.
func (m *Manager) Binding(r *http.Request) (auth.Binding, error) {
	l, host, err := m.behind(r)
	if err != nil {
		return auth.Binding{}, err
	}
	return m.shown(l.state.Bound[host]), nil
}

func (m *Manager) shown(b binding) auth.Binding {
	if b.Key == "" {
		return auth.Binding{}
	}
	attributes := "Path=/; HttpOnly; SameSite=Lax"
	if !m.cfg.Insecure {
		attributes = "Path=/; Secure; HttpOnly; SameSite=Lax"
	}
	return auth.Binding{ID: b.ID.String(), Key: b.Key, Cookie: m.bound, Attributes: attributes}
}

// behind is the session whose handle r brings, which need not have proven anything. Nothing
// settles or rotates by it, and the idle clock stands: browsers come by themselves.
func (m *Manager) behind(r *http.Request) (l loaded, host string, err error) {
	ctx, host := r.Context(), hostOf(r)
	o, _, err := m.open(r, host)
	if err != nil {
		return l, host, err
	}
	if l, err = m.read(ctx, o.key, o.handle.key); err != nil {
		if _, err := m.unread(r, o.handle, host, err); err != nil {
			return l, host, err
		}
		return l, host, &auth.Unavailable{What: "the session store", Err: err} // it is known here, and cannot be written
	}
	if err := m.stands(ctx, &l); err != nil {
		return l, host, err
	}
	if _, ok := l.state.family(host, o.generation); !ok {
		return l, host, &auth.Absent{Reason: auth.Ended}
	}
	if m.isSpent(&l, host, Use{Generation: o.generation, Child: o.child}) {
		// Whether its jar holds it shows with the next request of a page, not here.
		return l, host, &auth.Unavailable{What: "the proof of this device", Err: errors.New("its handle is spent")}
	}
	return l, host, nil
}

// mayBind reports whether the session of l may be bound on host: it is not, and has come there
// a moment ago.
func (l *loaded) mayBind(host string) bool {
	fam, known := l.state.Families[host]
	return known && l.state.Bound[host].Key == "" && fam.Generation == l.state.Bases[host]+1 && l.now.Before(fam.Rotated.Add(bindWithin))
}

// unbound is s with nothing bound on host, where the handles up to that generation are nobody's.
func (s state) unbound(host string, upTo uint64) state {
	s.Bound, s.Bases = maps.Clone(s.Bound), maps.Clone(s.Bases)
	if s.Bases == nil {
		s.Bases = map[string]uint64{}
	}
	delete(s.Bound, host)
	s.Bases[host] = upTo
	return s
}

// Offer implements auth.Bindings.
func (m *Manager) Offer(r *http.Request) (string, error) {
	l, host, err := m.behind(r)
	if err != nil || !l.mayBind(host) {
		return "", err
	}
	return m.challenge(&l, host)
}

// Challenge implements auth.Bindings.
func (m *Manager) Challenge(r *http.Request) (string, error) {
	l, host, err := m.behind(r)
	if err != nil {
		return "", err
	}
	return m.challenge(&l, host)
}

// challenge is a sealed value, so that nothing has to be kept for browsers that never answer.
func (m *Manager) challenge(l *loaded, host string) (string, error) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails (crypto/rand)
	sealed, err := m.cfg.Ring.Seal(purposeChallenge, host, append(l.entry.key[:], nonce[:]...), challengeTTL)
	if err != nil {
		return "", &auth.Unavailable{What: "the proof of this device", Err: err}
	}
	return sealed, nil
}

// isChallenge reports whether a value is a challenge for the session on host.
func (m *Manager) isChallenge(l *loaded, host, value string) bool {
	plain, err := m.cfg.Ring.Open(purposeChallenge, host, value)
	return err == nil && len(plain) == len(l.entry.key)+16 && bytes.Equal(plain[:len(l.entry.key)], l.entry.key[:])
}

var (
	errChallenge = &auth.Refused{Reason: "the challenge is over, or of another session"}
	errBound     = &auth.Refused{Reason: "the session is bound to a key already, or it is too long since it began to bind it"}
)

// Bind implements auth.Bindings. What a session is bound to stays: a second key would be that
// of whoever copied the cookies before.
func (m *Manager) Bind(header http.Header, r *http.Request, key, challenge string) (auth.Binding, error) {
	for range maxTries {
		l, host, err := m.behind(r)
		switch {
		case err != nil:
			return auth.Binding{}, err
		case !l.mayBind(host):
			return auth.Binding{}, errBound
		case !m.isChallenge(&l, host, challenge):
			return auth.Binding{}, errChallenge
		}
		b := binding{Key: key, At: l.now}
		_, _ = rand.Read(b.ID[:]) // never fails (crypto/rand)
		cookie, err := m.boundCookie(proven{l.entry.key, b.ID}, host)
		if err != nil {
			return auth.Binding{}, err
		}
		next := *l.state
		if next.Bound = maps.Clone(next.Bound); next.Bound == nil {
			next.Bound = map[string]binding{}
		}
		next.Bound[host] = b
		_, err = m.save(r.Context(), l, next)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return auth.Binding{}, &auth.Unavailable{What: "the session store", Err: err}
		}
		http.SetCookie(headerWriter{header}, cookie)
		m.tell(r.Context(), slog.LevelInfo, "the session is bound to a key of its device", about(event.SessionBound, l.entry.key, &next.Login.Identity), slog.String("host", host))
		return m.shown(b), nil
	}
	return auth.Binding{}, &auth.Unavailable{What: "the session store", Err: ErrConflict}
}

// Prove implements auth.Bindings.
func (m *Manager) Prove(header http.Header, r *http.Request, challenge string) error {
	l, host, err := m.behind(r)
	if err != nil {
		return err
	}
	b := l.state.Bound[host]
	if b.Key == "" || !m.isChallenge(&l, host, challenge) {
		return errChallenge
	}
	cookie, err := m.boundCookie(proven{l.entry.key, b.ID}, host)
	if err != nil {
		return err
	}
	l.entry.found()
	http.SetCookie(headerWriter{header}, cookie)
	return nil
}

// boundUntil is for how long a bound cookie is taken: a request may be on its way when its
// browser drops it.
func (m *Manager) boundUntil() time.Duration { return m.set().BoundFor + m.set().Grace }

func (m *Manager) boundCookie(p proven, host string) (*http.Cookie, error) {
	value, err := m.cfg.Ring.Seal(purposeBound, host, p.encode(), m.boundUntil())
	if err != nil {
		return nil, &auth.Unavailable{What: "the proof of this device", Err: err}
	}
	c := m.cookie(m.bound, value)
	c.MaxAge = int(m.set().BoundFor / time.Second)
	return c, nil
}

// held asks for the proof of what the session of l is bound to on host. The error is a
// *auth.Absent, or a *auth.Unavailable where the browser says that it could not prove it.
//
// What does not count towards the end is what browsers send without the proof although they have
// the key: above all what a page of another origin has them send, for which they prove nothing.
// A thief can look like that, and is served no more by it.
func (m *Manager) held(r *http.Request, l *loaded, host string, use Use) error {
	if !auth.NeedsBinding(r.Context()) || m.mayHold(r, l, host) {
		return nil
	}
	ctx, id := r.Context(), &l.state.Login.Identity
	skipped := r.Header.Get("Secure-Session-Skipped")
	misses, news := l.entry.miss(m.cfg.Now(), skipped == "" && !web.IsUpgrade(r) && !web.IsFromElsewhere(r) && !auth.IsGlance(ctx))
	if news {
		e := about(event.DeviceMismatch, l.entry.key, id)
		e.Count = misses
		m.tell(ctx, slog.LevelWarn, "a bound session was asked for without the proof of its device", e, slog.String("host", host))
	}
	if misses >= maxMisses {
		if err := m.revoke(context.WithoutCancel(ctx), l.entry.key, auth.OtherDevice); err != nil {
			return &auth.Unavailable{What: "the session store", Err: err}
		}
		if l.entry.endTold(true) {
			m.tell(ctx, slog.LevelWarn, "a bound session is asked for again and again without the proof of its device: it is revoked",
				because(about(event.SessionRevoked, l.entry.key, id), event.WithoutDevice, nil))
		}
		m.revokeThere(l.login(), l.entry.key)
	}
	if skipped != "" && !m.isSpent(l, host, use) {
		return &auth.Unavailable{What: "the proof of this device", Err: errors.New("the browser says that it skipped it")}
	}
	return &auth.Absent{Reason: auth.OtherDevice}
}

// mayHold reports whether the request proves what the session of l is bound to on host, if it is.
// What was on its way when it was bound may not have the proof.
func (m *Manager) mayHold(r *http.Request, l *loaded, host string) bool {
	b := l.state.Bound[host]
	return b.Key == "" || l.now.Before(b.At.Add(m.set().Grace)) || m.proves(r, host, proven{l.entry.key, b.ID})
}

// isSpent reports whether no browser gets a proof with the handle any more, so that to wait for
// one is to wait for ever: whoever copied the jar has had the handle replaced.
func (m *Manager) isSpent(l *loaded, host string, use Use) bool {
	fam, ok := l.state.family(host, use.Generation)
	if !ok {
		return true
	}
	_, _, verdict := fam.Present(Use{Generation: use.Generation, Child: use.Child}, l.now, m.rules(l.state))
	return verdict != Serve
}

// proves reports whether one of the bound cookies that r brings says so. Somebody may have
// planted another beside it, which proves nothing and hides nothing.
func (m *Manager) proves(r *http.Request, host string, want proven) bool {
	if value, _ := cookiesOf(r, m.bound, ""); value != "" {
		if known, ok := m.proofs.find(m.cfg.Ring, host, value); ok {
			return known.proven == want && m.cfg.Now().Before(known.until)
		}
	}
	for _, c := range r.CookiesNamed(m.bound) {
		keys := m.cfg.Ring.keys.Load()
		plain, err := m.cfg.Ring.Open(purposeBound, host, c.Value)
		if err != nil {
			continue
		}
		if p, ok := decodeProven(plain); ok && p == want {
			if made, ok := sealedAt(c.Value); ok {
				m.proofs.keep(keys, knownProof{p, made.Add(m.boundUntil())}, host, c.Value)
			}
			return true
		}
	}
	return false
}

// knownProof is what a bound cookie says, and until when.
type knownProof struct {
	proven
	until time.Time
}

// miss counts a request without the proof, if it counts. It returns how many there were, and
// whether this one is to be told of.
func (e *entry) miss(now time.Time, counts bool) (times int, news bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if counts && now.Sub(e.missing.last) >= missEvery {
		e.missing = missing{e.missing.times + 1, now}
		news = true
	}
	return e.missing.times, news
}

// found notes that the key was proven.
func (e *entry) found() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.missing = missing{}
}
