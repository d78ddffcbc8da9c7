package auth

import (
	"context"
	"net/http"
	"time"

	"github.com/evergate/evergate/internal/dpop"
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
	// AccessToken is what goes upstream as a Bearer token (RFC 6750), or with a proof.
	AccessToken Token
	// RefreshToken gets the next access token (RFC 6749 section 6). It never
	// leaves the session. Empty where the provider gave none: see Until.
	RefreshToken secret.Text
	// Key is what the provider binds the session's access tokens to (DPoP, RFC 9449). Nil
	// where it is not asked to. It never leaves the session.
	Key *dpop.Key
	// IDToken is the provider's ID token as it came, for signing out there, and
	// empty for local users.
	IDToken secret.Text
	// SID is the provider's own name of its session with the browser (OIDC
	// Back-Channel Logout 1.0 section 2.1, "sid"), or "".
	SID string
	// Resources are access tokens for single resources (RFC 8707), by resource.
	// Nil is none yet. Like all else here the map is never edited.
	Resources map[string]Token
	// Until ends the session, by the gateway's clock: a provider that gives no
	// refresh token leaves nothing to renew with. Zero is no such end.
	Until time.Time
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
	// Key is what it is bound to: a server that looks takes it with a proof of that key
	// alone (RFC 9449 section 7.1). Nil is a Bearer token.
	Key *dpop.Key

	bearer *string // see Ready
}

// Session is what the rest of the house may ask of the session behind a Login.
type Session interface {
	// ID names the session in logs and pages. It is a digest: it opens nothing.
	ID() string
	// Deliver puts the cookies that the browser is due into h. It is called once,
	// when the response headers go out and not before: whether a handle is due
	// is decided then.
	Deliver(ctx context.Context, h http.Header)
	// Due reports whether Deliver has a cookie for the browser. It is for answers that
	// carry none, because a proxy in front of the gateway gives them: a person who opens a
	// page can be sent to fetch it. It goes on being due until it comes back: whoever
	// sends people has to see to it that nobody goes round for ever.
	Due() bool
	// Attend keeps a long-lived response (a WebSocket, an event stream) honest
	// until ctx ends: the access token is renewed when due, and the returned
	// context ends as soon as the session does, or as soon as allowed, asked
	// again after each renewal, returns an error. Activity tells of bytes from
	// the client, which move the idle clock.
	Attend(ctx context.Context, allowed func(*Login) error) (attended context.Context, activity func())
	// Times says when the session ends.
	Times() Times
	// Bound reports whether the session is bound to a key of the browser on this host, so
	// that a request with a copy of its cookie would not have come so far.
	Bound() bool
	// Unconfirmed reports whether the host at hand should be handed the session once
	// more, when a person can be sent round for that. Always false on the host that they
	// signed in at.
	Unconfirmed() bool
	// Token returns the token that a route wants sent upstream, getting or
	// renewing it first where that is due. The error is a *Unavailable, or a
	// *Absent if the session ended.
	Token(ctx context.Context, want Wanted) (Token, error)
	// Replace is Token for a caller whose upstream refused what Token gave: it
	// forces one renewal for each refused token, unless somebody has replaced it
	// already, and returns the token of then. It returns refused itself where
	// nothing better is to be had.
	Replace(ctx context.Context, want Wanted, refused Token) (Token, error)
	// Kept returns what Keep kept under name and its version, or nothing and version
	// 0. It is no older than version atLeast, unless that is lost, and what is kept now
	// for Newest; otherwise it may be of 100 ms ago. The caller does not edit the bytes.
	// The error is a *Unavailable, or a *Absent if the session ended.
	Kept(ctx context.Context, name string, atLeast uint64) (value []byte, version uint64, err error)
	// Keep keeps up to MaxKept bytes with the session, for as long as that lives and
	// no longer: sealed, so that nobody reads it who has not the session's cookie. It
	// raises the version by one, where that is still the one given; otherwise it
	// changes nothing and returns ErrChanged. Other errors are those of Kept.
	Keep(ctx context.Context, name string, value []byte, version uint64) error
}

// MaxKept is how much a session keeps under one name, in bytes.
const MaxKept = 16 << 10

// TokenKind is what a route wants behind "Bearer ".
type TokenKind int

const (
	// AccessToken is the provider's access token, or that of local users.
	AccessToken TokenKind = iota
	// IDToken is the provider's ID token. Local users have none.
	IDToken
	// Minted is a JWT that the gateway signs from the session's claims, so that
	// an upstream needs one verifier for people of every provider.
	Minted
	// NoToken sends none.
	NoToken
	// Exchanged is an access token that the provider gives for the session's own
	// (RFC 8693), for one audience.
	Exchanged
)

// Wanted says which token a route wants. The zero value is the access token as
// the sign-in gave it.
type Wanted struct {
	Kind TokenKind
	// Resource asks for an access token for one resource (RFC 8707), "" for none
	// in particular.
	Resource string
	// Audience is that of a Minted token, where "" is the configured one, or of an
	// Exchanged one.
	Audience string
	// Scope is asked for an Exchanged token, names with spaces between them; "" is
	// what the provider gives by itself.
	Scope string
}

// Times are the ends of a session, by the gateway's clock.
type Times struct {
	// Ends is when max_lifetime is over.
	Ends time.Time
	// IdleEnds is when the session ends if nobody uses it any more.
	IdleEnds time.Time
	// Renews is when the access token is due for renewal.
	Renews time.Time
	// Remembered says that it outlives the closing of the browser.
	Remembered bool
}

// Authenticator finds the Login behind a request.
//
// The error is a *Absent (errors.Is ErrAnonymous) when nobody is signed in, a
// *Unavailable when that cannot be told or served now, and a *Detour when the
// browser has to come once more before it can be told. They are never mixed:
// an outage is never "signed out". A request with WithGlance uses no session: its
// Login may hold a token that has run out.
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
	// EndAll ends every session that was signed in at provider by subject, or
	// under its sid; an empty one of the two does not count, and of two given both
	// must hold. It returns how many it ended.
	EndAll(ctx context.Context, provider, subject, sid string) (int, error)
}

// Handovers let a session that was begun on one host of the gateway be used on another.
type Handovers interface {
	// Send makes a code that stands for the session of login, once, for 30 s, on host,
	// and for whoever has the verifier of which challenge is the SHA-256 (RFC 7636
	// section 4.2). The error is a *Unavailable if the store is out of order.
	Send(ctx context.Context, login *Login, host string, challenge []byte) (code string, err error)
	// Receive redeems a code on the host that r is for, and adds the cookie of that host
	// to h. The code is used up whatever comes of it, but for a *Unavailable. The error is a *Refused for a code that is used, over, foreign or for another
	// browser or host, a *Absent if the session ended meanwhile, or a *Unavailable.
	Receive(h http.Header, r *http.Request, code, verifier string) (*Login, error)
	// Mark names the session of login for EndMarked. It opens nothing, and is sealed
	// wherever it goes.
	Mark(login *Login) string
	// EndMarked ends a session as Sessions.End does, without its cookie. It returns the
	// Login if that is known here. The error is a *Unavailable.
	EndMarked(ctx context.Context, mark string) (*Login, error)
}

// Minter signs access tokens. token.Issuer is one.
type Minter interface {
	// Mint signs an access token for login and audience; "" is the configured
	// audience.
	Mint(ctx context.Context, login *Login, audience string) (Token, error)
}

// Refresher renews a Login without the person: it reads the claims again and
// gets a new access token, for one resource (RFC 8707) where that is not "".
//
// A *Refused ends the session. A *Unavailable keeps it for as long as that
// lasts; every other error keeps it until max_stale past the token's expiry. A
// refresh token that came with any answer is in the Login that is returned, so
// an answer that was good in part comes without an error.
type Refresher interface {
	Refresh(ctx context.Context, login *Login, resource string) (*Login, error)
}

// Exchanger gets tokens for other audiences (RFC 8693).
type Exchanger interface {
	// Exchange gets one for the access token of login. The error is a *Unavailable
	// where the provider does not answer; any other says that it does not give it.
	Exchange(ctx context.Context, login *Login, audience, scope string) (Token, error)
}

// Revoker tells a provider that the tokens of a Login are not needed any more
// (RFC 7009). An error changes nothing here: the session is over all the same.
type Revoker interface {
	Revoke(ctx context.Context, login *Login) error
}

// LogoutURLer signs people out at a provider too (OIDC RP-Initiated Logout 1.0).
type LogoutURLer interface {
	// LogoutURL returns where to send the browser, which comes back to returnTo
	// with state; "" where the provider offers nothing of the kind.
	LogoutURL(ctx context.Context, login *Login, returnTo, state string) (string, error)
}

// LogoutTokens reads the tokens by which a provider says that a session is over
// (OIDC Back-Channel Logout 1.0).
type LogoutTokens interface {
	// LogoutToken checks raw and says whose sessions are over; one of the two may
	// be "". The error is a *Refused, or a *Unavailable.
	LogoutToken(ctx context.Context, raw string) (subject, sid string, err error)
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
