package admin

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/evergate/evergate/cmd/evergate/internal/decisions"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

// Sessions is what the operator may ask of the sessions. A session.Manager is one.
type Sessions interface {
	List(ctx context.Context, user string) ([]session.Info, error)
	Revoke(ctx context.Context, w session.Which) (int, error)
}

// API is what changes things or names people, for whoever has the token: GET
// /api/sessions?user= lists, POST /api/sessions/revoke ends those that its body
// picks, POST /api/reload reads the config again, POST /api/upgrade starts the program
// anew to take over, GET /api/process says which process answers, GET /api/config whether
// its config is that of the file. /api/users/ is in users.go. GET /api/decisions, /api/decisions/show and /api/observed
// are in decisions.go.
type API struct {
	// Token is what the Authorization header must bring as a Bearer token. The zero
	// Token lets nobody in.
	Token secret.Text
	// Sessions is nil where there is no store to find them in.
	Sessions Sessions
	// Users is nil where no users are kept here.
	Users Users
	// Reload reads the config again; nil where there is no file.
	Reload func() Reloaded
	// Running tells what is in force; nil where there is no file.
	Running func() Running
	// Decisions are the last ones; nil where nobody keeps any.
	Decisions *decisions.Log
	// Upgrade has a new process take over, and returns its id once it is ready to; nil
	// where there is no file.
	Upgrade func() (pid int, err error)
	// Tell hears of what is done here; nil is nobody.
	Tell Tell
}

const apiPrefix = "/api/"

// maxBody bounds what is read of a request.
const maxBody = 4 << 10

// Revoked is the answer of /api/sessions/revoke.
type Revoked struct {
	Revoked int `json:"revoked"`
}

func (a *API) allows(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && !a.Token.IsZero() && subtle.ConstantTimeCompare([]byte(token), []byte(a.Token.Reveal())) == 1
}

func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	if !a.allows(r) {
		a.tell(r, slog.LevelWarn, "somebody came to the admin API without the operator's token", event.Event{Name: event.AdminRefused, Reason: event.BadCredentials})
		w.Header().Set("WWW-Authenticate", `Bearer realm="evergate admin"`)
		http.Error(w, "the Bearer token of data_dir/admin.token is needed", http.StatusUnauthorized)
		return
	}
	call := r.Method + " " + r.URL.Path
	if a.Sessions == nil && strings.HasPrefix(r.URL.Path, "/api/sessions") {
		http.Error(w, "with session.store: cookie sessions lie in the browsers, and nobody can list or end them from here", http.StatusNotImplemented)
		return
	}
	switch call {
	case "GET /api/decisions", "GET /api/observed", "GET /api/decisions/show", "POST /api/decisions/show":
		a.decisions(w, r, call)
	case "POST /api/users/invite", "POST /api/users/reset-mfa", "POST /api/users/forget":
		a.users(w, r, call)
	case "POST /api/reload":
		a.tell(r, slog.LevelInfo, "the config is read again, as the operator asked", event.Event{Name: event.AdminReloaded, Actor: byToken})
		a.reload(w)
	case "POST /api/upgrade":
		a.tell(r, slog.LevelInfo, "another process is to take over, as the operator asked", event.Event{Name: event.AdminUpgraded, Actor: byToken})
		a.upgrade(w)
	case "GET /api/process":
		answer(w, Process{os.Getpid()}, nil)
	case "GET /api/config":
		a.running(w)
	case "GET /api/sessions":
		all, err := a.Sessions.List(r.Context(), r.URL.Query().Get("user"))
		if all == nil {
			all = []session.Info{}
		}
		answer(w, all, err)
	case "POST /api/sessions/revoke":
		var which session.Which
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&which); err != nil || which.User == "" && which.Name == "" {
			http.Error(w, `want a JSON object with "user" or "name"`, http.StatusBadRequest)
			return
		}
		n, err := a.Sessions.Revoke(r.Context(), which)
		if n > 0 || err == nil {
			a.tell(r, slog.LevelInfo, "sessions were ended by the operator",
				event.Event{Name: event.AdminRevoked, Actor: byToken, User: which.User, Session: which.Name, Count: n, Err: err})
		}
		answer(w, Revoked{n}, err)
	default:
		http.NotFound(w, r)
	}
}

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
