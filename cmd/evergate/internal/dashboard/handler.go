package dashboard

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/internal/web"
)

// Handler makes the pages. Make one with New; Close it to end what it runs.
type Handler struct {
	src  Source
	door *door

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	store, writes look[error]
	soon          look[dueSoon]
	total         look[total]

	streams atomic.Int64

	mu       sync.Mutex // guards what follows
	latest   *Overview
	latestAt time.Time
}

// New returns the dashboard of a gateway. Token is the operator's; the zero Text lets nobody
// in at Private.
func New(src Source, token secret.Text) *Handler {
	if src.Now == nil {
		src.Now = time.Now
	}
	h := &Handler{src: src}
	h.door = newDoor(token, src.Now)
	h.startLooks()
	return h
}

// Close ends event streams and whatever is being looked at, and waits for that.
func (h *Handler) Close() error {
	h.EndStreams()
	h.wg.Wait()
	return nil
}

// EndStreams ends event streams, also those that come later.
func (h *Handler) EndStreams() { h.cancel() }

func (h *Handler) now() time.Time { return h.src.Now() }

// byToken is the actor of what is done with the operator's token.
const byToken = "token"

// visitor is who looks.
type visitor struct {
	// actor is what events call them.
	actor string
	// private says that they came by the token.
	private bool
	// done is closed when they may not look any more, and ends is when that is at the
	// latest; where session and rules say so, both are zero.
	done <-chan struct{}
	ends time.Time
}

// Private serves the admin listener: it asks for the operator's token.
func (h *Handler) Private() http.Handler {
	return guarded(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case h.asset(w, r):
		case r.URL.Path == "/signin":
			h.signIn(w, r)
		case r.URL.Path == "/signout":
			h.signOut(w, r)
		default:
			v, ok := h.door.visitor(r)
			if !ok {
				h.turnAway(w, r)
				return
			}
			h.serve(w, r, v)
		}
	})
}

// Published serves a route, whose rules let the one pass that auth.FromContext knows. The
// path is the one below the route's.
func (h *Handler) Published() http.Handler {
	return guarded(func(w http.ResponseWriter, r *http.Request) {
		login := auth.FromContext(r.Context())
		if login == nil { // a rule that lets somebody pass who has no name
			http.Error(w, "nobody is signed in", http.StatusForbidden)
			return
		}
		if !h.asset(w, r) {
			h.serve(w, r, visitor{actor: login.Identity.User})
		}
	})
}

// guarded refuses what a page of another site has a browser send (RFC 9700 section 4.7).
func guarded(f http.HandlerFunc) http.Handler {
	guard := http.NewCrossOriginProtection()
	foreign := func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "this was sent by a page of another site", http.StatusForbidden)
	}
	guard.SetDenyHandler(http.HandlerFunc(foreign))
	return guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note := web.NoteIn(r.Context())
		https := r.TLS != nil || note != nil && note.Scheme == "https"
		if r.Method == http.MethodPost && (web.IsFromPlainPage(r, https) || web.IsReferredElsewhere(r, https)) {
			foreign(w, r)
			return
		}
		f(w, r)
	}))
}

// serve answers somebody who may look.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, v visitor) {
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	post := r.Method == http.MethodPost
	switch path := r.URL.Path; {
	case path == "/" && get:
		h.showOverview(w, r, v)
	case path == "/timeline" && get:
		h.showTimeline(w, r, v)
	case path == "/sessions" && get:
		h.showSessions(w, r, v)
	case path == "/revoke" && get:
		h.confirm(w, r, v)
	case path == "/revoke" && post:
		h.revoke(w, r, v)
	case path == "/config" && get:
		h.showConfig(w, r, v, "")
	case path == "/reload" && post:
		h.reload(w, r, v)
	case path == "/events" && get:
		h.stream(w, r, v)
	case path == "/" || path == "/timeline" || path == "/sessions" || path == "/revoke" || path == "/config" || path == "/reload" || path == "/events":
		w.Header().Set("Allow", allowed[path])
		http.Error(w, "only "+allowed[path], http.StatusMethodNotAllowed)
	default:
		http.NotFound(w, r)
	}
}

var allowed = map[string]string{"/": "GET, HEAD", "/timeline": "GET, HEAD", "/sessions": "GET, HEAD", "/revoke": "GET, HEAD, POST",
	"/config": "GET, HEAD", "/reload": "POST", "/events": "GET, HEAD"}

// tell tells of what the operator did.
func (h *Handler) tell(r *http.Request, level slog.Level, msg string, e event.Event) {
	if web.NoteIn(r.Context()) == nil {
		e.Origin = admin.Origin(r)
	}
	h.src.Tell(r.Context(), level, msg, e)
}
