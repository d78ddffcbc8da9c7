package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/decisions"
	"github.com/evergate/evergate/internal/event"
)

// Decisions is the answer of GET /api/decisions?session=&user=&limit=, the newest first.
type Decisions struct {
	// Keep is how many of each session are kept.
	Keep      int                  `json:"keep"`
	Decisions []decisions.Decision `json:"decisions"`
}

// Show is the body of POST /api/decisions/show.
type Show struct {
	// User is whose answers tell what was decided, as rules name them.
	User string `json:"user"`
	// For is a duration such as 10m; 0s ends it.
	For string `json:"for"`
}

// Shown is the answer of /api/decisions/show: who is shown now.
type Shown struct {
	Shown []decisions.Shown `json:"shown"`
}

// decisions answers what is asked of them.
func (a *API) decisions(w http.ResponseWriter, r *http.Request, call string) {
	log := a.Decisions
	if log == nil {
		http.Error(w, "this gateway keeps no decisions", http.StatusNotImplemented)
		return
	}
	switch call {
	case "GET /api/observed":
		answer(w, log.Differences(), nil)
		return
	case "GET /api/decisions":
		q := r.URL.Query()
		which := decisions.Which{Session: q.Get("session"), User: q.Get("user")}
		if text := q.Get("limit"); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || n > decisions.MaxLimit {
				http.Error(w, fmt.Sprintf("limit: want 1 to %d, got %q", decisions.MaxLimit, text), http.StatusBadRequest)
				return
			}
			which.Limit = n
		}
		answer(w, Decisions{log.Keeps(), log.List(which)}, nil)
		return
	case "POST /api/decisions/show":
		var show Show
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&show); err != nil {
			http.Error(w, `want a JSON object with "user" and "for", such as "10m"`, http.StatusBadRequest)
			return
		}
		long, err := time.ParseDuration(show.For)
		if err != nil {
			http.Error(w, fmt.Sprintf("for: want a duration such as 10m, or 0s to end it, got %q", show.For), http.StatusBadRequest)
			return
		}
		if err := log.Show(show.User, long); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		a.tell(r, slog.LevelInfo, "decisions are shown in somebody's answers, or not any more, as the operator asked",
			event.Event{Name: event.AdminShown, Actor: byToken, User: show.User, Err: errors.New("for " + long.String())})
	}
	answer(w, Shown{log.Shown()}, nil)
}
