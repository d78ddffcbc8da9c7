package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

// Users is what the operator may ask of the users that are kept here. Errors are ErrNoUsers,
// ErrNoUser, a *auth.Refused, or an outage.
type Users interface {
	// Invite returns a one-time code by which a user sets their password.
	Invite(ctx context.Context, user string) (Invitation, error)
	// ResetFactors takes a user's passkeys, authenticator and recovery codes away, and returns how
	// many sessions of theirs it ended. With an error it may have done the former.
	ResetFactors(ctx context.Context, user string) (ended int, err error)
	// Forget takes everything away that is kept of a user beside the users file.
	Forget(ctx context.Context, user string) error
}

// Invitation is the answer of POST /api/users/invite.
type Invitation struct {
	User string `json:"user"`
	// Code is shown here and nowhere else. Link has it in it.
	Code string `json:"code"`
	Link string `json:"link"`
	// Until is when it is over.
	Until time.Time `json:"until"`
}

// Named is the body of the calls below /api/users/.
type Named struct {
	User string `json:"user"`
}

var (
	// ErrNoUsers reports that this gateway keeps no users, or cannot change what it keeps.
	ErrNoUsers = errors.New("this gateway keeps no users whose passwords could be set: there is no users_file in its config, or no store")
	// ErrNoUser reports that there is no user of a name.
	ErrNoUser = errors.New("there is no such user in the users file of the gateway that runs")
)

func (a *API) users(w http.ResponseWriter, r *http.Request, call string) {
	if a.Users == nil {
		http.Error(w, ErrNoUsers.Error(), http.StatusNotImplemented)
		return
	}
	var named Named
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&named); err != nil || named.User == "" {
		http.Error(w, `want a JSON object with "user"`, http.StatusBadRequest)
		return
	}
	told := event.Event{Actor: byToken, User: named.User}
	switch call {
	case "POST /api/users/invite":
		out, err := a.Users.Invite(r.Context(), named.User)
		if err == nil {
			told.Name = event.AdminInvited
			a.tell(r, slog.LevelInfo, "a one-time code was made by which somebody sets their password, as the operator asked", told)
		}
		answerUsers(w, out, err)
	case "POST /api/users/reset-mfa":
		n, err := a.Users.ResetFactors(r.Context(), named.User)
		if !undone(err) {
			told.Name, told.Count, told.Err = event.AdminFactorsReset, n, err
			a.tell(r, slog.LevelInfo, "somebody's passkeys, authenticator and recovery codes were taken away, as the operator asked", told)
		}
		answerUsers(w, Revoked{n}, err)
	default:
		err := a.Users.Forget(r.Context(), named.User)
		if err == nil {
			told.Name = event.AdminForgot
			a.tell(r, slog.LevelInfo, "what was kept of a user beside the users file was taken away, as the operator asked", told)
		}
		answerUsers(w, named, err)
	}
}

// undone reports whether err says that nothing was begun. After another, some of it may be done.
func undone(err error) bool {
	_, refused := errors.AsType[*auth.Refused](err)
	return refused || errors.Is(err, ErrNoUsers) || errors.Is(err, ErrNoUser)
}

func answerUsers(w http.ResponseWriter, v any, err error) {
	refused, no := errors.AsType[*auth.Refused](err)
	switch {
	case errors.Is(err, ErrNoUsers):
		http.Error(w, err.Error(), http.StatusNotImplemented)
	case errors.Is(err, ErrNoUser):
		http.Error(w, err.Error(), http.StatusNotFound)
	case no:
		http.Error(w, refused.Reason, http.StatusConflict)
	default:
		answer(w, v, err)
	}
}
