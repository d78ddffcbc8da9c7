package auth

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/evergate/evergate/internal/web"
)

// backchannel takes a logout token from a provider (OIDC Back-Channel Logout 1.0
// section 2.5) and ends the sessions it names, with their live connections.
func (h *Handler) backchannel(w http.ResponseWriter, r *http.Request, p *Provider, reader LogoutTokens) error {
	n := web.NoteOf(r.Context())
	n.Decision = "refused"
	values, err := readForm(w, r)
	if err != nil {
		return err
	}
	raw := one(values, "logout_token")
	if raw == "" {
		return h.notLoggedOut(w, "invalid_request", errors.New("it takes exactly one logout_token"))
	}
	subject, sid, err := reader.LogoutToken(r.Context(), raw)
	if err == nil {
		if err = h.endAll(r, p, "session.backchannel_logout", subject, sid); err == nil {
			w.WriteHeader(http.StatusOK)
			return nil
		}
	}
	n.Err = err
	if u, ok := errors.AsType[*Unavailable](err); ok {
		// The specification knows 400 alone for a logout that failed (section 2.8).
		return h.notLoggedOut(w, "temporarily_unavailable", errors.New(string(u.What)+" is out of order for the moment"))
	}
	return h.notLoggedOut(w, "invalid_request", errors.New("the logout token is not valid; the gateway's log says why"))
}

// endAll ends the sessions that p says are over.
func (h *Handler) endAll(r *http.Request, p *Provider, event, subject, sid string) error {
	ended, err := h.cfg.Sessions.EndAll(r.Context(), p.Name, subject, sid)
	if err != nil {
		return err
	}
	n := web.NoteOf(r.Context())
	n.Decision = "signed-out"
	h.cfg.Log.InfoContext(r.Context(), "signed out by the provider", "event", event,
		"provider", p.Name, "sessions", ended, "request_id", n.ID)
	return nil
}

// notLoggedOut answers as section 2.8 says.
func (h *Handler) notLoggedOut(w http.ResponseWriter, code string, why error) error {
	body, err := json.Marshal(map[string]string{"error": code, "error_description": why.Error()})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(append(body, '\n'))
	return nil
}

// frontchannel ends the session that a provider names, in a frame of the page that
// signs the person out there (OIDC Front-Channel Logout 1.0 section 2). It needs
// both parameters: the sid is what a stranger cannot guess, and no cookie comes
// along in a frame of another site.
func (h *Handler) frontchannel(w http.ResponseWriter, r *http.Request, p *Provider) error {
	query := r.URL.Query()
	sid := one(query, "sid")
	if sid == "" || one(query, "iss") != p.Issuer {
		web.NoteOf(r.Context()).Decision = "refused"
		return &web.Error{Status: http.StatusBadRequest, Code: "bad_logout", Title: "Nobody was signed out",
			Detail: "This address is for {provider}, which names itself and the session that is over.", Args: web.Args{"provider": p.label()}}
	}
	if err := h.endAll(r, p, "session.frontchannel_logout", "", sid); err != nil {
		return err
	}
	// The provider's page frames this one, which shows nothing and does nothing.
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, "<!doctype html><title>Signed out</title>")
	return nil
}
