package session

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/agent"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

// origin is what the session was signed in by.
func (s *state) origin() origin {
	words := agent.Of(s.Device.Agent)
	return origin{Browser: words.Browser, System: words.System, Network: s.Device.network()}
}

// suspected is the answer to whoever uses a session that has to be signed in again, or nil. What
// an operator does not want signed in again any more goes on.
func (m *Manager) suspected(s *state) error {
	if s.Trail.Suspect == "" || m.set().Risks.of(s.Trail.Suspect) != StepUp {
		return nil
	}
	if s.Retired { // it has been, and this is the cookie of before
		return &auth.Absent{Reason: auth.Ended}
	}
	return signInAgain(s.Login.login())
}

// network is the one that the session was signed in from.
func (d *Device) network() netip.Prefix {
	addr, _ := netip.ParseAddr(d.Address) // "" is not known, and neither is the network
	return web.Vicinity(addr)
}

// signInAgain asks for a sign-in that is made from now on. The login says whose a form is that
// is kept meanwhile, and shows nowhere: somebody else may have the cookie.
func signInAgain(login *auth.Login) error {
	return &auth.Absent{Reason: auth.Suspected, Demand: &auth.Demand{Fresh: true}, Login: login}
}

// suspect looks at a request that does not come from where the one before it came from, or
// whose session has to be signed in again. L is what was stored of it afterwards; again says that
// somebody else wrote meanwhile.
func (m *Manager) suspect(r *http.Request, l *loaded) (again bool, err error) {
	if err := m.suspected(l.state); err != nil {
		return false, err
	}
	ctx, risks := r.Context(), &m.set().Risks
	if *risks == (Risks{}) || l.state.Retired || m.unrest() > 0 {
		return false, nil
	}
	was, here, from := l.entry.walk.Load(), spotOf(r), l.state.origin()
	walk, beside := was.to(here, l.now)
	after, found := l.state.Trail.met(&from, &here, beside, risks)
	if len(found) > 0 && worst(found).action == Revoke {
		return false, m.revokeSuspect(ctx, l, found)
	}
	first := false // of several requests at once
	if !after.same(l.state.Trail) {
		changed := *l.state
		changed.Trail = after
		switch saved, err := m.save(ctx, *l, changed); {
		case err == nil:
			*l, first = saved, true
		case errors.Is(err, ErrConflict):
			return true, nil
		case after.Suspect != "":
			return false, &auth.Unavailable{What: "the session store", Err: err}
		}
	}
	if moved := l.entry.walk.CompareAndSwap(was, walk); moved || first {
		if !first && was.has(&here) { // it was told, and the store did not take it
			found = slices.DeleteFunc(found, func(s signal) bool { return s.name != event.ParallelUse })
		}
		tellSignals(ctx, m.tell, about("", l.entry.key, &l.state.Login.Identity), found)
	}
	return false, m.suspected(l.state)
}

// revokeSuspect ends the session for what was found.
func (m *Manager) revokeSuspect(ctx context.Context, l *loaded, found []signal) error {
	reason := revokedFor(found)
	if err := m.revoke(context.WithoutCancel(ctx), l.entry.key, reason); err != nil {
		return &auth.Unavailable{What: "the session store", Err: err}
	}
	if l.entry.endTold(true) {
		tellEnd(ctx, m.tell, about(event.SessionRevoked, l.entry.key, &l.state.Login.Identity), found)
		m.revokeThere(l.login(), l.entry.key)
	}
	return &auth.Absent{Reason: reason}
}

// teller is how a Manager and a Stateless tell of events.
type teller func(ctx context.Context, level slog.Level, msg string, e event.Event, more ...slog.Attr)

// tellSignals tells of what was found. Of is whose session it is.
func tellSignals(ctx context.Context, tell teller, of event.Event, found []signal) {
	for _, s := range found {
		of.Name, of.Before, of.Now, of.Action = s.name, s.before, s.now, s.action.String()
		switch s.name {
		case event.NewNetwork:
			tell(ctx, slog.LevelInfo, "a session is used from another network", of)
		case event.ChangedBrowser:
			tell(ctx, slog.LevelWarn, "a session is used by another browser than it was signed in by", of)
		case event.ParallelUse:
			tell(ctx, slog.LevelWarn, "a session is used by two browsers in two networks by turns", of)
		}
	}
}

// tellEnd tells that a session has ended for what was found.
func tellEnd(ctx context.Context, tell teller, of event.Event, found []signal) {
	tellSignals(ctx, tell, of, found)
	tell(ctx, slog.LevelWarn, "a session may be in other hands: it is revoked", because(of, revokedFor(found), nil))
}

// revokedFor is the word for it, of events and of auth.Absent.
func revokedFor(found []signal) string {
	if worst(found).name == event.ParallelUse {
		return auth.ParallelUse
	}
	return auth.ChangedBrowser
}
