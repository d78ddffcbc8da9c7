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
	"github.com/evergate/evergate/internal/accesslog"
	"github.com/evergate/evergate/internal/web"
)

// logControl is a log, and what of it can change while it is written.
type logControl struct {
	*accesslog.Log
	Level *slog.LevelVar
	hides atomic.Pointer[accesslog.Redaction] // what is kept out
	key   [sha256.Size]byte                   // of the digests of subjects
}

// Apply takes what a config says.
func (c *logControl) Apply(cfg config.Log) {
	c.Level.Set(cfg.Level)
	hides := &accesslog.Redaction{}
	for _, what := range cfg.Redact {
		switch what {
		case "client":
			hides.Client = networkOf
		case "subject":
			hides.Subject = c.digest
		case "path":
			hides.Path = true
		}
	}
	c.hides.Store(hides)
}

// access is where access lines go; nil, of nil, has them go where all other records do.
func (c *logControl) access() web.Access {
	if c == nil {
		return nil
	}
	return c.Log
}

// newLog writes text for a person at a terminal, and JSON for everything else. Whoever uses
// it closes the control.
func newLog(w io.Writer, cfg config.Log) (*slog.Logger, *logControl) {
	text := cfg.Format == "text"
	if cfg.Format == "" || cfg.Format == "auto" {
		f, ok := w.(*os.File)
		text = ok && term.IsTerminal(int(f.Fd()))
	}
	c := &logControl{Level: &slog.LevelVar{}}
	_, _ = rand.Read(c.key[:]) // never fails (crypto/rand)
	c.Apply(cfg)
	c.Log = accesslog.New(w, accesslog.Options{Text: text, Level: c.Level, Replace: c.redact, Redaction: c.hides.Load})
	return slog.New(c.Handler()), c
}

// openLog is newLog on standard error, until lastWords.
func (p *program) openLog(cfg config.Log) (*slog.Logger, *logControl) {
	log, control := newLog(p.err, cfg)
	p.log.Store(control)
	return log, control
}

// lastWords writes what waits in the log: the program ends.
func (p *program) lastWords() {
	if c := p.log.Load(); c != nil {
		_ = c.Close() // of a log that takes nothing there is nobody to tell
	}
}

// redact keeps out of a line what has no business there: by the type of a value, whatever its
// key, and the personal data that the operator does not want.
func (c *logControl) redact(groups []string, a slog.Attr) slog.Attr {
	hides := c.hides.Load()
	switch {
	case a.Value.Kind() == slog.KindAny:
		a.Value = redactValue(a.Value)
	case len(groups) > 0:
	case a.Key == "client" && hides.Client != nil:
		at, _ := netip.ParseAddr(a.Value.String()) // or nobody's, or nothing that is known
		a.Value = slog.StringValue(hides.Client(at))
	case a.Key == "subject" && hides.Subject != nil, // whom it is about, and who did it to them
		a.Key == "actor" && a.Value.String() != "token" && hides.Subject != nil:
		a.Value = slog.StringValue(hides.Subject(a.Value.String()))
	case a.Key == "path" && hides.Path:
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
func networkOf(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return web.Vicinity(a).String()
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
