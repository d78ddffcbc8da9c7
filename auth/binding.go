package auth

import (
	"context"
	"errors"
	"net/http"

	"github.com/evergate/evergate/internal/web"
)

// Bindings tie the sessions of browsers to keys that cannot be copied (see package bound).
// What is bound is the session on one host, as a cookie belongs to one. The errors are a
// *Absent where the request brings no session, a *Unavailable, and those that are named.
type Bindings interface {
	// Binding is that of the session behind r. Its ID is "" where there is none.
	Binding(r *http.Request) (Binding, error)
	// Offer returns what the browser behind r is to sign with a key that it makes, or "" where
	// the session is bound already, or not to be bound any more: that is for the moment after
	// the sign-in, or whoever copies a cookie later could bind it to a key of theirs, and
	// the one who signed in would be the one without the proof.
	Offer(r *http.Request) (string, error)
	// Challenge returns what the browser behind r, whose session is bound, is to sign next:
	// it is for that session and host, and for five minutes.
	Challenge(r *http.Request) (string, error)
	// Bind ties the session to key, whose holder has signed challenge, and puts the first
	// bound cookie into header. The error is a *Refused if the challenge is not one for
	// this session, or if Offer would have none.
	Bind(header http.Header, r *http.Request, key, challenge string) (Binding, error)
	// Prove puts the next bound cookie into header, for a browser whose key has signed
	// challenge. The error is a *Refused if the challenge is not one for this session.
	Prove(header http.Header, r *http.Request, challenge string) error
}

// Binding is what a session is bound to on one host.
type Binding struct {
	// ID names it to the browser. It opens nothing.
	ID string
	// Key is the public key, as Bind got it.
	Key string
	// Cookie is the name of the bound cookie, and Attributes are those that it is set with,
	// without its lifetime.
	Cookie, Attributes string
}

// DeviceKeys has browsers make and prove such keys. A bound.Handler is one.
type DeviceKeys interface {
	// Offer puts into header what has the browser behind r make a key, where its session may
	// be bound to one, and reports whether it did.
	Offer(header http.Header, r *http.Request) (offered bool)
	// Register and Refresh answer browsers.
	Register(w http.ResponseWriter, r *http.Request) error
	Refresh(w http.ResponseWriter, r *http.Request) error
}

// mayYetProve reports whether nobody is signed in for want of a proof that the browser was not
// to give: Chromium proves no key for what a page of another origin leads to (the draft's
// allowed_refresh_initiators), such as a link in a mail.
func mayYetProve(r *http.Request, err error) bool {
	absent, ok := errors.AsType[*Absent](err)
	return ok && absent.Reason == OtherDevice && r.Method == http.MethodGet && web.IsNavigation(r) && web.IsFromElsewhere(r)
}

// proveFirst is a page that leads to itself once more. It is of this origin, so that the browser
// proves the key for that; if it cannot, it comes from here all the same, and there is no loop.
func (h *Handler) proveFirst(w http.ResponseWriter, r *http.Request, v *loginView) error {
	web.NoteOf(r.Context()).Decision = "login"
	again := r.URL.RequestURI()
	return h.pages["proving"].Write(w, r, http.StatusOK, web.Page{
		Title: "One moment", Data: provingView{again, v.RD},
		Script: scriptURL, Header: http.Header{"Refresh": {"1; url=" + again}},
	})
}

type unboundKey struct{}

// WithoutBinding returns a context for a request that a bound session serves although it
// brings no proof of its key.
func WithoutBinding(ctx context.Context) context.Context {
	return context.WithValue(ctx, unboundKey{}, true)
}

// NeedsBinding reports whether ctx is not from WithoutBinding.
func NeedsBinding(ctx context.Context) bool { return ctx.Value(unboundKey{}) == nil }
