//go:build unix

package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/tracing/tracingtest"
	"github.com/evergate/evergate/session"
)

// traceBed is a gateway with a provider, an app and a collector.
type traceBed struct {
	*testing.T
	g         *gateway
	dir, base string
	collector *tracingtest.Receiver
	provider  *oidctest.Provider
	clock     *shifted
	log       *lockedBuffer
	inside    atomic.Int32 // requests that the gateway has not answered yet

	mu  sync.Mutex // guards up
	up  []http.Header
	app http.HandlerFunc // answers after what came was kept
}

// newTraceBed starts one. In more, APP is the address of the app and COLLECTOR that of
// the collector.
func newTraceBed(t *testing.T, more string, app http.HandlerFunc) *traceBed {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &traceBed{T: t, base: "http://" + l.Addr().String(), dir: t.TempDir(), collector: tracingtest.New(t), clock: &shifted{}, log: &lockedBuffer{}, app: app}
	b.provider = oidctest.Start(t, oidctest.Redirects(b.base+"/.evergate/callback/corp"))
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.up = append(b.up, r.Header.Clone())
		b.mu.Unlock()
		if b.app != nil {
			b.app(w, r)
		}
	}))
	t.Cleanup(up.Close)
	if err := os.WriteFile(filepath.Join(b.dir, "secret"), []byte(b.provider.ClientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	more = strings.NewReplacer("APP", up.URL, "COLLECTOR", b.collector.URL).Replace(more)
	if b.g, err = build(b.config(more), slog.New(slog.NewJSONHandler(b.log, nil)), parts{
		Now: b.clock.now, Wrap: func(s session.Store) session.Store { return shiftedStore{s, b.clock} },
	}); err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.inside.Add(1)
		defer b.inside.Add(-1)
		b.g.Public.ServeHTTP(w, r)
	})}
	done := make(chan struct{})
	go func() { _ = srv.Serve(l); close(done) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
		b.close()
	})
	return b
}

func (b *traceBed) config(more string) *config.Config {
	b.Helper()
	file := filepath.Join(b.dir, "evergate.yaml")
	text := fmt.Sprintf("public_url: %s\ndata_dir: data\nidentity: [ oidc: { name: corp, issuer: %q, client_id: evergate, client_secret_file: secret } ]\n%s",
		b.base, b.provider.Issuer, more)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		b.Fatal(err)
	}
	return cfg
}

// close ends the gateway, so that all spans are at the collector.
func (b *traceBed) close() {
	b.Helper()
	if err := b.g.Close(); err != nil {
		b.Errorf("close: %v", err)
	}
}

// browser signs alice in.
func (b *traceBed) browser() *http.Client {
	b.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	c := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	b.Cleanup(c.CloseIdleConnections)
	res := b.get(c, "/.evergate/login/corp?rd=%2F")
	back := b.provider.SignIn(b.T, nil, res.Header.Get("Location"), "alice", oidctest.Alice.Password)
	b.get(c, back.RequestURI())
	return c
}

// get opens a page.
func (b *traceBed) get(c *http.Client, path string, header ...string) *http.Response {
	b.Helper()
	req := request("GET", b.base+path, pairs(header)...)
	res, err := c.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res
}

// last is the header that the app got last.
func (b *traceBed) last() http.Header {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.up) == 0 {
		b.Fatal("the app was not asked")
	}
	return b.up[len(b.up)-1]
}

// spansOf are those of a trace that have come to a collector.
func spansOf(r *tracingtest.Receiver, trace string) (all []*tracepb.Span) {
	for _, s := range r.Spans() {
		if hex.EncodeToString(s.TraceId) == trace {
			all = append(all, s)
		}
	}
	return all
}

// one finds the only span with a name.
func (b *traceBed) one(all []*tracepb.Span, name string) *tracepb.Span {
	b.Helper()
	var found []*tracepb.Span
	for _, s := range all {
		if s.Name == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		b.Fatalf("got %d spans %q, want one among %s", len(found), name, drawTrace(all))
	}
	return found[0]
}

func drawTrace(all []*tracepb.Span) string {
	var out strings.Builder
	for _, s := range all {
		fmt.Fprintf(&out, "\n  %x under %x %v %s %v", s.SpanId, s.ParentSpanId, s.Kind, s.Name, tracingtest.Attributes(s.Attributes))
	}
	return out.String()
}

// traceOf is the trace that an answer says it is in.
func traceOf(res *http.Response) (trace, span string) {
	for _, line := range res.Header["Server-Timing"] {
		if rest, ok := strings.CutPrefix(line, `traceparent;desc="00-`); ok && len(rest) > 49 {
			return rest[:32], rest[33:49]
		}
	}
	return "", ""
}

func serveOnce(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// pairs takes header lines apart.
func pairs(lines []string) (all []string) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		all = append(all, name, value)
	}
	return all
}
