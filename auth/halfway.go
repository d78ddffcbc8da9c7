package auth

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/evergate/evergate/internal/web"
)

const (
	halfwayKind    = "-half-"
	halfwayPurpose = "halfway"
	halfwayPath    = "second"
	// halfwayTTL is how long somebody may take from the password to what else is asked of them.
	halfwayTTL = 10 * time.Minute
)

// halfway is a sign-in by a password that was right, which is not enough. It opens nothing: the
// browser holds it, sealed, until the rest is proven. Whoever copies it has no more than one who
// knows the password, and for ten minutes.
type halfway struct {
	ID       string    `json:"i"`
	Subject  string    `json:"u"`
	User     string    `json:"n"` // as rules name them
	Stamp    string    `json:"s"`
	At       time.Time `json:"t"` // of the password
	AMR      []string  `json:"m"`
	Remember bool      `json:"k,omitempty"`
	Goal     goal      `json:"g"`
}

// login is who it would be, for events.
func (f *halfway) login() *Login {
	return &Login{Identity: Identity{Provider: passwordProvider, Subject: f.Subject, User: f.User}}
}

// needsMore reports whether a login by password is not enough for somebody who has enrolled e.
func (h *Handler) needsMore(e *Enrolled, d *Demand) bool {
	f := h.cfg.Factors
	return e.Any() || f.Required || !passwordMeets(d) && f.localCanMeet(d)
}

// goHalfway sends a browser whose password was right on to prove more.
func (h *Handler) goHalfway(w http.ResponseWriter, r *http.Request, login *Login, g goal, remember bool) error {
	half := halfway{ID: newHelperID(), Subject: login.Identity.Subject, User: login.Identity.User, Stamp: login.Stamp, At: login.AuthTime, AMR: login.AMR, Remember: remember, Goal: g}
	half.Goal.RD = shorter(g.RD, maxFlowRD-len(g.To)-g.Demand.size())
	value, err := h.seal(halfwayPurpose, hostOf(r), half, halfwayTTL)
	if err != nil {
		return fmt.Errorf("go on to the second factor: %w", err)
	}
	h.clearHelpers(w, r, halfwayKind) // one sign-in at a time: the last one counts
	h.setHelper(w, halfwayKind, half.ID, value, halfwayTTL)
	web.NoteOf(r.Context()).Decision = "second-factor"
	return redirect(w, http.StatusSeeOther, own(halfwayPath, "step", half.ID))
}

// halfwayOf returns the sign-in under way that a browser names by id. The error is the page of
// one that is over.
func (h *Handler) halfwayOf(r *http.Request, id string) (*halfway, error) {
	over := &web.Error{Status: http.StatusBadRequest, Code: "second_factor_over", Title: "That took too long",
		Detail: "Between the password and what else is asked for may be ten minutes, in one browser. Nobody was signed in.",
		Links:  []web.Link{{Text: "Sign in again", URL: own("login")}}}
	if !isHelperID(id) {
		return nil, over
	}
	value, ok := h.helperValue(r, halfwayKind, id)
	if !ok {
		return nil, over
	}
	half := new(halfway)
	if err := h.open(halfwayPurpose, hostOf(r), value, half); err != nil || half.ID != id || h.cfg.Now().Sub(half.At) > halfwayTTL {
		over.Err = err
		return nil, over
	}
	half.Goal.RD = ReturnTo(half.Goal.RD)
	return half, nil
}

// complete signs somebody in who has proven more than the password, by p.
func (h *Handler) complete(w http.ResponseWriter, r *http.Request, half *halfway, p Proof) error {
	login, err := h.finish(w, r, half, p)
	if err != nil {
		return err
	}
	return h.begun(w, r, login, half.Goal)
}

// finish is complete without the answer, for a page that comes first.
func (h *Handler) finish(w http.ResponseWriter, r *http.Request, half *halfway, p Proof) (*Login, error) {
	login, err := h.proven(w, r, half, p)
	if err == nil {
		err = h.beginSession(w, r, login, half.Remember)
	}
	if err != nil {
		return nil, err
	}
	h.clearHelper(w, halfwayKind, half.ID)
	return login, nil
}

// proven is the login of somebody halfway who has proven p besides, as long as the password that
// they came by is good.
func (h *Handler) proven(w http.ResponseWriter, r *http.Request, half *halfway, p Proof) (*Login, error) {
	login, err := h.cfg.Factors.Users.Proven(r.Context(), half.Subject, half.Stamp, half.At, p.with(half.AMR))
	if refused, ok := errors.AsType[*Refused](err); ok {
		h.clearHelper(w, halfwayKind, half.ID)
		return nil, &web.Error{Status: http.StatusForbidden, Code: "second_factor_refused", Title: "You are not signed in",
			Detail: "Your account was changed while you were signing in. Begin again.",
			Links:  []web.Link{{Text: "Sign in again", URL: half.Goal.at("login")}}, Err: refused}
	}
	return login, err
}
