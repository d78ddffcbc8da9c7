package dashboard

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/session"
)

const (
	shownSessions = 100
	askTime       = 20 * time.Second // for the list, and for ending sessions
	maxUser       = 512              // bytes of a name that is searched for
)

// sessionsView is the list of sessions.
type sessionsView struct {
	// User is who was searched for, "" for everybody.
	User string
	// Cookie says that sessions lie in the browsers, so there is no list.
	Cookie   bool
	Sessions []sessionRow
	Total    int
	Shown    int
	Error    string
	AsOf     Cell
}

// sessionRow is one session.
type sessionRow struct {
	session.Info
	SeenAt, Began, EndsAt Cell
	Device                string
}

func (h *Handler) showSessions(w http.ResponseWriter, r *http.Request, v visitor) {
	now := h.now()
	view := sessionsView{User: clip(strings.TrimSpace(r.URL.Query().Get("user")), maxUser), Cookie: h.src.Sessions == nil, AsOf: moment(now, now)}
	status := http.StatusOK
	if !view.Cookie {
		ctx, cancel := context.WithTimeout(r.Context(), askTime)
		defer cancel()
		newest, total, err := h.src.Sessions.Latest(ctx, view.User, shownSessions)
		if err != nil {
			status, view.Error = http.StatusServiceUnavailable, brief(err)
		}
		view.Total, view.Shown = total, len(newest)
		for _, info := range newest {
			row := sessionRow{Info: info, SeenAt: moment(info.Seen, now), Began: moment(info.Created, now), EndsAt: moment(info.Ends, now)}
			row.Device = clip(info.Device.Agent, 120)
			view.Sessions = append(view.Sessions, row)
		}
	}
	h.render(w, r, status, "sessions", page{Title: "Sessions", Here: "sessions", Visitor: v, Data: view})
}

// revokeView is about sessions that are to be ended, or were.
type revokeView struct {
	session.Which
	// What says which, in words.
	What  string
	Count int
	Error string
}

// which reads what a request is about.
func which(value func(string) string) (session.Which, string, bool) {
	w := session.Which{User: clip(value("user"), maxUser), Name: clip(value("session"), 64)}
	switch {
	case w.Name != "" && w.User != "":
		return w, fmt.Sprintf("the session %s of %s", w.Name, w.User), true
	case w.Name != "":
		return w, "the session " + w.Name, true
	case w.User != "":
		return w, "all sessions of " + w.User, true
	}
	return w, "", false
}

// confirm asks once more, without a script.
func (h *Handler) confirm(w http.ResponseWriter, r *http.Request, v visitor) {
	these, what, ok := which(r.URL.Query().Get)
	if !ok || h.src.Sessions == nil {
		http.Error(w, "which sessions? Go back to the list and pick one, or a user", http.StatusBadRequest)
		return
	}
	h.render(w, r, http.StatusOK, "revoke", page{Title: "End " + what + "?", Here: "sessions", Visitor: v, Data: revokeView{Which: these, What: what}})
}

// revoke ends sessions.
func (h *Handler) revoke(w http.ResponseWriter, r *http.Request, v visitor) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	these, what, ok := which(r.PostFormValue)
	if !ok || h.src.Sessions == nil {
		http.Error(w, "which sessions? Go back to the list and pick one, or a user", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	n, err := h.src.Sessions.Revoke(ctx, these)
	view, status := revokeView{Which: these, What: what, Count: n}, http.StatusOK
	if err != nil {
		status, view.Error = http.StatusServiceUnavailable, brief(err)
	}
	if n > 0 || err == nil {
		h.tell(r, slog.LevelInfo, "sessions were ended by the dashboard",
			event.Event{Name: event.AdminRevoked, Actor: v.actor, User: these.User, Session: these.Name, Count: n, Err: err})
	}
	h.render(w, r, status, "revoked", page{Title: "Ended " + count(n, "session", "sessions"), Here: "sessions", Visitor: v, Data: view})
}
