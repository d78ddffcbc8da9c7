package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// People sign in on the host of public_url alone. An app on a host of its own gets the
// session by a code, as a client gets a grant (RFC 6749 section 4.1, RFC 7636): the app's
// host draws a verifier, keeps it in a cookie and sends the browser away with an errand;
// the public host, once somebody is signed in, sends it back with a code, which opens
// for that browser and that host alone, once.

const (
	errandPurpose = "errand"
	// maxErrandRD bounds the path in an errand, which travels in addresses. The cookie of
	// the host has all of it.
	maxErrandRD = 256
)

// errand is what a host of an app asks of the public host. It travels sealed.
type errand struct {
	// ID names the cookie that has the verifier.
	ID string `json:"i"`
	// Host is where to come back to.
	Host string `json:"h"`
	// Challenge is the SHA-256 of the verifier; nothing where no sign-in is wanted.
	Challenge []byte `json:"c,omitempty"`
	// RD is the path there, for the sign-in page to show and to begin anew with.
	RD string `json:"r"`
	// Kept says that a form is kept there.
	Kept bool `json:"k,omitempty"`
	// Demand is what the page there asks of the sign-in.
	Demand Demand `json:"d,omitzero"`
	// Mark names the session there that is to be signed out, and User whose it is.
	Mark     string    `json:"m,omitempty"`
	User     string    `json:"u,omitempty"`
	Restarts int       `json:"n,omitempty"`
	Started  time.Time `json:"t"`
}

// asked is the errand that a request to the public host brings, or nil: no other host
// speaks for it.
func (h *Handler) asked(r *http.Request, to string) *errand {
	if hostOf(r) != h.publicHost() {
		return nil
	}
	return h.openErrand(to)
}

// isAppHost reports whether r came to an app's own host.
func (h *Handler) isAppHost(r *http.Request) bool {
	return h.cfg.Handovers != nil && h.cfg.AppHost(hostOf(r))
}

// origin is where browsers reach host. Scheme and port are those of the public URL,
// whatever the request says: a code goes to no other server on that host.
func (h *Handler) origin(host string) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := h.cfg.PublicURL.Port(); port != "" {
		host += ":" + port
	}
	return h.cfg.PublicURL.Scheme + "://" + host
}

func (h *Handler) sealErrand(e *errand) (string, error) {
	to, err := h.seal(errandPurpose, h.publicHost(), e, stateTTL)
	if err != nil {
		return "", fmt.Errorf("begin a hand-over: %w", err)
	}
	return to, nil
}

// openErrand returns nil for what this gateway did not seal, or not for a host that it
// still serves.
func (h *Handler) openErrand(to string) *errand {
	if to == "" || h.cfg.Handovers == nil {
		return nil
	}
	e := new(errand)
	if h.open(errandPurpose, h.publicHost(), to, e) != nil || !h.cfg.AppHost(e.Host) {
		return nil
	}
	e.RD = ReturnTo(e.RD)
	return e
}

// newErrandID names one of 16 cookies. A browser that opens all its tabs again asks for
// all pages at once, and servers in front take 8 KiB of cookies: a tab whose cookie
// another has taken begins anew.
func newErrandID() string {
	id := newHelperID()
	return strings.Repeat("0", helperID-1) + id[:1]
}

// leave sends a browser from an app's host to sign in on the public one.
func (h *Handler) leave(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	if h.openErrand(one(query, "to")) != nil {
		return hostsMixed(h.cfg.PublicURL.Host, r.Host)
	}
	asked := goalOf(query)
	asked.To = ""
	v := h.loginView(r, asked)
	prompt := one(query, "prompt")
	if prompt != promptAccount && prompt != promptLogin {
		if done, err := h.already(w, r, &v); done || err != nil {
			return err
		}
	}
	page, _ := strings.CutPrefix(r.URL.EscapedPath(), ownFolder+"/")
	lost := one(query, "lost")
	if v.Lost != "" {
		lost = lostOver
	}
	return h.goAsk(w, r, page, v.goal, 0, "why", one(query, "why"), "lost", lost, "prompt", prompt)
}

// goAsk begins an errand and goes to a page of the public host with it.
func (h *Handler) goAsk(w http.ResponseWriter, r *http.Request, page string, g goal, restarts int, more ...string) error {
	web.NoteOf(r.Context()).Decision = "login"
	k := &kept{trip: trip{ID: newErrandID(), goal: g, Restarts: restarts, Started: h.cfg.Now()}, Verifier: random()}
	k.RD = shorter(k.RD, maxFlowRD)
	sum := sha256.Sum256([]byte(k.Verifier))
	to, err := h.sealErrand(&errand{ID: k.ID, Host: hostOf(r), Challenge: sum[:], RD: shorter(k.RD, maxErrandRD), Kept: k.Form != "",
		Demand: g.Demand, Restarts: restarts, Started: k.Started})
	if err != nil {
		return err
	}
	if err := h.setFlow(w, r, k); err != nil {
		return err
	}
	return redirect(w, http.StatusSeeOther, h.origin(h.publicHost())+own(page, append([]string{"to", to}, more...)...))
}

// sendOver sends a signed-in browser back to the host that it came from.
func (h *Handler) sendOver(w http.ResponseWriter, r *http.Request, login *Login, v *loginView) error {
	e := h.asked(r, v.To)
	if e == nil || e.Challenge == nil {
		return redirect(w, http.StatusSeeOther, v.RD)
	}
	code, err := h.cfg.Handovers.Send(r.Context(), login, e.Host, e.Challenge)
	if err != nil {
		return err
	}
	web.NoteOf(r.Context()).Decision = "handed-over"
	// What is after the "#" goes along with every redirect that names nothing of its own.
	_, fragment, hash := strings.Cut(v.RD, "#")
	to := h.origin(e.Host) + own("arrive", "code", code, "state", v.To)
	if hash {
		to += "#" + fragment
	}
	w.Header().Set("Referrer-Policy", "no-referrer")
	return redirect(w, http.StatusSeeOther, to)
}

// arrive takes the code, on the host of an app.
//
// A browser without the cookie that has the verifier did not begin this errand, or began
// it long ago: it gets nothing by the code, and begins anew.
func (h *Handler) arrive(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Referrer-Policy", "no-referrer")
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return h.notOurs(r, "", err)
	}
	e := h.openErrand(one(query, "state"))
	if e == nil || e.Host != hostOf(r) {
		return h.notOurs(r, "", errors.New("a state that this gateway did not send"))
	}
	k := h.verifierOf(r, e)
	if k == nil {
		// The code is used up: it may have been read on the way, by whoever has the verifier.
		_, err := h.cfg.Handovers.Receive(http.Header{}, r, one(query, "code"), "")
		web.NoteOf(r.Context()).Err = err
		return h.anew(w, r, e, goal{RD: e.RD})
	}
	login, err := h.cfg.Handovers.Receive(w.Header(), r, one(query, "code"), k.Verifier)
	if u, ok := errors.AsType[*Unavailable](err); ok {
		return u
	}
	h.clearHelper(w, flowKind, k.ID)
	if err != nil {
		web.NoteOf(r.Context()).Err = err
		return h.anew(w, r, e, k.goal)
	}
	return signedIn(w, r, login, k.goal)
}

// verifierOf opens the cookie of an errand. It returns nil if this browser has none, or
// that of another errand.
func (h *Handler) verifierOf(r *http.Request, e *errand) *kept {
	value, ok := h.helperValue(r, flowKind, e.ID)
	if !ok {
		return nil
	}
	k := h.openFlow(r, value)
	if k == nil || k.ID != e.ID || k.Provider != "" {
		return nil
	}
	sum := sha256.Sum256([]byte(k.Verifier))
	if subtle.ConstantTimeCompare(sum[:], e.Challenge) != 1 {
		return nil
	}
	return k
}

// anew goes on where somebody is signed in by now, and else asks again.
func (h *Handler) anew(w http.ResponseWriter, r *http.Request, e *errand, g goal) error {
	v := h.loginView(r, g)
	if done, err := h.already(w, r, &v); done || err != nil {
		return err
	}
	if e.Restarts < maxRestarts {
		return h.goAsk(w, r, "login", v.goal, e.Restarts+1)
	}
	web.NoteOf(r.Context()).Decision = "lost-flow"
	return &web.Error{Status: http.StatusBadRequest, Code: "sign_in_over", Title: "The sign-in did not reach {host}",
		Detail: "You are signed in at {public}, and handing that over to {host} did not work. Your browser may not keep cookies for this site: they are blocked in its settings, by an extension, or in a private window.",
		Args:   web.Args{"host": r.Host, "public": h.cfg.PublicURL.Host},
		Links:  []web.Link{{Text: "Try again", URL: v.at("login")}}, Err: errors.New("a code without its errand")}
}

// hostsMixed is the page where the public host's requests arrive under the name of an
// app's host: without it the browser would go round for ever.
func hostsMixed(public, host string) error {
	return &web.Error{Status: http.StatusBadRequest, Code: "hosts_mixed", Title: "Two hosts are taken for one",
		Detail: "Your browser asked {public}, and the gateway was told that it asked {host}. The proxy in front of the gateway has to pass the Host header on as the browser sends it.",
		Args:   web.Args{"host": host, "public": public},
		Err:    errors.New("an errand for the public host came to an app's host")}
}

// leaveToSignOut sends a browser from an app's host to the page that asks.
func (h *Handler) leaveToSignOut(w http.ResponseWriter, r *http.Request) error {
	e := &errand{Host: hostOf(r), RD: shorter(ReturnTo(one(r.URL.Query(), "rd")), maxErrandRD), Started: h.cfg.Now()}
	// The public host may know nobody, or somebody else, by now.
	login, err := h.who(w, r)
	if err == nil {
		e.Mark, e.User = h.cfg.Handovers.Mark(login), shown(login.Identity.User)
	} else if !isAnonymous(err) {
		return err
	}
	to, err := h.sealErrand(e)
	if err != nil {
		return err
	}
	return redirect(w, http.StatusSeeOther, h.origin(h.publicHost())+own("logout", "to", to, "at", one(r.URL.Query(), "at")))
}

// elsewhere is what an app's host answers at addresses of the public one.
func (h *Handler) elsewhere() error {
	return &web.Error{Status: http.StatusNotFound, Code: "not_found", Title: "There is no such page on this host",
		Detail: "The gateway has it at {public}, if at all.", Args: web.Args{"public": h.cfg.PublicURL.Host}, Links: []web.Link{{Text: "Go to the start page", URL: "/"}}}
}
