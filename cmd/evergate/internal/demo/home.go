package demo

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// state is what the page shows, and what its script asks for each second.
type state struct {
	Time  time.Time `json:"time"`
	User  string    `json:"user"`
	Email string    `json:"email,omitempty"`
	// Name is how to greet the person.
	Name   string `json:"name"`
	Groups string `json:"groups,omitempty"`
	// Token names the current token; "" where the request came without one.
	Token       string         `json:"token"`
	Expires     time.Time      `json:"expires"`
	SecondsLeft int            `json:"seconds_left"`
	Claims      map[string]any `json:"claims"`
	Rows        []row          `json:"rows"`
	tally
}

// look reads off a request what the app knows, and counts the request.
func (a *App) look(r *http.Request) state {
	now := a.now()
	h := r.Header
	s := state{Time: now.UTC(), User: h.Get("X-Forwarded-User"), Email: h.Get("X-Forwarded-Email"),
		Name: h.Get("X-Forwarded-Preferred-Username"), Groups: h.Get("X-Forwarded-Groups")}
	b := readBearer(h.Get("Authorization"))
	if b != nil {
		if s.User == "" {
			s.User = b.text("sub")
		}
		s.Token, s.Claims, s.Rows = b.name(), b.claims, b.rows()
		if s.Expires = b.time("exp"); !s.Expires.IsZero() {
			s.SecondsLeft = int(s.Expires.Sub(now).Seconds())
		}
	}
	if s.Name == "" {
		s.Name = s.User
	}
	s.tally = a.ledger.note(clip(s.User, 200), b)
	return s
}

// home is the page that shows everything, and works without script too.
func (a *App) home(w http.ResponseWriter, r *http.Request) {
	render(w, http.StatusOK, "home", struct {
		state
		Headers []row
	}{a.look(r), headerRows(r)})
}

// apiNow is the call that the page makes each second.
func (a *App) apiNow(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a.look(r)) // an error is a browser that went away
}

// notFound answers what is not there with a page, so that the person finds back.
func (a *App) notFound(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		render(w, http.StatusNotFound, "missing", r.URL.Path)
		return
	}
	http.Error(w, "The demo app has no such page.", http.StatusNotFound)
}
