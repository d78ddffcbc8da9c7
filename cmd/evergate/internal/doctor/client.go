package doctor

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/config"
)

// callback is the redirect URI of a provider.
func (p *Patient) callback(o *config.OIDC) string {
	return p.Config.PublicURL.String() + "/.evergate/callback/" + o.Name
}

func (p *Patient) flow(o *config.OIDC, redirectURI string) auth.Flow {
	return auth.Flow{State: "evergate-doctor-" + rand.Text(), Nonce: rand.Text(), Verifier: rand.Text() + rand.Text(),
		RedirectURI: redirectURI, Started: p.Now()}
}

// client redeems a code that nobody gave. A client is authenticated before its code is
// looked at (RFC 6749 section 5.2), so what is wrong is told by which of the two is.
func (p *Patient) client(ctx context.Context, o *config.OIDC, m *oidc.Method) Finding {
	f := Finding{OK, "provider.client", o.Name, "", ""}
	_, err := m.Complete(ctx, p.flow(o, p.callback(o)), url.Values{"code": {"evergate-doctor-" + rand.Text()}, "iss": {o.Issuer}})
	if refused, ok := errors.AsType[*auth.Refused](err); ok {
		switch {
		case refused.Code == "invalid_grant":
			f.Text = fmt.Sprintf("client %q is known with %s: a made-up code gets invalid_grant", o.ClientID, o.ClientAuth)
		case refused.Code == "invalid_request" && o.Kind == oidc.KindDex:
			f.Text = fmt.Sprintf("client %q is known with %s: a made-up code gets Dex's invalid_request", o.ClientID, o.ClientAuth)
		case refused.Code == "unsupported_grant_type":
			f.Status, f.Text, f.Mend = Fail, "the client is known, and may not use the code flow", "allow authorization_code for this client there"
		default:
			f.Status = Skip
			f.Text = "it cannot be told: with a made-up code " + refused.Reason + ", which may come before the client is looked at"
			f.Mend = "sign in once: evergate doctor --sign-in=" + o.Name
		}
		return f
	}
	f.Status = Fail
	if e, ok := errors.AsType[*oidc.Error](err); ok {
		f.Text = "the token endpoint refuses the client: " + e.Error()
		switch {
		case e.Status >= 500 || e.Status == http.StatusTooManyRequests:
			f.Text, f.Mend = "the token endpoint is in trouble: "+e.Error(), "try again later; if it stays, look into the provider's log"
		case e.Code == "unauthorized_client":
			f.Mend = "allow the authorization code flow for this client there"
		case o.ClientAuth == "private_key_jwt":
			f.Mend = "compare client_id, and register the public half of client_key_file there: the gateway publishes it at " +
				p.Config.PublicURL.String() + "/.evergate/client-jwks/" + o.Name
		default:
			f.Mend = "compare client_id, client_auth and the secret with what is registered there, and whether the secret has expired"
		}
		return f
	}
	f.Text, f.Mend = fmt.Sprintf("the token endpoint cannot be asked: %v", err), "look at its token_endpoint, and whether this machine reaches it"
	return f
}

// verdict is what an authorization endpoint made of a request.
type verdict struct {
	back   url.Values // it sent the browser back to us with these
	status int        // it showed a page with that status
	code   string     // it refused a pushed request with that error code
	err    error      // it could not be asked
}

// redirectURI asks the authorization endpoint with prompt=none. A provider sends whoever
// is not signed in back with an error then, to a redirect URI that it knows; to one that it
// does not it must not (OIDC Core section 3.1.2.6, RFC 6749 section 4.1.2.1).
func (p *Patient) redirectURI(ctx context.Context, o *config.OIDC, c *oidc.Config, m *oidc.Method) Finding {
	ours := p.callback(o)
	f := Finding{OK, "provider.redirect_uri", o.Name, "", ""}
	register := "register exactly " + ours + " as a redirect URI of client " + o.ClientID + " there"
	v := p.authorize(ctx, o, c, m, ours)
	switch {
	case v.err != nil:
		f.Status, f.Text, f.Mend = Skip, fmt.Sprintf("it cannot be told: %v", v.err), "see what else is said of this provider"
		return f
	case v.back != nil:
		code := v.back.Get("error")
		if v.back.Get("code") != "" || slices.Contains([]string{"login_required", "interaction_required", "consent_required", "account_selection_required"}, code) {
			f.Text = "the provider takes " + ours
			return f
		}
		f.Status, f.Text = Fail, "the provider takes "+ours+", and not the request: "+printable(code)
		f.Mend = "allow the code flow and the scopes " + strings.Join(o.Scopes, ", ") + " for this client there"
		return f
	case v.code != "" && v.code != "invalid_request" && v.code != "invalid_redirect_uri":
		f.Status, f.Text = Fail, "the provider does not take the request: "+printable(v.code)
		f.Mend = "allow the code flow and the scopes " + strings.Join(o.Scopes, ", ") + " for this client there"
		return f
	case v.code != "":
		f.Status, f.Text, f.Mend = Fail, "the provider refuses the pushed request with "+printable(v.code)+", as for a redirect URI that it does not know", register
		return f
	case v.status >= 500:
		f.Status, f.Text, f.Mend = Skip, fmt.Sprintf("it cannot be told: the authorization endpoint answers %d", v.status), "look into the provider's log"
		return f
	case v.status >= 400:
		f.Status, f.Text, f.Mend = Fail, fmt.Sprintf("the provider answers %d with a page of its own, as for a redirect URI that it does not know", v.status), register
		return f
	}
	// A page. One for an address that cannot be registered tells whether it means anything.
	other := p.authorize(ctx, o, c, m, "https://evergate-doctor.invalid/"+rand.Text())
	if other.status >= 400 || other.code != "" {
		f.Text = "the provider shows a page for " + ours + ", and an error for a made-up one"
		return f
	}
	f.Status, f.Text = Skip, "it cannot be told: the provider shows the same page for any redirect URI"
	f.Mend = "sign in once: evergate doctor --sign-in=" + o.Name
	return f
}

// mostHops bounds how far a provider sends a browser around before there is a page.
const mostHops = 8

// authorize goes where a browser would be sent to, without one's cookies of before.
func (p *Patient) authorize(ctx context.Context, o *config.OIDC, c *oidc.Config, m *oidc.Method, redirectURI string) verdict {
	flow := p.flow(o, redirectURI)
	flow.Prompt = "none"
	to, err := m.Begin(ctx, flow)
	if refused, ok := errors.AsType[*auth.Refused](err); ok {
		return verdict{code: refused.Code}
	}
	if err != nil {
		return verdict{err: err}
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return verdict{err: err}
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	browser := &http.Client{Transport: transport, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for range mostHops {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
		if err != nil {
			return verdict{err: errors.New("the provider redirects to no address")}
		}
		req.Header.Set("Accept", "text/html")
		req.Header.Set("User-Agent", "Mozilla/5.0 (compatible; evergate-doctor)")
		res, err := browser.Do(req)
		if err != nil {
			return verdict{err: fmt.Errorf("ask the authorization endpoint: %w", bare(err))}
		}
		_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
		_ = res.Body.Close()
		next, err := res.Location()
		if err != nil {
			return verdict{status: res.StatusCode}
		}
		if back, ok := strings.CutPrefix(next.String(), redirectURI+"?"); ok {
			query, _ := url.ParseQuery(back)
			return verdict{back: query}
		}
		to = next.String()
	}
	return verdict{err: fmt.Errorf("the provider redirects more than %d times", mostHops)}
}

// bare is an error without the address that was asked: it has a state in it.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// printable is an error code of a provider, or of whoever answers in its place.
func printable(code string) string {
	if code == "" || len(code) > 64 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:/-") != "" {
		return "an unreadable error"
	}
	return code
}
