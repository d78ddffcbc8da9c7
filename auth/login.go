package auth

import (
	"context"
	"net/http"
	"time"

	"github.com/evergate/evergate/internal/secret"
)

// Login is one successful sign-in: who, how and when it was proven, and the
// tokens it gave. It is the one value that flows through the whole gateway.
// A Login is never edited once it is handed out; a renewal makes a new one.
type Login struct {
	// Identity is who signed in, as of the last renewal.
	Identity Identity
	// AuthTime is when the person last proved who they are (OIDC Core
	// section 2, "auth_time").
	AuthTime time.Time
	// AMR are the methods of that proof, such as "pwd" (RFC 8176).
	AMR []string
	// ACR is the authentication context class, or "".
	ACR string
	// AccessToken is what goes upstream as a Bearer token (RFC 6750).
	AccessToken Token
	// Stamp is a private mark of the method that signed the person in. A local
	// login holds a digest of the password hash there, so that a changed
	// password shows.
	Stamp string

	// Session is the live session behind the login, or nil where there is none.
	Session Session
}

// Token is an access token and its life.
type Token struct {
	Value secret.Text
	// Issued and Expires are by the gateway's clock.
	Issued, Expires time.Time
}

// Session is what the rest of the house may ask of the session behind a Login.
type Session interface {
	// ID names the session in logs and pages. It is a digest: it opens nothing.
	ID() string
	// Deliver puts the cookies that the browser is due into h. It is called once,
	// when the response headers go out and not before: whether a handle is due
	// is decided then.
	Deliver(ctx context.Context, h http.Header)
	// Attend keeps a long-lived response (a WebSocket, an event stream) honest
	// until ctx ends: the access token is renewed when due, and the returned
	// context ends as soon as the session does, or as soon as allowed, asked
	// again after each renewal, returns an error. Activity tells of bytes from
	// the client, which move the idle clock.
	Attend(ctx context.Context, allowed func(*Login) error) (attended context.Context, activity func())
	// Times says when the session ends.
	Times() Times
}

// Times are the ends of a session, by the gateway's clock.
type Times struct {
	// Ends is when max_lifetime is over.
	Ends time.Time
	// IdleEnds is when the session ends if nobody uses it any more.
	IdleEnds time.Time
	// Renews is when the access token is due for renewal.
	Renews time.Time
}

// Authenticator finds the Login behind a request.
//
// The error is a *Absent (errors.Is ErrAnonymous) when nobody is signed in, a
// *Unavailable when that cannot be told or served now, and a *Detour when the
// browser has to come once more before it can be told. They are never mixed:
// an outage is never "signed out".
type Authenticator interface {
	Authenticate(r *http.Request) (*Login, error)
}

// Sessions is what the sign-in and sign-out pages need of sessions.
type Sessions interface {
	Authenticator
	// Begin starts a session under a fresh id for login and adds its cookie to
	// h. A session that r brings stops working, so a cookie that was planted
	// before sign-in is worth nothing after it. Remember asks for a cookie that
	// outlives the browser. The error is a *Unavailable if the store is.
	Begin(h http.Header, r *http.Request, login *Login, remember bool) error
	// End ends the session that r brings, on every replica and for renewals in
	// flight too, and clears its cookie in h. It returns the ended Login, or nil
	// if r brought none. On a *Unavailable the cookie is not cleared: the session
	// lives on.
	End(h http.Header, r *http.Request) (*Login, error)
}

// Minter signs access tokens. token.Issuer is one.
type Minter interface {
	// Mint signs an access token for login and audience; "" is the configured
	// audience.
	Mint(ctx context.Context, login *Login, audience string) (Token, error)
}

// Refresher renews a Login without the person: it reads the claims again and
// gets a new access token. A *Refused ends the session; every other error keeps
// it and is tried again.
type Refresher interface {
	Refresh(ctx context.Context, login *Login) (*Login, error)
}

// Checker tells at once, without any round trip, whether a Login still stands.
// It is asked on every request. The error is nil or a *Refused.
type Checker interface {
	Check(login *Login) error
}

// Sealer seals small values that travel through the browser. Purpose and host
// are bound in: what was sealed for one opens for no other.
type Sealer interface {
	// Seal returns a cookie-safe string that opens until ttl has passed.
	Seal(purpose, host string, plain []byte, ttl time.Duration) (string, error)
	// Open returns what was sealed, or an error if it is damaged, foreign or over.
	Open(purpose, host, sealed string) ([]byte, error)
}
