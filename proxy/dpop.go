package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/dpop"
	"github.com/evergate/evergate/internal/inject"
	"github.com/evergate/evergate/internal/web"
)

// DPoP has a route send its token together with a proof that the session has the key
// which the token is bound to (RFC 9449 section 7). A DPoP belongs to one Route.
type DPoP struct {
	// URL is how the app knows itself, where that is not by the Host that it is sent: scheme,
	// host, and a path in front of those that it gets. Proofs name addresses below it.
	URL string

	base string // URL without a slash at its end
}

func (d *DPoP) prepare(r *Route, fault func(key, format string, args ...any)) {
	if d == nil {
		return
	}
	const at = "token.dpop"
	if r.Token.Kind != auth.AccessToken && r.Token.Kind != auth.Exchanged {
		fault(at, "a provider binds its access tokens alone; this route sends another token, or none")
	}
	if r.Bearer {
		fault(at, "a client's own token (bearer) is bound to the client's key, if to any: nothing here can prove that")
	}
	if r.Upstream == nil {
		fault(at, "a proof is for one request, as its app sees it: a proxy in front would have to make it")
	}
	is := func(name string) bool { return inject.Fold(name) == inject.Fold(dpop.Header) }
	if slices.ContainsFunc(r.PassHeaders, is) {
		fault("pass_headers", "DPoP is let through and is what the gateway proves the token with; keep one of the two")
	}
	if slices.ContainsFunc(r.up.lines, func(l *headerLine) bool { return is(l.name) }) || slices.ContainsFunc(r.up.removed, is) {
		fault("request_headers", "DPoP is set or removed and is what the gateway proves the token with; keep one of the two")
	}
	if d.URL == "" {
		return
	}
	u, err := url.Parse(d.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		fault("token.dpop_url", "%q is not how an app knows itself; write scheme://host, and a path in front if there is one", d.URL)
	}
	d.base = strings.TrimSuffix(d.URL, "/")
}

// boundToken is what goes up where a proof goes along. A session from before its provider
// was asked to bind tokens gets one by a renewal.
func boundToken(ctx context.Context, want auth.Wanted, login *auth.Login) (auth.Token, error) {
	if want == (auth.Wanted{}) && login.AccessToken.Key != nil {
		return login.AccessToken, nil // it was renewed, if that was due, when login was found
	}
	s := login.Session
	if s == nil {
		return auth.Token{}, nil
	}
	t, err := s.Token(ctx, want)
	if err != nil || t.Key != nil {
		return t, err
	}
	of, unbound := want, t
	if want.Kind == auth.Exchanged { // it is bound if what it is exchanged for is
		of = auth.Wanted{}
		if unbound, err = s.Token(ctx, of); err != nil {
			return auth.Token{}, err
		}
	}
	if _, err = s.Replace(ctx, of, unbound); err != nil {
		return auth.Token{}, err
	}
	if t, err = s.Token(ctx, want); err == nil && t.Key == nil {
		return auth.Token{}, &auth.Unavailable{What: "a token for this app",
			Err: errors.New("the session's token is bound to no key, and the route has token.dpop; whoever signs in anew gets one that is")}
	}
	return t, err
}

// proves reports whether a proof goes up with the request.
func (c *carriage) proves() bool { return c.route.DPoP != nil && c.token.Key != nil }

// prove returns req with the token and a proof for this one sending of it to t, and the
// nonce that is in that.
func (c *carriage) prove(req *http.Request, t *target) (proven *http.Request, nonce string, err error) {
	if last := t.nonce.Load(); last != nil {
		nonce = *last
	}
	token := c.token.Value.Reveal()
	proof, err := c.token.Key.Prove(dpop.Request{Method: req.Method, URL: c.route.DPoP.address(req, c, t), Token: token, Nonce: nonce, Time: c.gate.now()})
	if err != nil {
		return nil, "", err
	}
	bearer, ok := c.token.Bearer()
	if !ok {
		return nil, "", errors.New("the access token holds what cannot be in a header")
	}
	proven = req.WithContext(req.Context()) // a copy: a transport may still be at the header of the one before
	proven.Header = req.Header.Clone()
	proven.Header["Authorization"] = []string{"DPoP " + strings.TrimPrefix(bearer, "Bearer ")}
	proven.Header[dpop.Header] = []string{proof}
	return proven, nonce, nil
}

// address is that of a request, as its app knows it: by the Host that it is sent, at the
// scheme that the browser used where that Host is the browser's.
func (d *DPoP) address(req *http.Request, c *carriage, t *target) string {
	base := d.base
	if base == "" {
		scheme := c.scheme
		if u := c.route.Upstream; u.targetHost || u.host != "" {
			scheme = t.url.Scheme
		}
		base = scheme + "://" + req.Host
	}
	return base + req.URL.EscapedPath()
}

// sendProven sends req with a proof, and once more where t wants a nonce in it that it
// tells only now (RFC 9449 section 9): it has done nothing yet.
func (t *target) sendProven(req *http.Request, c *carriage) (*http.Response, error) {
	out := *req
	body := copyBody(&out)
	for challenged := false; ; challenged = true {
		proven, sent, err := c.prove(&out, t)
		if err != nil {
			return nil, err
		}
		res, err := t.sendOnce(proven, c)
		if err != nil {
			return nil, err
		}
		nonce := dpop.NonceOf(res.Header)
		if nonce != "" && nonce != sent {
			t.nonce.Store(&nonce)
		}
		if challenged || res.StatusCode != http.StatusUnauthorized || nonce == "" || nonce == sent || c.tokenChallenge(res.Header, dpop.NonceWanted) == nil {
			return res, nil
		}
		if body != nil {
			if out.Body, c.bodyGone = body.again(); c.bodyGone {
				return res, nil
			}
		}
		discard(res)
	}
}

// unproven is the answer in place of an app's 401 to a proof: what the browser could do
// about it is to ask again, at most.
func (c *carriage) unproven(res *http.Response) error {
	if !c.proves() {
		return nil
	}
	delete(res.Header, dpop.NonceHeader) // it was for the gateway
	if res.StatusCode != http.StatusUnauthorized {
		return nil
	}
	for _, code := range [...]string{dpop.NonceWanted, "invalid_dpop_proof"} {
		params := c.tokenChallenge(res.Header, code)
		switch {
		case params == nil:
		case code == dpop.NonceWanted && c.bodyGone:
			return &web.Error{Status: http.StatusServiceUnavailable, Code: "proof_again", Title: "Send that once more, please",
				Detail: "The app behind this address wanted a fresh proof from the gateway first. It gets one from now on, but what you sent did not get there: go back and send it once more.",
				Err:    errors.New("upstream wanted another nonce in the proof (DPoP) of a request whose body cannot be sent twice"), RetryAfter: time.Second}
		default:
			return &web.Error{Status: http.StatusBadGateway, Code: "upstream_proof", Title: "The app does not let the gateway in",
				Detail: "The app behind this address refused the proof that goes with your sign-in. You can do nothing about it: whoever runs the gateway has to look at token.dpop.",
				Err: fmt.Errorf("upstream answered 401 %s to the proof (DPoP), and says %.200q; compare how it knows itself with host and token.dpop_url, and the clocks",
					code, params["error_description"])}
		}
	}
	return nil
}
