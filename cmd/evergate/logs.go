package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"

	"golang.org/x/term"

	"github.com/evergate/evergate/config"
)

// logControl is what of a log can change while it is written.
type logControl struct {
	Level *slog.LevelVar
	hides atomic.Pointer[map[string]bool] // what is kept out, by key
	key   [sha256.Size]byte               // of the digests of subjects
}

// Apply takes what a config says.
func (c *logControl) Apply(cfg config.Log) {
	c.Level.Set(cfg.Level)
	hides := map[string]bool{}
	for _, what := range cfg.Redact {
		hides[what] = true
	}
	c.hides.Store(&hides)
}

// newLog writes text for a person at a terminal, and JSON for everything else.
func newLog(w io.Writer, cfg config.Log) (*slog.Logger, *logControl) {
	text := cfg.Format == "text"
	if cfg.Format == "" || cfg.Format == "auto" {
		f, ok := w.(*os.File)
		text = ok && term.IsTerminal(int(f.Fd()))
	}
	c := &logControl{Level: &slog.LevelVar{}}
	_, _ = rand.Read(c.key[:]) // never fails (crypto/rand)
	c.Apply(cfg)
	opts := &slog.HandlerOptions{Level: c.Level, ReplaceAttr: c.redact}
	if text {
		return slog.New(slog.NewTextHandler(w, opts)), c
	}
	return slog.New(slog.NewJSONHandler(w, opts)), c
}

// redact keeps out of a line what has no business there: by the type of a value, whatever its
// key, and the personal data that the operator does not want.
func (c *logControl) redact(groups []string, a slog.Attr) slog.Attr {
	switch {
	case a.Value.Kind() == slog.KindAny:
		a.Value = redactValue(a.Value)
	case len(groups) > 0:
	case a.Key == "client" && (*c.hides.Load())["client"]:
		a.Value = slog.StringValue(networkOf(a.Value.String()))
	case a.Key == "subject" && (*c.hides.Load())["subject"], // whom it is about, and who did it to them
		a.Key == "actor" && a.Value.String() != "token" && (*c.hides.Load())["subject"]:
		a.Value = slog.StringValue(c.digest(a.Value.String()))
	case a.Key == "path" && (*c.hides.Load())["path"]:
		return slog.Attr{}
	}
	return a
}

// redactValue leaves of a value what is fit for a log. Secrets of ours are a type that says
// nothing by itself (internal/secret); here are those of others.
func redactValue(v slog.Value) slog.Value {
	switch of := v.Any().(type) {
	case *url.URL:
		if of != nil {
			return slog.StringValue(bareURL(of))
		}
	case url.URL:
		return slog.StringValue(bareURL(&of))
	case http.Header:
		return slog.StringValue(hidden)
	case *http.Cookie, []*http.Cookie, url.Values:
		return slog.StringValue(hidden)
	case *http.Request:
		if of != nil && of.URL != nil {
			return slog.StringValue(of.Method + " " + of.Host + of.URL.EscapedPath())
		}
	case error:
		return slog.StringValue(bareError(of))
	}
	return v
}

const hidden = "[redacted]"

// bareURL is u without what may be a secret in it.
func bareURL(u *url.URL) string {
	bare := *u
	bare.User, bare.RawQuery, bare.Fragment, bare.RawFragment, bare.ForceQuery = nil, "", "", "", false
	return bare.String()
}

// bareError is the text of err, in which the address that a client of net/http failed at has
// no query: it may hold a code or a token.
func bareError(err error) string {
	text := err.Error()
	if failed, ok := errors.AsType[*url.Error](err); ok {
		if u, perr := url.Parse(failed.URL); perr == nil {
			text = strings.ReplaceAll(text, failed.URL, bareURL(u))
		} else {
			text = strings.ReplaceAll(text, failed.URL, hidden)
		}
	}
	return text
}

// networkOf is the network of an address: its provider or its company, and no household.
func networkOf(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return "" // nobody's, or nothing that is known
	}
	bits := 24
	if a = a.Unmap().WithZone(""); a.Is6() {
		bits = 48
	}
	return netip.PrefixFrom(a, bits).Masked().String()
}

// digest tells one subject from another, until the process ends.
func (c *logControl) digest(subject string) string {
	if subject == "" {
		return ""
	}
	mac := hmac.New(sha256.New, c.key[:])
	mac.Write([]byte(subject))
	return "#" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:9])
}

// debugOnly takes what net/http says about clients (bad handshakes, strays and
// scanners) down to debug: it is no fault of the gateway's.
type debugOnly struct{ slog.Handler }

func (h debugOnly) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.Handler.Enabled(ctx, slog.LevelDebug)
}
