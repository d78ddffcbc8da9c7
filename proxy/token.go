package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/evergate/evergate/auth"
)

// errInvalidToken reports a client's own token that is not taken.
var errInvalidToken = errors.New("the client's token is not valid")

// clientToken authenticates r by the token that it brings itself (RFC 6750
// section 2.1), on routes that take one. Asked is false where it brings none. A
// token and a session never mix: whoever brings a token is not looked up by
// cookie, and a bad one is not made good by a session.
func (g *Gate) clientToken(r *http.Request, route *Route) (login *auth.Login, asked bool, err error) {
	if !route.Bearer || g.Bearer == nil {
		return nil, false, nil
	}
	lines := r.Header["Authorization"]
	if len(lines) == 0 {
		return nil, false, nil
	}
	if scheme, _, _ := strings.Cut(lines[0], " "); len(lines) == 1 && !strings.EqualFold(scheme, "Bearer") {
		return nil, false, nil
	}
	login, err = g.Bearer.Authenticate(r)
	switch {
	case err == nil && login == nil:
		err = errors.New("the authenticator gave neither login nor error")
	case errors.Is(err, auth.ErrAnonymous):
		err = errInvalidToken // there is one, and it is not one that can be read
	}
	return login, true, err
}

// token is what goes upstream behind "Bearer ", or with a proof, as the route wants it.
func (g *Gate) token(ctx context.Context, route *Route, login *auth.Login) (auth.Token, error) {
	want := route.Token
	switch {
	case login == nil || want.Kind == auth.NoToken:
		return auth.Token{}, nil
	case route.DPoP != nil:
		return boundToken(ctx, want, login)
	case want == auth.Wanted{}:
		return login.AccessToken, nil // it was renewed, if that was due, when login was found
	case login.Session != nil:
		return login.Session.Token(ctx, want)
	case want.Kind == auth.AccessToken: // the client's own, for the audience it has
		return login.AccessToken, nil
	case want.Kind == auth.Minted && g.Minter != nil:
		t, err := g.Minter.Mint(ctx, login, want.Audience)
		if err != nil {
			return t, &auth.Unavailable{What: "the gateway's own tokens", Err: err}
		}
		return t, nil
	}
	return auth.Token{}, nil
}

// replay is a transport that takes an upstream at its word: one that says that
// the token is not valid gets the request once more, with a new one. The token
// may have been revoked, or the clocks may disagree; nobody has to sign in again
// to find out.
type replay struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t replay) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.RoundTripper.RoundTrip(req)
	if err != nil || res.StatusCode != http.StatusUnauthorized {
		return res, err
	}
	c := carriageOf(req)
	if !c.saysInvalidToken(res.Header) {
		return res, nil
	}
	sent := c.token.Value
	if c.login == nil || c.login.Session == nil || sent.IsZero() {
		return res, nil
	}
	fresh, err := c.login.Session.Replace(req.Context(), c.route.Token, c.token)
	bearer, ok := fresh.Bearer()
	if err != nil || !ok || fresh.Value.Reveal() == sent.Reveal() || c.route.DPoP != nil && fresh.Key == nil {
		return res, nil
	}
	again := onceMore(req)
	if again == nil {
		return res, nil // the body has gone by; the next request has the new token
	}
	discard(res)
	if c.token = fresh; !c.proves() {
		again.Header["Authorization"] = []string{bearer}
	}
	c.log.DebugContext(req.Context(), "the upstream refused the access token; it was renewed and the request sent again",
		"event", "token.replaced", "request_id", c.note.ID, "route", c.route.label)
	return t.RoundTripper.RoundTrip(again)
}

// onceMore is req to be sent a second time, or nil where its body has gone by.
func onceMore(req *http.Request) *http.Request {
	next := req.Clone(req.Context())
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		return next
	case req.GetBody == nil:
		return nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil
	}
	next.Body = body
	return next
}

// discard lets go of an answer that is not wanted. A little of it is read so that the
// connection can be used again; a long one is not worth it.
func discard(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10)
	_ = res.Body.Close()
}

// saysInvalidToken reports whether a challenge says that the token was the
// reason (RFC 6750 section 3.1), rather than that there is none or that it is
// good for less.
func (c *carriage) saysInvalidToken(h http.Header) bool {
	return c.tokenChallenge(h, "invalid_token") != nil
}
