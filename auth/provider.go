package auth

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

// Provider is one way to sign in at pages that are not ours.
type Provider struct {
	// Name is the Identity.Provider of its Logins, and its place in addresses.
	Name string
	// Label is what people know it by; "" is Name.
	Label string
	// Method signs people in there. It is also a LogoutURLer and a LogoutTokens
	// where it can be.
	Method Redirector
	// Issuer is the provider's identifier, which a front-channel logout names; ""
	// takes none.
	Issuer string
	// Remember keeps the session when the browser closes.
	Remember bool
	// DPoP says that the provider binds tokens to a key of the session (RFC 9449), which is
	// made when a sign-in begins.
	DPoP bool
}

func (p *Provider) label() string {
	if p.Label == "" {
		return p.Name
	}
	return p.Label
}

// way is how the sign-in page leads to p.
func (p *Provider) way(v *loginView) straightView {
	return straightView{Label: p.label(), URL: v.at("login/" + p.Name), RD: v.RD}
}

// providerEndpoints are what each provider answers under its name.
func (h *Handler) providerEndpoints() error {
	for i := range h.cfg.Providers {
		p := &h.cfg.Providers[i]
		if p.Method == nil || p.Name == "" || strings.Trim(p.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
			return fmt.Errorf("auth: provider %q: its name is no part of a path, or it has no method", p.Name)
		}
		if _, twice := h.endpoints["login/"+p.Name]; twice {
			return fmt.Errorf("auth: provider %q is there twice", p.Name)
		}
		h.endpoints["login/"+p.Name] = endpoint{get: func(w http.ResponseWriter, r *http.Request) error { return h.depart(w, r, p) }}
		h.endpoints["callback/"+p.Name] = endpoint{get: func(w http.ResponseWriter, r *http.Request) error { return h.callback(w, r, p) }}
		if p.Issuer != "" {
			h.endpoints["frontchannel-logout/"+p.Name] = endpoint{get: func(w http.ResponseWriter, r *http.Request) error { return h.frontchannel(w, r, p) }}
		}
		if reader, ok := p.Method.(LogoutTokens); ok {
			h.endpoints["backchannel-logout/"+p.Name] = endpoint{
				post: func(w http.ResponseWriter, r *http.Request) error { return h.backchannel(w, r, p, reader) }}
		}
	}
	return nil
}

func (h *Handler) provider(name string) *Provider {
	for i := range h.cfg.Providers {
		if h.cfg.Providers[i].Name == name {
			return &h.cfg.Providers[i]
		}
	}
	return nil
}

// depart begins a sign-in at p, or goes straight on where somebody is signed in
// and does not ask for another account.
func (h *Handler) depart(w http.ResponseWriter, r *http.Request, p *Provider) error {
	query := r.URL.Query()
	v := h.loginView(r, goalOf(query))
	t := trip{Provider: p.Name, goal: v.goal, Prompt: one(query, "prompt")}
	t.Tries, _ = strconv.Atoi(one(query, "try"))
	if t.Prompt != promptAccount && t.Prompt != promptLogin {
		if t.Prompt != promptNone {
			t.Prompt = ""
		}
		if done, err := h.already(w, r, &v); done || err != nil {
			return err
		}
	}
	return h.begin(w, r, p, t)
}

// What a person may ask a provider for (OIDC Core section 3.1.2.1).
const (
	promptAccount = "select_account"
	promptLogin   = "login"
	promptNone    = "none"
)

// begin sends the browser to the provider.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request, p *Provider, t trip) error {
	k, f, err := h.newFlow(t)
	if err != nil {
		return err
	}
	to, err := p.Method.Begin(r.Context(), f)
	if err != nil {
		return h.notBegun(r, p, t, err)
	}
	web.NoteOf(r.Context()).Decision = "login"
	if err := h.setFlow(w, r, k); err != nil {
		return err
	}
	return redirect(w, http.StatusSeeOther, to)
}

func (h *Handler) notBegun(r *http.Request, p *Provider, t trip, err error) error {
	if u, ok := errors.AsType[*Unavailable](err); ok {
		return h.unreachable(r, p, t, u)
	}
	if refused, ok := errors.AsType[*Refused](err); ok {
		return h.refusedThere(r, p, t, refused)
	}
	return err
}

const (
	firstRetry = 3 * time.Second
	lastRetry  = 30 * time.Second
)

// unreachable is the page of a provider that does not answer. It tries again by
// itself, less and less often: nobody has to sit there and press a button.
func (h *Handler) unreachable(r *http.Request, p *Provider, t trip, u *Unavailable) error {
	n := web.NoteOf(r.Context())
	n.Decision = "unavailable"
	h.notSignedIn(r, p.Name, nil, event.Unavailable, u)
	t.Tries = min(max(t.Tries, 0)+1, 10)
	wait := min(max(firstRetry<<(t.Tries-1), u.RetryAfter), lastRetry)
	again := t.at("login/"+p.Name, "prompt", t.Prompt, "try", strconv.Itoa(t.Tries))
	after := int(math.Ceil(wait.Seconds()))
	return &web.Error{
		Status: http.StatusServiceUnavailable, Code: "provider_unavailable", Title: "{provider} does not answer",
		Detail: "You sign in at {provider}, and it cannot be reached for the moment. Nothing is wrong with your account. This page tries again by itself in {wait}.",
		Args:   web.Args{"provider": p.label(), "wait": seconds(after)},
		Links:  []web.Link{{Text: "Try again now", URL: again}},
		Header: http.Header{"Refresh": {strconv.Itoa(after) + "; url=" + again}}, RetryAfter: wait, Err: u,
	}
}

// refusedThere is the page of a provider that said no. What it said is in the
// log: it is not meant for people, and anybody can put words into a callback.
func (h *Handler) refusedThere(r *http.Request, p *Provider, t trip, refused *Refused) error {
	web.NoteOf(r.Context()).Decision = "refused"
	h.notSignedIn(r, p.Name, nil, event.ProviderRefused, refused)
	args := web.Args{"provider": p.label()}
	again := web.Link{Text: "Try again", URL: t.at("login/" + p.Name)}
	other := web.Link{Text: "Use another account", URL: t.at("login/"+p.Name, "prompt", promptAccount)}
	switch refused.Code {
	case "access_denied", "consent_required":
		return &web.Error{Status: http.StatusForbidden, Code: "provider_refused", Title: "{provider} did not sign you in", Args: args,
			Detail: "Either you canceled, or your account there may not use this. If you think it should, ask whoever runs {provider}.",
			Links:  []web.Link{again, other}, Err: refused}
	case "login_required", "interaction_required", "account_selection_required":
		return &web.Error{Status: http.StatusForbidden, Code: "provider_refused", Title: "{provider} needs you to sign in", Args: args,
			Detail: "It did not know who you are, and was not to ask.", Links: []web.Link{{Text: "Sign in", URL: t.at("login/"+p.Name,
				"prompt", promptLogin)}}, Err: refused}
	case "":
		return &web.Error{Status: http.StatusBadGateway, Code: "provider_answer", Title: "The sign-in could not be verified", Args: args,
			Detail: "{provider} answered in a way that this gateway does not trust, so nobody was signed in. If it happens again, give the request id to whoever runs the gateway.",
			Links:  []web.Link{again}, Err: refused}
	}
	return &web.Error{Status: http.StatusForbidden, Code: "provider_refused", Title: "{provider} did not sign you in", Args: args,
		Detail: "It refused the request of this gateway. Trying again may help; if not, give the request id to whoever runs the gateway.",
		Links:  []web.Link{again, other}, Err: refused}
}

// deniedHere is the page of an account that is good at the provider and may not
// sign in here.
func (h *Handler) deniedHere(r *http.Request, p *Provider, t trip, login *Login, denied *Denied) error {
	n := web.NoteOf(r.Context())
	n.Decision, n.Subject = "denied", login.Identity.User
	h.notSignedIn(r, p.Name, login, event.NotAllowed, denied)
	return &web.Error{
		Status: http.StatusForbidden, Code: "account_not_allowed", Title: "This account is not allowed here",
		Detail: "You signed in at {provider} as {account}, and that account may not use {host}: it needs {missing}. If you have another account, use that one; if not, ask whoever runs this gateway.",
		Args:   web.Args{"provider": p.label(), "account": accountName(login), "host": r.Host, "missing": denied.InWords()},
		Help:   true,
		Links:  []web.Link{{Text: "Use another account", URL: t.at("login/"+p.Name, "prompt", promptAccount)}},
		Err:    denied,
	}
}

// accountName is what the person knows the account by: a string, or a text where it has
// no name that can be shown.
func accountName(login *Login) any {
	id := &login.Identity
	for _, name := range []string{id.Email, id.PreferredUsername, id.User} {
		if name = shown(name); name != "" {
			return name
		}
	}
	return web.Message("somebody")
}

// firstUse reports whether a flow comes back for the first time. A code that is
// sent twice makes the provider revoke what it gave for it (RFC 6749 section
// 4.1.2), and browsers do repeat a navigation that seems stuck.
func (h *Handler) firstUse(ctx context.Context, id string, until time.Time) (bool, error) {
	return h.cfg.Once(ctx, "flow "+id, until)
}
