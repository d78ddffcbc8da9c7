package auth

import (
	"log/slog"
	"net/http"

	"github.com/evergate/evergate/internal/event"
)

// passwordProvider is Identity.Provider of those who sign in by password.
const passwordProvider = "local"

// notSignedIn tells that a sign-in at provider came to nothing. Login is who it would have
// been, where that is known.
func (h *Handler) notSignedIn(r *http.Request, provider string, login *Login, reason string, err error) {
	e := event.Event{Name: event.LoginFailed, Provider: provider, Reason: reason, Err: err}
	if login != nil {
		e.User, e.Subject = login.Identity.User, login.Identity.Subject
	}
	event.Tell(r.Context(), h.cfg.Log, h.cfg.Heard, slog.LevelInfo, "somebody was not signed in", e)
}
