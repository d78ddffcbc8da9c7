package idp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// logoutTokenTTL is how long a logout token is good (OIDC Back-Channel Logout 1.0
// section 4 recommends two minutes at most).
const logoutTokenTTL = 2 * time.Minute

// LogoutUser ends the provider's sessions of a user and sends logout tokens to
// all clients of theirs that take any. With a sid it is that session alone; with
// an empty sid all of them, and the tokens then name only the subject. Grants
// live on: refresh tokens are for users who are away.
//
// An error tells which clients did not take theirs.
func (p *Provider) LogoutUser(ctx context.Context, subject, sid string) error {
	return p.endSessions(ctx, func(s *ssoSession) bool {
		return (subject == "" || s.subject == subject) && (sid == "" || s.sid == sid)
	}, "", sid == "")
}

// endSessions ends the sessions that match and tells their clients, but not the
// one that already knows. bySubject leaves the sid out of the tokens.
func (p *Provider) endSessions(ctx context.Context, which func(*ssoSession) bool, initiator string, bySubject bool) error {
	type notice struct{ client, subject, sid string }
	notices := map[notice]bool{}
	for _, s := range p.takeSessions(which) {
		for client := range s.clients {
			n := notice{client, s.subject, s.sid}
			if bySubject {
				n.sid = ""
			}
			if client != initiator || p.knobs.Load().NotifyInitiator {
				notices[n] = true
			}
		}
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // guards errs
		errs []error
	)
	for n := range notices {
		client, ok := p.Client(n.client)
		if !ok || client.BackchannelLogoutURI == "" {
			continue
		}
		wg.Go(func() {
			if err := p.notify(ctx, client, n.subject, n.sid); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("idp: logout token for %q: %w", client.ID, err))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// notify sends one logout token (section 2.5).
func (p *Provider) notify(ctx context.Context, c Client, subject, sid string) error {
	ctx, cancel := context.WithTimeout(ctx, logoutTimeout)
	defer cancel()
	body := url.Values{"logout_token": {p.LogoutToken(c.ID, subject, sid)}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.BackchannelLogoutURI, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p.count(func(s *Stats) { s.LogoutTokens++ })
	res, err := p.cfg.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxForm)) // so that the connection is used again
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("it answered %d", res.StatusCode)
	}
	return nil
}

// LogoutToken returns a logout token (section 2.4) for a client, as the knobs have
// it. An empty subject or sid leaves that claim out.
func (p *Provider) LogoutToken(clientID, subject, sid string) string {
	k := p.knobs.Load()
	now := p.cfg.Now()
	claims := map[string]any{
		"iss": p.cfg.Issuer, "aud": clientID, "iat": p.stamp(k, now), "exp": p.stamp(k, now.Add(logoutTokenTTL)), "jti": rand.Text(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	if subject != "" {
		claims["sub"] = subject
	}
	if sid != "" {
		claims["sid"] = sid
	}
	token, err := p.sign("logout+jwt", claims, k.MutateLogoutToken, k.SignLogoutToken)
	if err != nil {
		return "" // a knob put in what JSON cannot say
	}
	return token
}
