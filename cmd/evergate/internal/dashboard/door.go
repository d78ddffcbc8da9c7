package dashboard

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/secret"
)

const (
	visitTime = 8 * time.Hour
	maxVisits = 100 // of the operators of one gateway; the oldest goes first
	maxForm   = 4 << 10

	// Attempts are looked at a few at a time, and each that fails keeps its place for a
	// while; who comes meanwhile waits for a place, but not for long.
	attempts     = 4
	failureTime  = time.Second
	attemptQueue = 10 * time.Second
)

// door lets in who has the operator's token. A visit is in memory alone, and its cookie
// holds nothing but a random name for it.
type door struct {
	token secret.Text
	now   func() time.Time
	slots chan struct{}

	mu     sync.Mutex // guards visits
	visits map[[sha256.Size]byte]*visit
}

type visit struct {
	ends time.Time
	done chan struct{} // closed when it is over before its time
}

func newDoor(token secret.Text, now func() time.Time) *door {
	return &door{token: token, now: now, slots: make(chan struct{}, attempts), visits: map[[sha256.Size]byte]*visit{}}
}

// CookieName is what the names of the cookies of visits begin with, and SecureCookieName the name over
// TLS. They are the gateway's like those of sessions: cookies ignore ports, so a browser sends them to
// the apps of the same host too, and apps could set them.
const (
	CookieName       = "evergate-admin"
	SecureCookieName = "__Host-" + CookieName
)

// cookieName is that of the visits. Cookies ignore ports, so it names the one that the
// browser sees: two gateways of one host are two visits.
func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return SecureCookieName
	}
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil || strings.Trim(port, "0123456789") != "" {
		port = "80"
	}
	return CookieName + "-" + port
}

func (d *door) cookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{Name: cookieName(r), Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode}
}

// nameOf is what a visit is found by: whoever reads the memory gets no cookie.
func nameOf(r *http.Request) (name [sha256.Size]byte, ok bool) {
	c, err := r.Cookie(cookieName(r))
	if err != nil || len(c.Value) > 64 {
		return name, false
	}
	return sha256.Sum256([]byte(c.Value)), true
}

// visitor returns who looks, if they came in here.
func (d *door) visitor(r *http.Request) (visitor, bool) {
	name, ok := nameOf(r)
	if !ok {
		return visitor{}, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.visits[name]
	if v == nil || !d.now().Before(v.ends) {
		return visitor{}, false
	}
	return visitor{actor: byToken, private: true, done: v.done, ends: v.ends}, true
}

// begin lets somebody in, and returns their cookie.
func (d *door) begin(r *http.Request) *http.Cookie {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	value := base64.RawURLEncoding.EncodeToString(b)
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	var oldest [sha256.Size]byte
	for name, v := range d.visits {
		if !now.Before(v.ends) {
			d.drop(name)
		} else if o := d.visits[oldest]; o == nil || v.ends.Before(o.ends) {
			oldest = name
		}
	}
	if len(d.visits) >= maxVisits {
		d.drop(oldest)
	}
	d.visits[sha256.Sum256([]byte(value))] = &visit{ends: now.Add(visitTime), done: make(chan struct{})}
	return d.cookie(r, value, int(visitTime.Seconds()))
}

// drop is for whoever holds mu.
func (d *door) drop(name [sha256.Size]byte) {
	if v := d.visits[name]; v != nil {
		close(v.done)
		delete(d.visits, name)
	}
}

// opens reports whether given is the token. It takes as long for every wrong one.
func (d *door) opens(given string) bool {
	if d.token.IsZero() {
		return false
	}
	got, want := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(d.token.Reveal()))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// enter waits for a place to try the token at.
func (d *door) enter(ctx context.Context) bool {
	late := time.NewTimer(attemptQueue)
	defer late.Stop()
	select {
	case d.slots <- struct{}{}:
		return true
	case <-late.C:
	case <-ctx.Done():
	}
	return false
}

func (d *door) leave() { <-d.slots }

// signInView is the form for the token.
type signInView struct{ To, Alert string }

// pagesToReturnTo are those that a sign-in may lead to.
var pagesToReturnTo = []string{"sessions", "timeline", "config"}

// turnAway sends a person to the form, and refuses everything else.
func (h *Handler) turnAway(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.URL.Path == "/events" {
		http.Error(w, "the operator's token is needed: sign in first", http.StatusUnauthorized)
		return
	}
	to := "signin"
	if page := strings.TrimPrefix(r.URL.Path, "/"); slices.Contains(pagesToReturnTo, page) {
		to += "?to=" + page
	}
	seeOther(w, to)
}

// seeOther sends the browser to another page. The address is relative: nobody here knows
// below which path the pages are.
func seeOther(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
}

func (h *Handler) signIn(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.render(w, r, http.StatusOK, "signin", page{Title: "Sign in", Data: signInView{To: r.URL.Query().Get("to")}})
		return
	case http.MethodPost:
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "only GET, HEAD, POST", http.StatusMethodNotAllowed)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	given, to := r.PostFormValue("token"), r.PostFormValue("to")
	again := func(status int, alert string) {
		h.render(w, r, status, "signin", page{Title: "Sign in", Data: signInView{To: to, Alert: alert}})
	}
	if !h.door.enter(r.Context()) {
		w.Header().Set("Retry-After", "10")
		again(http.StatusTooManyRequests, "Too many tokens are being tried. Try again in a moment.")
		return
	}
	defer h.door.leave()
	if !h.door.opens(strings.TrimSpace(given)) {
		h.tell(r, slog.LevelWarn, "somebody came to the dashboard without the operator's token", event.Event{Name: event.AdminRefused, Reason: event.BadCredentials})
		select {
		case <-time.After(failureTime):
		case <-r.Context().Done():
		}
		again(http.StatusUnauthorized, "This is not the operator's token of this gateway.")
		return
	}
	http.SetCookie(w, h.door.begin(r))
	h.tell(r, slog.LevelInfo, "the dashboard was opened with the operator's token", event.Event{Name: event.AdminSignedIn, Actor: byToken})
	if !slices.Contains(pagesToReturnTo, to) {
		to = "./"
	}
	seeOther(w, to)
}

func (h *Handler) signOut(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		http.Error(w, "only POST", http.StatusMethodNotAllowed)
		return
	}
	if name, ok := nameOf(r); ok {
		h.door.mu.Lock()
		h.door.drop(name)
		h.door.mu.Unlock()
	}
	http.SetCookie(w, h.door.cookie(r, "", -1))
	seeOther(w, "signin")
}
