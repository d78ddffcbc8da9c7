package auth

import (
	"errors"
	"net/http"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// ErrAnonymous reports that a request has no live session. See [Absent].
var ErrAnonymous = errors.New("nobody is signed in")

// ErrChanged reports that somebody else has changed a thing meanwhile. Read it
// again.
var ErrChanged = errors.New("it was changed by somebody else meanwhile")

// Why a request has no live session.
const (
	NoCookie  = "no-cookie" // the browser brought none
	Damaged   = "damaged"   // it brought one that does not open
	Duplicate = "duplicate" // it brought more than one
	Ended     = "ended"     // signed out, revoked or over, and forgotten
	Idle      = "idle"      // unused for longer than idle_timeout
	Over      = "over"      // older than max_lifetime
	Withdrawn = "withdrawn" // the provider said no: disabled, password changed, grant revoked
	Theft     = "theft"     // a spent handle was proven to be in a cookie jar
	Elsewhere = "elsewhere" // signed out at the provider, or from another device
	Operator  = "operator"  // signed out by whoever runs the gateway
	Stale     = "stale"     // the access token ran out long ago and could not be renewed

	// OtherDevice: the session is bound to a key, and the request came without the proof of it.
	OtherDevice = "device"
	// Suspected: the session lives, and goes on after a fresh sign-in alone: somebody else may
	// have its cookie.
	Suspected = "suspected"
	// ChangedBrowser and ParallelUse: it was used in a way that ended it, see event.ChangedBrowser
	// and event.ParallelUse.
	ChangedBrowser = "changed_browser"
	ParallelUse    = "parallel_use"
	// Unconfirmed: the session lives, and has to be handed to this host once more.
	Unconfirmed = "unconfirmed"
	// Insufficient: the session lives, and the rule of the page asks for a fresher or a
	// stronger sign-in (RFC 9470).
	Insufficient = "insufficient"
)

// Absent says that a request has no live session, and why.
type Absent struct {
	// Reason is one of the constants above.
	Reason string
	// Silent names a provider that may sign the person in again without a word: it
	// gave no refresh token, so that the session ended with its token.
	Silent string
	// Clear are cookies that the answer should delete.
	Clear []*http.Cookie
	// Demand is what the page asks of the sign-in that is to come; nil is nothing.
	Demand *Demand
	// Login is who is signed in, where that is not enough.
	Login *Login
}

func (a *Absent) Error() string {
	if a.further() {
		return "a further sign-in is needed: " + a.Demand.String()
	}
	return "nobody is signed in: " + a.Reason
}

// further reports whether the session lives, and it is another sign-in that is asked for.
func (a *Absent) further() bool {
	return (a.Reason == Insufficient || a.Reason == Suspected) && a.Demand != nil
}

func (a *Absent) Is(target error) bool { return target == ErrAnonymous }

// Unavailable says that something needed is out of order for now: a store, a
// provider, a renewal. Nothing is lost by it, and it never means "signed out".
type Unavailable struct {
	// What is out of order, in words fit for a page, such as "the session store", or a
	// name (web.Verbatim).
	What web.Message
	// RetryAfter is when to come again. Zero means soon, unknown when.
	RetryAfter time.Duration
	Err        error
}

// TheRenewal is What of an Unavailable that somebody meets who is signed in.
const TheRenewal web.Message = "the renewal of your sign-in"

func (u *Unavailable) Error() string {
	if u.Err == nil {
		return string(u.What) + " is unavailable"
	}
	return string(u.What) + " is unavailable: " + u.Err.Error()
}
func (u *Unavailable) Unwrap() error { return u.Err }

// Detour says that the request must come again before it can be served: its
// handle is spent, and whether the browser still holds it shows only when the
// browser attaches its cookies anew. It is answered 307 to the same URL with
// Cookies set; an upgrade, which cannot be redirected, with 503.
type Detour struct {
	Cookies []*http.Cookie
}

func (*Detour) Error() string { return "the request must come again with the cookies of now" }

// Refused is a clear no about a person or their credentials. It ends what it
// is about, and trying again does not help.
type Refused struct {
	// Reason is for logs, never for the page: "no such user", "wrong password",
	// "disabled".
	Reason string
	// Here says that it is what this gateway knows, and that another one which shares
	// its sessions may know better: a list that has not come here yet. It ends nothing
	// that others would serve.
	Here bool
	// Code is the error code that a provider gave (RFC 6749 sections 4.1.2.1 and
	// 5.2), such as "access_denied", or "".
	Code string
	// Event is the reason in the event that tells of it, or "" for the usual one.
	Event string
}

func (r *Refused) Error() string { return "refused: " + r.Reason }

// Throttled says that too many attempts failed lately.
type Throttled struct {
	// RetryAfter is when the next attempt will be looked at.
	RetryAfter time.Duration
	// ForGood says that none is, until the operator has seen to it.
	ForGood bool
}

func (*Throttled) Error() string { return "too many failed attempts" }
