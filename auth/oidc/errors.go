package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// Error is an answer of a provider that is neither a clear no nor an outage: it
// says that the request was wrong. A session is kept through it until max_stale.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Code is the error code (RFC 6749 section 5.2), or "".
	Code string

	retryAfter time.Duration // what it asked for, or zero
}

func (e *Error) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("the provider answered %d", e.Status)
	}
	return fmt.Sprintf("the provider answered %d %s", e.Status, e.Code)
}

// unavailable is an outage of this provider.
func (m *Method) unavailable(err error) *auth.Unavailable {
	return &auth.Unavailable{What: web.Verbatim(m.cfg.Name), Err: err}
}

// outage notes that the provider does not answer, for State, unless it is we who
// went away.
func (m *Method) outage(ctx context.Context, err error) *auth.Unavailable {
	if ctx.Err() == nil {
		now := &trouble{since: m.cfg.Now(), text: err.Error()}
		if before := m.trouble.Load(); before != nil {
			now.since = before.since
		}
		m.trouble.Store(now)
	}
	u := m.unavailable(err)
	if e, ok := errors.AsType[*Error](err); ok {
		u.RetryAfter = e.retryAfter
	}
	return u
}

// refusal sorts an answer of the token endpoint that is not 200, by its status
// and its error code alone.
func (m *Method) refusal(ctx context.Context, a *answer) error {
	var body struct {
		Code string `json:"error"`
		// Numbers are Entra's own codes. What it says in words may quote what was sent.
		Numbers json.RawMessage `json:"error_codes"`
	}
	known := a.decode(&body) == nil && isCode(body.Code)
	if !known {
		body.Code = ""
	}
	numbers := string(body.Numbers)
	if len(numbers) > 100 || strings.Trim(numbers, "[]0123456789, ") != "" {
		numbers = ""
	}
	err := a.unwanted()
	err.Code = body.Code
	switch {
	case a.status == http.StatusTooManyRequests, a.status >= 500, a.status < 400,
		body.Code == "temporarily_unavailable", body.Code == "server_error", body.Code == "slow_down":
		return m.outage(ctx, err)
	case body.Code == "invalid_grant",
		m.cfg.Kind == KindDex && a.status == http.StatusBadRequest && body.Code == "invalid_request":
		return &auth.Refused{Reason: err.Error(), Code: body.Code}
	case body.Code == "invalid_client", body.Code == "unauthorized_client", a.status == http.StatusUnauthorized && body.Code == "":
		// The gateway's own credentials: nobody's session is to blame.
		if m.complaints.allow(m.cfg.Now()) { // every renewal meets it, and once a minute says it
			m.cfg.Log.ErrorContext(ctx, "the provider does not accept this client; check client_id, client_auth and the secret or key, and whether it expired",
				"event", "provider.client_refused", "status", a.status, "code", body.Code, "codes", numbers)
		}
		return m.outage(ctx, err)
	}
	return err
}

// isCode reports whether s can be an error code (RFC 6749 appendix A.7), fit for
// a log.
func isCode(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:/-") == ""
}

// printable is text from outside, fit for a log: the characters that RFC 6749
// appendix A.8 allows, and not many of them.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s[:min(len(s), 400)])
	return s
}

// isOutage reports whether err says that the provider is down. One that sends us
// away, or does not know this client, is there.
func isOutage(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return !ok || e.Status < 400 || e.Status >= 500 || e.Code == "temporarily_unavailable" || e.Code == "server_error"
}

// isConnection reports whether err says that nobody was reached at all.
func isConnection(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	_, ok := errors.AsType[*net.DNSError](err)
	return ok
}
