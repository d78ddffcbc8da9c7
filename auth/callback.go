package auth

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

// callback is where the provider sends the browser back to.
//
// The flow is bound to the browser by its cookie (RFC 9700 section 4.7.1). A
// callback without one is stale, repeated, or somebody else's: it signs nobody
// in, and begins anew towards the same target, which a person who is signed in
// at the provider does not even see.
func (h *Handler) callback(w http.ResponseWriter, r *http.Request, p *Provider) error {
	answer, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return h.notOurs(r, p.Name, err)
	}
	state := one(answer, "state")
	t, err := h.openState(state)
	if err != nil || t.Provider != p.Name {
		return h.notOurs(r, p.Name, errors.New("a state that this gateway did not send"))
	}
	k := h.flowOf(r, t.ID, state)
	if k == nil {
		return h.stale(w, r, p, t)
	}
	h.clearHelper(w, flowKind, k.ID)
	first, err := h.firstUse(r.Context(), base64.RawURLEncoding.EncodeToString(k.State), k.Started.Add(flowTTL+time.Minute))
	switch {
	case err != nil:
		return err
	case !first:
		return h.stale(w, r, p, k.trip)
	}
	login, err := p.Method.Complete(r.Context(), h.flow(k, state), answer)
	if refused, ok := errors.AsType[*Refused](err); ok && k.Prompt == promptNone && refused.Code != "" {
		// It could not be done without a word: the person is asked after all.
		return redirect(w, http.StatusSeeOther, k.at("login", "why", Over))
	}
	if err != nil {
		return h.notCompleted(r, p, k.trip, login, err)
	}
	if err := h.cfg.Sessions.Begin(w.Header(), h.meets(r, Browser{}, login), login, p.Remember); err != nil {
		return err
	}
	if !k.Demand.MetBy(login, h.cfg.Now()) {
		if unknown := k.Demand.Fresh && login.AuthTime.IsZero(); k.Prompt != promptLogin && !unknown {
			// A provider need not heed acr_values, and may take what is there for fresh. One
			// that does not tell the time when it is asked for a max_age never will.
			return redirect(w, http.StatusSeeOther, k.at("login/"+p.Name, "prompt", promptLogin))
		}
		return h.insufficient(r, p, login, &k.goal)
	}
	return signedIn(w, r, login, k.goal)
}

func (h *Handler) notCompleted(r *http.Request, p *Provider, t trip, login *Login, err error) error {
	if denied, ok := errors.AsType[*Denied](err); ok && login != nil {
		return h.deniedHere(r, p, t, login, denied)
	}
	if refused, ok := errors.AsType[*Refused](err); ok && (refused.Code == "temporarily_unavailable" || refused.Code == "server_error") {
		err = &Unavailable{What: web.Verbatim(p.label()), Err: refused}
	}
	return h.notBegun(r, p, t, err)
}

// stale goes on where somebody is signed in by now, and else begins anew.
func (h *Handler) stale(w http.ResponseWriter, r *http.Request, p *Provider, t trip) error {
	v := h.loginView(r, t.goal)
	if done, err := h.already(w, r, &v); done || err != nil {
		return err
	}
	t.goal = v.goal
	if t.Restarts < maxRestarts {
		t.Restarts++
		return h.begin(w, r, p, t)
	}
	web.NoteOf(r.Context()).Decision = "lost-flow"
	h.notSignedIn(r, p.Name, nil, event.BadCallback, errLostFlow)
	e := &web.Error{Status: http.StatusBadRequest, Code: "sign_in_over", Title: "Signing in took too long",
		Detail: "It has to be finished within 10 minutes, in the browser it was begun in. If you were fast, your browser does not keep cookies for this site: they are blocked in its settings, by an extension, or in a private window. Nothing was lost by it.",
		Links:  []web.Link{{Text: "Sign in again", URL: v.at("login")}}, Err: errLostFlow}
	if ago := h.cfg.Now().Sub(t.Started); ago >= flowTTL {
		e.Detail = "It has to be finished within 10 minutes, and it was begun {ago} ago. Nothing was lost by it."
		e.Args = web.Args{"ago": roughly(ago)}
	}
	return e
}

// roughly is a time in words that goes by for a person.
func roughly(d time.Duration) web.Text {
	if d < 2*time.Hour {
		return web.T("{count} minutes", "count", int(d.Minutes()))
	}
	return web.T("{count} hours", "count", int(d.Hours()))
}

var errLostFlow = errors.New("a callback without its flow")

func (h *Handler) notOurs(r *http.Request, provider string, err error) error {
	h.notSignedIn(r, provider, nil, event.BadCallback, err)
	return &web.Error{Status: http.StatusBadRequest, Code: "bad_callback", Title: "This sign-in was not begun here",
		Detail: "The address you came back with does not belong to a sign-in at this gateway. Begin anew.",
		Links:  []web.Link{{Text: "Sign in", URL: own("login")}, {Text: "Go to the start page", URL: "/"}}, Err: err}
}
