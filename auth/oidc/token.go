package oidc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/dpop"
	"github.com/evergate/evergate/internal/secret"
)

const (
	// unsaidLife is the life of an access token whose provider does not say.
	unsaidLife = 5 * time.Minute
	mostLife   = 30 * 24 * time.Hour
)

// tokens are a successful answer of the token endpoint (RFC 6749 section 5.1).
type tokens struct {
	AccessToken  string          `json:"access_token"`
	TokenType    string          `json:"token_type"`
	RefreshToken string          `json:"refresh_token"`
	IDToken      string          `json:"id_token"`
	ExpiresIn    json.RawMessage `json:"expires_in"`
	at           time.Time
	ambiguous    error     // says a thing twice
	key          *dpop.Key // that was proven when it was asked for; nil is none
}

// access is the access token with its life by our clock, from when it was here.
func (t *tokens) access() auth.Token {
	life := unsaidLife
	if n, err := strconv.ParseFloat(strings.Trim(string(t.ExpiresIn), `" `), 64); err == nil && n > 0 {
		life = time.Duration(min(n, mostLife.Seconds()) * float64(time.Second))
	}
	return auth.Token{Value: secret.New(t.AccessToken), Issued: t.at, Expires: t.at.Add(life), Key: t.key}
}

// usable says what is wrong with the access token, if anything. A token of
// another type must not be sent as a Bearer token (RFC 6749 section 7.1), and one that
// was to be bound to a key and is not must not be taken for one that is.
func (t *tokens) usable() error {
	switch {
	case t.AccessToken == "":
		return errors.New("there is no access token in the answer")
	case t.key == nil && strings.EqualFold(t.TokenType, "DPoP"):
		return errors.New("the access token is bound to a key (DPoP), and there is none; is dpop: true missing here?")
	case t.key == nil && !strings.EqualFold(t.TokenType, "Bearer"):
		return errors.New("the access token is no Bearer token")
	case t.key != nil && !strings.EqualFold(t.TokenType, "DPoP"):
		return errors.New("the access token is not bound to the key that was proven (its type is not DPoP); turn DPoP on for this client at the provider, or take dpop: true out here")
	case t.key != nil:
		return t.key.Bound(t.AccessToken)
	}
	return nil
}

// grant asks the token endpoint once, with a proof of key unless that is nil. The error is
// typed as refusal says.
func (m *Method) grant(ctx context.Context, form url.Values, md *metadata, key *dpop.Key) (*tokens, error) {
	a, err := m.postProven(ctx, md.Token, form, md, key)
	if err != nil {
		return nil, m.outage(ctx, fmt.Errorf("token endpoint: %w", err))
	}
	if a.status != http.StatusOK {
		return nil, m.refusal(ctx, a)
	}
	t := &tokens{at: a.at, ambiguous: noDuplicateFields(a.body), key: key}
	if err := a.decode(t); err != nil {
		return nil, m.outage(ctx, fmt.Errorf("token endpoint: %w", err))
	}
	return t, nil
}

// Complete implements auth.Redirector.
func (m *Method) Complete(ctx context.Context, f auth.Flow, answer url.Values) (*auth.Login, error) {
	if f.Nonce == "" || f.Verifier == "" {
		return nil, &auth.Refused{Reason: "the flow has no nonce or no verifier, so nothing binds the answer to it"}
	}
	md, err := m.metadata(ctx)
	if err != nil {
		return nil, err
	}
	code, err := m.code(ctx, answer, md)
	if err != nil {
		return nil, err
	}
	key, err := m.keyFor(f.Key)
	if err != nil {
		return nil, err
	}
	t, err := m.grant(ctx, url.Values{"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {f.RedirectURI}, "code_verifier": {f.Verifier}}, md, key)
	if err != nil {
		if e, ok := err.(*Error); ok {
			err = &auth.Refused{Reason: e.Error(), Code: orElse(e.Code, "invalid_request")}
		}
		return nil, err
	}
	m.works()
	if err := cmp.Or(t.ambiguous, t.usable()); err != nil {
		return nil, &auth.Refused{Reason: "token endpoint: " + err.Error()}
	}
	if t.IDToken == "" {
		return nil, &auth.Refused{Reason: "there is no ID token in the answer; is openid among the scopes?"}
	}
	claims, err := m.idToken(ctx, t.IDToken, md, expected{nonce: f.Nonce, accessToken: t.AccessToken, maxAge: m.cfg.MaxAge})
	if err != nil {
		return nil, err
	}
	if m.cfg.Userinfo {
		more, err := m.userinfo(ctx, t, text(claims, "sub"), md)
		if err != nil {
			return nil, err
		}
		claims = with(claims, more)
	}
	login := m.login(ctx, t, claims)
	return login, m.allows(login)
}

// allows asks who may sign in at all. The error is nil or a *auth.Denied: what a further
// sign-in would have to be is for the configuration to ask of the provider.
func (m *Method) allows(login *auth.Login) error {
	if m.allow == nil {
		return nil
	}
	q := auth.Question{Time: m.cfg.Now()}
	q.Ask(login)
	_, err := m.allow.Decide(&q)
	if up, ok := errors.AsType[*auth.StepUp](err); ok {
		return &auth.Denied{Missing: up.Missing, Needs: up.Needs}
	}
	return err
}

// code reads the callback: from this provider, and a code or an error.
func (m *Method) code(ctx context.Context, answer url.Values, md *metadata) (string, error) {
	for _, name := range []string{"code", "error", "iss", "state"} {
		if len(answer[name]) > 1 {
			return "", &auth.Refused{Reason: "the callback says " + name + " twice"}
		}
	}
	// Before anything is sent anywhere: another provider may have answered in this
	// one's place (RFC 9207 section 2.4).
	if iss, there := answer["iss"]; there && iss[0] != m.cfg.Issuer {
		return "", &auth.Refused{Reason: "the callback is from another issuer"}
	} else if !there && md.IssParameter {
		return "", &auth.Refused{Reason: "the callback does not say its issuer, and this provider's always does"}
	}
	if code := answer.Get("error"); code != "" {
		if !isCode(code) {
			code = "unreadable"
		}
		m.cfg.Log.InfoContext(ctx, "the provider did not sign somebody in", "event", "provider.refused", "code", code)
		m.cfg.Log.DebugContext(ctx, "what the provider says of it, or whoever made the address up", "event", "provider.refused",
			"description", printable(answer.Get("error_description")))
		return "", &auth.Refused{Reason: "the provider answered " + code, Code: code}
	}
	if code := answer.Get("code"); code != "" {
		return code, nil
	}
	return "", &auth.Refused{Reason: "the callback has neither code nor error"}
}

// login makes a Login of what a sign-in gave. Where the provider does not tell when the
// person proved who they are, nobody knows: they may have been signed in there for days.
// That it was asked for prompt=login says nothing: whoever sits at the browser can take
// that out of the address.
func (m *Method) login(ctx context.Context, t *tokens, claims map[string]any) *auth.Login {
	login := &auth.Login{
		Identity: m.identity(claims), AMR: list(claims["amr"]), ACR: text(claims, "acr"),
		AccessToken: t.access(), RefreshToken: secret.New(t.RefreshToken), Key: t.key, IDToken: secret.New(t.IDToken), SID: text(claims, "sid"),
	}
	if at, ok := moment(claims, "auth_time"); ok && !at.After(m.cfg.Now().Add(leeway)) {
		login.AuthTime = at
	}
	if t.RefreshToken == "" {
		login.Until = login.AccessToken.Expires
		if exp, ok := moment(claims, "exp"); ok && m.cfg.WithoutRefresh == EndWithIDToken {
			login.Until = exp
			// There is nothing to renew the access token with, so it has to do.
			login.AccessToken.Expires = exp
		}
		m.cfg.Log.InfoContext(ctx, "the provider gave no refresh token: the session cannot be renewed and ends with its token. "+
			"Ask for offline_access, and allow refresh tokens for this client there",
			"event", "session.without_refresh_token", "subject", login.Identity.User, "ends", login.Until)
	}
	m.tellOfGroups(ctx, claims, &login.Identity)
	m.tellOfUser(ctx, &login.Identity)
	if login.Identity.GroupsOmitted {
		m.cfg.Log.WarnContext(ctx, "the provider left the groups out of the token because there are too many; rules about groups do not hold. "+
			"Have it send only groups that are assigned to this application, or roles in their place",
			"event", "provider.groups_omitted", "subject", login.Identity.User)
	}
	return login
}
