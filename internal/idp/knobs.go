package idp

import (
	"net/url"
	"time"
)

// Knobs are ways to be a bad provider. The zero value is a good one.
type Knobs struct {
	// Down answers 503 everywhere.
	Down bool
	// TokenStatus and TokenError are the token endpoint's answer, if set, with
	// RetryAfter. OnlyRefresh has this and what follows spare sign-ins.
	TokenStatus int
	TokenError  string
	RetryAfter  string
	OnlyRefresh bool
	// Delay answers late, with the grant made; DelayBefore makes it late.
	Delay, DelayBefore time.Duration
	// Drop closes the connection once the grant is made; DropBefore before that.
	Drop, DropBefore bool
	// Hang never answers.
	Hang bool
	// TokenBody is the answer in place of the tokens, with TokenType as its
	// content type.
	TokenBody, BodyType string
	// Redirect sends the client elsewhere.
	Redirect string
	// Omit leaves members of the token answer out; Set puts others in.
	Omit []string
	Set  map[string]any
	// NoRefreshTokens gives none; NoRotation keeps the one there is, unsaid.
	NoRefreshTokens, NoRotation bool
	// Subject is in the ID tokens of renewals.
	Subject string
	// Skew is added to every time in a token.
	Skew time.Duration
	// IDToken changes header and claims before signing; Sign takes its place.
	IDToken func(header, claims map[string]any)
	Sign    func(header, claims map[string]any) string
	// Metadata and Keys change what is published.
	Metadata, Keys func(map[string]any)
	KeysStatus     int
	// UserinfoStatus and Userinfo are userinfo's answer; SignUserinfo signs it.
	UserinfoStatus int
	Userinfo       map[string]any
	SignUserinfo   bool
	// AuthorizeError is what the browser brings back.
	AuthorizeError string
	// Iss is the iss parameter; "none" leaves it out.
	Iss string
}

// Stats are what was counted, and what came last.
type Stats struct {
	Discoveries, KeyFetches, Authorizations, Pushed int
	TokenRequests                                   int
	Codes, Refreshes                                int // grants that were made
	Refused, Reuses                                 int
	Revocations, Userinfos, Logouts, Backchannels   int
	// MostRefreshing is how many refreshes of one grant were under way at once.
	MostRefreshing int
	// LastAuthorize and LastToken are parameters as they came; LastBasic says
	// that there were Basic credentials.
	LastAuthorize, LastToken url.Values
	LastBasic                bool
}
