package session

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

// bound reports whether the session is bound on each host that it has a handle for.
func (s *state) bound() bool {
	for host := range s.Families {
		if s.Bound[host].Key == "" {
			return false
		}
	}
	return len(s.Families) > 0
}

// Binding implements auth.Bindings.
func (m *Manager) Binding(r *http.Request) (auth.Binding, error) {
	l, host, err := m.behind(r)
	if err != nil {
		return auth.Binding{}, err
	}
	return m.proofs.shown(l.state.Bound[host]), nil
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
	if l.state.Retired {
		// The jar holds that of a newer sign-in, and would hold the proof of this one beside it.
		return l, host, &auth.Absent{Reason: auth.Ended}
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
// a moment ago, from a sign-in of a moment ago or from where it is bound. Whoever copied it later
// could take it to a host that its owner has not opened, and bind it there to a key of their own.
func (l *loaded) mayBind(host string) bool {
	fam, known := l.state.Families[host]
	if host != l.state.Home && l.state.Bound[l.state.Home].Key == "" && !l.now.Before(l.state.Created.Add(bindWithin)) {
		return false
	}
	return known && l.state.Bound[host].Key == "" && fam.Generation == l.state.Bases[host]+1 && l.now.Before(fam.Rotated.Add(bindWithin))
}

// unbound is s with nothing bound on host.
func (s state) unbound(host string) state {
	s.Bound = maps.Clone(s.Bound)
	delete(s.Bound, host)
	return s
}

// Offer implements auth.Bindings.
func (m *Manager) Offer(r *http.Request) (string, error) {
	l, host, err := m.behind(r)
	if err != nil || !l.mayBind(host) {
		return "", err
	}
	return m.proofs.challenge(l.entry.key, host)
}

// Challenge implements auth.Bindings.
func (m *Manager) Challenge(r *http.Request) (string, error) {
	l, host, err := m.behind(r)
	if err != nil {
		return "", err
	}
	return m.proofs.challenge(l.entry.key, host)
}

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
		case !m.proofs.isChallenge(l.entry.key, host, challenge):
			return auth.Binding{}, errChallenge
		}
		b := newBinding(key, l.now)
		cookie, err := m.proofs.cookie(proven{l.entry.key, b.ID}, host)
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
		return m.proofs.shown(b), nil
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
	if b.Key == "" || !m.proofs.isChallenge(l.entry.key, host, challenge) {
		return errChallenge
	}
	cookie, err := m.proofs.cookie(proven{l.entry.key, b.ID}, host)
	if err != nil {
		return err
	}
	l.entry.found()
	http.SetCookie(headerWriter{header}, cookie)
	return nil
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
	return m.withoutProof(r, *l, host, use)
}

// withoutProof is the answer where the proof is missing. It is apart from held, which every request
// passes, and has a copy of l, for what it needs is on the heap.
func (m *Manager) withoutProof(r *http.Request, l loaded, host string, use Use) error {
	return m.proofs.refuse(r, host, unproven{
		key: l.entry.key, id: &l.state.Login.Identity, miss: l.entry.miss, tell: m.tell,
		spent: func() bool { return m.isSpent(&l, host, use) },
		end: func(ctx context.Context) (first bool, err error) {
			if err := m.revoke(ctx, l.entry.key, auth.OtherDevice); err != nil {
				return false, &auth.Unavailable{What: "the session store", Err: err}
			}
			m.revokeThere(l.login(), l.entry.key)
			return l.entry.endTold(true), nil
		},
	})
}

// mayHold reports whether the request proves what the session of l is bound to on host, if it is.
// What was on its way when it was bound may not have the proof.
func (m *Manager) mayHold(r *http.Request, l *loaded, host string) bool {
	return m.proofs.holds(r, l.entry.key, host, l.state.Bound[host], l.now)
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

func (e *entry) miss(now time.Time, counts bool) (times int, news bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.missing.miss(now, counts)
}

// found notes that the key was proven.
func (e *entry) found() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.missing = missing{}
}
