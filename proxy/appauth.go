package proxy

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/inject"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/internal/web"
)

// Secret gives a secret as it is now: it may change while the gateway runs.
type Secret func() (secret.Text, error)

// Basic signs every request in at the app by HTTP Basic (RFC 7617), in UTF-8. It
// takes the place of the token.
type Basic struct {
	// User is who the app is told it is; it may hold the placeholders of
	// [inject.Words].
	User string
	// Password is that user's.
	Password Secret

	user []inject.Part
}

// APIKey sends a key of the gateway's with every request.
type APIKey struct {
	// Header is its name. Authorization takes the place of the token.
	Header string
	// Prefix is put in front of the key, such as "Token ".
	Prefix string
	// Key is the key.
	Key Secret
}

// prepareSignIn checks how r signs in at its app, and makes it ready.
func (r *Route) prepareSignIn(fault func(key, format string, args ...any)) {
	ways := 0
	for _, there := range []bool{r.Basic != nil, r.APIKey != nil, r.Form != nil} {
		if there {
			ways++
		}
	}
	if ways > 1 {
		fault("upstream_auth", "want one of basic, api_key and form, got %d", ways)
		return
	}
	switch {
	case r.Basic != nil:
		parts, err := inject.Parse(r.Basic.User)
		if err != nil {
			fault("upstream_auth.basic.user", "%q: %s", r.Basic.User, err)
		}
		r.Basic.user = parts
		r.reserve("Authorization", "upstream_auth.basic", fault)
	case r.APIKey != nil:
		name := r.APIKey.Header
		why := inject.RequestRefusal(name)
		switch {
		case !isHeaderName(name):
			fault("upstream_auth.api_key.header", "%q is no header name of 1 to %d bytes", name, inject.MaxName)
		case why != "" && inject.Fold(name) != "authorization":
			fault("upstream_auth.api_key.header", "%s is not a route's to set: %s", name, why)
		}
		r.reserve(name, "upstream_auth.api_key.header", fault)
	case r.Form != nil:
		r.Form.prepare(r, fault)
	}
}

// reserve keeps a header for what the gateway signs in with.
func (r *Route) reserve(name, key string, fault func(key, format string, args ...any)) {
	name = http.CanonicalHeaderKey(name)
	if inject.Fold(name) == "authorization" {
		if r.Token != (auth.Wanted{}) && r.Token.Kind != auth.NoToken || r.Bearer {
			fault(key, "it is sent in Authorization, and so would a token be; use token: { type: none } and no bearer")
		}
		r.Token = auth.Wanted{Kind: auth.NoToken}
	}
	same := func(n string) bool { return inject.Fold(n) == inject.Fold(name) }
	own := slices.Concat(slices.Collect(maps.Keys(r.RequestHeaders.Set)), slices.Collect(maps.Keys(r.RequestHeaders.Add)), r.RequestHeaders.Remove)
	switch {
	case slices.ContainsFunc(r.PassHeaders, same):
		fault("pass_headers", "%s is let through and is what the gateway signs in with; keep one of the two", name)
	case slices.ContainsFunc(own, same):
		fault("request_headers", "%s is set or removed and is what the gateway signs in with; keep one of the two", name)
	}
	r.credential = name
}

// credentialOf is what the route signs c in with: one header, or none.
func (c *carriage) credentialOf() (value string, err *web.Error) {
	r := c.route
	switch {
	case r.Basic == nil && r.APIKey == nil:
		return "", nil
	case c.login == nil && (!r.Policy.Public || r.Basic != nil):
		return "", nil // a preflight, and nobody in particular
	case r.APIKey != nil:
		key, err := r.APIKey.Key()
		if err == nil && !inject.IsPlain(key.Reveal()) {
			err = errors.New("it cannot be a header: it is too long, or holds a control character")
		}
		if err != nil {
			return "", noSecret(err)
		}
		return r.APIKey.Prefix + key.Reveal(), nil
	}
	user, ok := fillIn(r.Basic.user, c)
	if !ok || user == "" || strings.Contains(user, ":") || !inject.IsPlain(user) {
		return "", noAppUser(user)
	}
	password, failed := r.Basic.Password()
	if failed == nil && (!utf8.ValidString(password.Reveal()) || strings.ContainsFunc(password.Reveal(), inject.IsControl)) {
		failed = errors.New("HTTP Basic cannot carry it: it is not UTF-8, or holds a control character")
	}
	if failed != nil {
		return "", noSecret(failed)
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password.Reveal())), nil
}

// noSecret answers where the file with a password or key cannot be used.
func noSecret(err error) *web.Error {
	return &web.Error{Status: http.StatusBadGateway, Code: "no_upstream_secret", Title: "The app cannot be signed in to",
		Detail: "The gateway has no usable password or key for the app behind this address. Whoever runs the gateway finds the reason in its log.",
		Err:    err}
}

// noAppUser answers somebody whom the app cannot be told.
func noAppUser(user string) *web.Error {
	why, cause := web.Message("Your sign-in gives no name for the app behind this address. Whoever runs the gateway can mend that."), "upstream_auth: no placeholder of user may be without a value"
	if user != "" {
		why = "The name that your sign-in gives for the app behind this address cannot be used there: it holds a colon or a control character. Whoever runs the gateway can mend that."
		cause = "upstream_auth: the user name holds a colon or a control character"
	}
	return &web.Error{Status: http.StatusForbidden, Code: "no_upstream_user", Title: "The app cannot be told who you are",
		Detail: why, Err: errors.New(cause)}
}

// fillIn fills in what stands in a template, for the app alone: separators of lists
// mean nothing in it. It is "" where any part has no value.
func fillIn(parts []inject.Part, c *carriage) (value string, ok bool) {
	var b strings.Builder
	for _, p := range parts {
		s, ok := partValue(p, c)
		if !ok {
			return "", false
		}
		if s == "" {
			return "", true
		}
		b.WriteString(s)
	}
	return b.String(), true
}

// signsIn reports whether the gateway signs in at the app of r.
func (r *Route) signsIn() bool { return r.Basic != nil || r.APIKey != nil || r.Form != nil }

// refusedCredentials is the answer in place of an app's 401 to what the gateway signs
// in with: a browser would ask its person for a password that is none of theirs.
func refusedCredentials() *web.Error {
	return &web.Error{Status: http.StatusBadGateway, Code: "upstream_credentials", Title: "The app does not let the gateway in",
		Detail: "The app behind this address refused what the gateway signs in with. You can do nothing about it: whoever runs the gateway has to look at upstream_auth.",
		Err:    errors.New("upstream answered 401 to the credentials of upstream_auth")}
}
