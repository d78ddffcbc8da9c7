package oidc

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/dpop"
	"github.com/evergate/evergate/internal/span"
)

const (
	// maxAnswer bounds what is read of any answer.
	maxAnswer = 1 << 20
	// maxRetryAfter bounds how long a provider may send us away.
	maxRetryAfter = 5 * time.Minute
)

var (
	errRedirected = errors.New("it answered with a redirect, which is not followed with a secret in hand")
	errTooLarge   = fmt.Errorf("its answer is larger than %d bytes", maxAnswer)
)

func newTransport(cfg *Config) *http.Transport {
	dialer := &net.Dialer{Timeout: min(cfg.Timeout, 10*time.Second), KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: cfg.Timeout,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   16,
		MaxIdleConns:          32,
		// A server that closes an idle connection just as a grant is sent on it
		// leaves open whether the grant was made, and a refresh token may be spent.
		// Servers keep them for 5 s and more, so no connection gets that old.
		IdleConnTimeout:        3 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

func newClient(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirected }}
}

// answer is one that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	at     time.Time // when it was here, by our clock
}

// call sends a request and reads the answer. An error means that there is none,
// or none that can be used: an outage.
func (m *Method) call(ctx context.Context, req *http.Request) (*answer, error) {
	ctx, s := span.Start(ctx, span.Client, req.Method)
	a, err := m.send(ctx, req)
	m.traced(s, req, a, err)
	return a, err
}

func (m *Method) send(ctx context.Context, req *http.Request) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "Evergate")
	res, err := m.http.Do(req.WithContext(ctx))
	if err != nil {
		return nil, plain(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("its answer broke off: %w", plain(err))
	case len(body) > maxAnswer:
		return nil, errTooLarge
	}
	return &answer{status: res.StatusCode, header: res.Header, body: body, at: m.cfg.Now()}, nil
}

// plain is an error of the transport without the address that was asked, which
// may carry a secret.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func (m *Method) get(ctx context.Context, address string) (*answer, error) {
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return m.call(ctx, req)
}

// post sends a form, authenticated as the client, to one of the provider's own
// endpoints.
func (m *Method) post(ctx context.Context, address string, form url.Values, md *metadata) (*answer, error) {
	return m.postWith(ctx, address, form, md, "")
}

// postWith is post with a proof beside the form (RFC 9449), where that is not "".
func (m *Method) postWith(ctx context.Context, address string, form url.Values, md *metadata, proof string) (*answer, error) {
	form = cloneValues(form)
	if err := m.authenticate(form, address, md); err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if m.cfg.ClientAuth == ClientSecretBasic {
		// Both halves are form-encoded first (RFC 6749 section 2.3.1).
		req.SetBasicAuth(url.QueryEscape(m.cfg.ClientID), url.QueryEscape(m.cfg.ClientSecret.Reveal()))
	}
	if proof != "" {
		req.Header[dpop.Header] = []string{proof}
	}
	return m.call(ctx, req)
}

func cloneValues(v url.Values) url.Values {
	out := make(url.Values, len(v)+3)
	for name, values := range v {
		out[name] = values
	}
	return out
}

// decode reads a JSON object into v.
func (a *answer) decode(v any) error {
	if kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type")); err == nil && strings.Contains(kind, "html") {
		return errors.New("it answered with a page instead of JSON")
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return errors.New("its answer is no JSON as it should be") // the cause would quote it
	}
	return nil
}

// unwanted is an answer whose status is not the one that was hoped for.
func (a *answer) unwanted() *Error { return &Error{Status: a.status, retryAfter: a.retryAfter()} }

// retryAfter reads when to come again (RFC 9110 section 10.2.3).
func (a *answer) retryAfter() time.Duration {
	text := strings.TrimSpace(a.header.Get("Retry-After"))
	if text == "" {
		return 0
	}
	var d time.Duration
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		d = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(a.at)
	}
	return min(max(d, 0), maxRetryAfter)
}

// maxAge is how long an answer may be kept (RFC 9111 section 5.2.2.1), within
// bounds of our own.
func (a *answer) maxAge() time.Duration {
	age := defaultAge
	for directive := range strings.SplitSeq(a.header.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "max-age":
			if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 32); err == nil {
				age = time.Duration(n) * time.Second
			}
		case "no-store", "no-cache":
			age = 0
		}
	}
	return min(max(age, leastAge), mostAge)
}

const (
	leastAge   = 5 * time.Minute
	defaultAge = time.Hour
	mostAge    = 24 * time.Hour
)
