package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// sessionAnswer is what a single-page app may know of the sign-in: who, and
// when what ends. It holds no token and nothing that opens anything. Times are
// RFC 3339 in UTC, and whole seconds from now next to them, for those whose
// clock is wrong; a time that has passed is 0 seconds away.
type sessionAnswer struct {
	User              string   `json:"user"`
	Provider          string   `json:"provider"`
	Subject           string   `json:"subject"`
	PreferredUsername string   `json:"preferred_username,omitempty"`
	Name              string   `json:"name,omitempty"`
	Email             string   `json:"email,omitempty"`
	Groups            []string `json:"groups"`
	AuthTime          string   `json:"auth_time,omitempty"`
	AMR               []string `json:"amr,omitempty"`
	// Ends is when max_lifetime is over.
	Ends   string `json:"ends,omitempty"`
	EndsIn *int64 `json:"ends_in,omitempty"`
	// IdleEnds is when the session ends if nobody uses it any more.
	IdleEnds   string `json:"idle_ends,omitempty"`
	IdleEndsIn *int64 `json:"idle_ends_in,omitempty"`
	// Renews is when the access token is due for renewal.
	Renews   string `json:"renews,omitempty"`
	RenewsIn *int64 `json:"renews_in,omitempty"`
}

// session answers who is signed in. It is for scripts: nobody is 401 and
// problem+json whoever asks, never a page and never a redirect to one. With
// ?glance=1 it is no use of the session: a page that watches the clock must not
// be what keeps its person signed in.
func (h *Handler) session(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Vary", "Cookie")
	if one(r.URL.Query(), "glance") == "1" {
		r = r.WithContext(WithGlance(r.Context()))
	}
	login, err := h.who(w, r)
	absent, nobody := errors.AsType[*Absent](err)
	if nobody {
		web.RespondProblem(w, r, h.unauthorized(r, absent))
		return nil
	}
	if u, ok := errors.AsType[*Unavailable](err); ok {
		web.RespondProblem(w, r, unavailable(u, "If you were signed in, you still are."))
		return nil
	}
	if err != nil {
		return err
	}
	body, err := json.Marshal(h.answer(login))
	if err != nil {
		return fmt.Errorf("write the session as JSON: %w", err)
	}
	hd := w.Header()
	hd.Set("Content-Type", "application/json")
	hd.Set("X-Content-Type-Options", "nosniff")
	hd.Set("Cross-Origin-Resource-Policy", "same-origin")
	_, _ = w.Write(append(body, '\n'))
	return nil
}

func (h *Handler) answer(login *Login) sessionAnswer {
	id := &login.Identity
	a := sessionAnswer{
		User: id.User, Provider: id.Provider, Subject: id.Subject, PreferredUsername: id.PreferredUsername,
		Name: id.Name, Email: id.Email, Groups: append([]string{}, id.Groups...), AMR: login.AMR,
	}
	if !login.AuthTime.IsZero() {
		a.AuthTime = login.AuthTime.UTC().Format(time.RFC3339)
	}
	if login.Session == nil {
		return a
	}
	t, now := login.Session.Times(), h.cfg.Now()
	a.Ends, a.EndsIn = moment(t.Ends, now)
	a.IdleEnds, a.IdleEndsIn = moment(t.IdleEnds, now)
	a.Renews, a.RenewsIn = moment(t.Renews, now)
	return a
}

func moment(t, now time.Time) (string, *int64) {
	if t.IsZero() {
		return "", nil
	}
	in := int64(math.Ceil(max(t.Sub(now), 0).Seconds()))
	return t.UTC().Format(time.RFC3339), &in
}
