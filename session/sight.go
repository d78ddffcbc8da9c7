package session

import "github.com/evergate/evergate/auth"

// sight is a login with the live session behind it. Neither is edited, so that all requests
// that come with one handle share one for as long as what is stored is the same.
type sight struct {
	from  *storedLogin // what login was made of
	login auth.Login
	live  live
}

func newSight(stored *storedLogin) *sight {
	s := &sight{from: stored}
	stored.fill(&s.login)
	return s
}

// login is what is stored as the rest of the gateway has it. Its Session is nobody's in
// particular.
func (l *loaded) login() *auth.Login { return &l.sight(l.stored()).login }

// own is login for a caller who gives it a Session.
func (l *loaded) own() *auth.Login { return l.stored().login() }

// signed is the login of stored with the session that answers for it.
func (l *loaded) signed(stored *storedLogin, by live) *auth.Login {
	s := l.sight(stored)
	if s.live == by {
		return &s.login
	}
	if s.live.m != nil { // it is of another handle, or another host
		s = newSight(stored)
	}
	s.live = by
	s.login.Session = &s.live
	l.shown = s
	l.entry.sight.Store(s)
	return &s.login
}

// sight is that of the requests before, or one that is not shared yet.
func (l *loaded) sight(stored *storedLogin) *sight {
	if l.shown == nil || l.shown.from != stored {
		if l.shown = l.entry.sight.Load(); l.shown == nil || l.shown.from != stored {
			l.shown = newSight(stored)
		}
	}
	return l.shown
}
