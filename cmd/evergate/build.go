package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/credential"
	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/cmd/evergate/internal/dashboard"
	"github.com/evergate/evergate/cmd/evergate/internal/decisions"
	"github.com/evergate/evergate/cmd/evergate/internal/door"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/audit"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/follow"
	"github.com/evergate/evergate/internal/metrics"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/proxy"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/token"
)

// gateway is Evergate, wired: one handler for the public, one for the operator,
// and what has to be closed. Its fields last for as long as it runs; what the config
// says besides is an edition, and is swapped.
type gateway struct {
	Public http.Handler
	Admin  *admin.Handler
	// Forward is asked by a proxy in front; it answers 404 where none is to ask.
	Forward http.Handler
	// Certificates are those of the public side; nil leaves TLS to a front proxy.
	Certificates door.Certificates
	// Known reports whether a host is served here.
	Known func(host string) bool
	// Applied is called with each config that comes into force after the first, if set.
	Applied func(*config.Config)

	in       parts
	log      *slog.Logger
	cookie   string
	store    session.Store // nil where the cookie is the store
	ring     *session.Ring
	keys     *token.Keys
	throttle local.Guard
	book     *credential.Book // nil where there is no store
	board    local.Board      // nil where nothing is kept of users beside their file
	hasher   *local.Hasher
	forms    *auth.Forms
	sessions sessions
	streams  proxy.Streams
	metrics  *metrics.Metrics

	decisions  *decisions.Log
	events     *event.Hub
	audit      *audit.Log
	journal    *auth.ShelfJournal
	well       *wellness
	open       atomic.Pointer[func() int64] // how many connections there are
	history    *dashboard.History
	dashboard  *dashboard.Handler
	adminToken secret.Text // opens the operator's side
	started    time.Time
	reloads    *reloader // nil where there is no file; set before anything is served

	leaving atomic.Bool // connections are not kept any more
	// Questions of a proxy in front.
	asked, unanswered atomic.Int64
	current           atomic.Pointer[edition]
	ringAt            *follow.Files // follows the files of the ring; nil where it has none

	changing sync.Mutex      // held while a config is put in force
	mu       sync.Mutex      // guards the uses of parts
	life     context.Context // ends with Close
	end      context.CancelFunc
	wg       sync.WaitGroup

	close []func() error // in the order of building
}

// Close ends what the gateway runs, the last built first.
func (g *gateway) Close() error {
	g.changing.Lock()
	g.end() // no other config comes into force
	g.changing.Unlock()
	var all error
	for i := len(g.close) - 1; i >= 0; i-- {
		all = errors.Join(all, g.close[i]())
	}
	g.close = nil
	return all
}

// parts are what demo and dev give instead of files; nil means the files that
// the config names.
type parts struct {
	// Users are the only users there are; with them nothing is kept on disk.
	Users []local.User
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
	// Wrap stands between the sessions and their store, if set.
	Wrap func(session.Store) session.Store
	// AdminToken opens the dashboard where there are Users.
	AdminToken secret.Text
	// Log is the log, for access lines and for what of it can change; nil has all lines
	// written as any record.
	Log *logControl
}

// build turns a config into a gateway. With edition.go this is the wiring, all of it:
// here is what lasts, there what a reload of the config makes anew.
func build(cfg *config.Config, log *slog.Logger, in parts) (_ *gateway, err error) {
	g := &gateway{in: in, log: log, hasher: local.NewHasher(hashesAtOnce), metrics: metrics.New(version, runtime.Version(), time.Now())}
	g.started, g.history = time.Now(), dashboard.NewHistory(in.Now)
	g.decisions = decisions.New(decisions.Options{Logger: log, Counter: g.metrics, Now: in.Now})
	g.life, g.end = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	inMemory := in.Users != nil
	secure := cfg.PublicURL.Scheme == "https"
	g.cookie = cookieName(cfg)
	if err := check(cfg); err != nil { // before anything is made on disk
		return nil, err
	}
	if !inMemory {
		if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
			return nil, fmt.Errorf("make data_dir: %w", err)
		}
	}
	if g.store, err = openStore(cfg, log, in, g); err != nil {
		return nil, err
	}
	traced := traceStore(g.store, cfg, inMemory)
	ringSeen := new(follow.Reading)
	if g.ring, err = buildRing(cfg, inMemory, ringSeen); err != nil {
		return nil, err
	}
	g.listen()
	if files, err := keyFiles(cfg.Keys.Files, cfg.DataDir); !inMemory && err == nil {
		g.ringAt = watchRing(g.ring, files, ringSeen, log, g.events.Hear)
		g.close = append(g.close, func() error { return g.ringAt.Close() })
	}
	if g.keys, err = buildKeys(cfg, traced, g.ring, log, inMemory); err != nil {
		return nil, err
	}
	g.close = append(g.close, g.keys.Close)
	g.throttle, g.book, g.board = buildThrottle(in, traced, g.ring), buildBook(traced, g.ring), buildBoard(in, traced, g.ring)
	g.close = append(g.close, g.closeEditions)
	first, err := g.prepare(cfg)
	if err != nil {
		return nil, err
	}
	g.sessions, err = buildSessions(session.Config{Ring: g.ring, Cookie: g.cookie, Insecure: !secure, Log: log, Heard: g.events.Hear, Now: in.Now}, first.settings, traced)
	if err != nil {
		g.letGo(first)
		return nil, err
	}
	g.close = append(g.close, g.sessions.Close)
	g.forms = buildForms(in, traced, g.ring)
	g.close = append(g.close, g.forms.Close)
	if g.Certificates, err = buildCertificates(cfg, log); err != nil {
		g.letGo(first)
		return nil, err
	}
	if g.Certificates != nil {
		g.close = append(g.close, g.Certificates.Close)
	}
	if err := g.buildDashboard(cfg); err != nil {
		g.letGo(first)
		return nil, err
	}
	if err := g.wire(first); err != nil {
		g.letGo(first)
		return nil, err
	}
	g.begin(first)
	if g.board != nil {
		resealed := make(chan struct{})
		go func() { defer close(resealed); g.reseal() }()
		g.close = append(g.close, func() error { <-resealed; return nil }) // Close has ended its life
	}

	g.Public = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := g.enter()
		defer e.leave()
		e.handler.ServeHTTP(w, r)
	})
	g.Forward = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := g.enter()
		defer e.leave()
		if e.forward == nil {
			http.NotFound(w, r)
			return
		}
		e.forward.ServeHTTP(w, r)
	})
	g.Known = func(host string) bool {
		return strings.Trim(host, "[]") == cfg.Hosts()[0] || g.current.Load().router.KnowsHost(host)
	}
	g.buildAdmin()
	return g, nil
}

// listen makes what hears of what happens. Of those built before nothing happens yet.
func (g *gateway) listen() {
	g.journal = buildJournal(g.in, g.store, g.ring, g.log)
	g.audit = audit.New(audit.Options{Log: g.log, Written: g.metrics.Audited, Lost: g.metrics.AuditLost})
	g.events = event.NewHub(g.metrics.Hear, g.journal.Hear, g.audit.Hear, g.history.Hear)
	g.close = append(g.close, g.audit.Close, g.journal.Close) // what the journal tells of last is in the audit log
}

// heard counts the questions of a proxy in front.
func (g *gateway) heard(refused error) {
	if refused != nil {
		g.unanswered.Add(1)
	} else {
		g.asked.Add(1)
	}
	g.metrics.Asked(refused == nil)
}

// buildAdmin makes the operator's side.
func (g *gateway) buildAdmin() {
	g.Admin = buildAdmin(g.in.Users != nil, g.adminToken, g.store, g.sessions)
	g.Admin.Metrics = g.metrics.Handler()
	g.Admin.Beside["audit"] = func(context.Context) error { return g.audit.Trouble() }
	g.Admin.Dashboard = g.dashboard.Private()
	if g.Admin.API != nil {
		g.Admin.API.Decisions, g.Admin.API.Tell, g.Admin.API.Users = g.decisions, g.tell, operated{g}
	}
	g.Admin.Current = func() map[string]admin.Check { return g.current.Load().checks }
	if g.Certificates != nil {
		g.Admin.Beside[certificatePart] = func(context.Context) error { return g.Certificates.Trouble() }
	}
	g.well = watchWellness(g)
	g.close = append(g.close, g.well.Close)
	g.metrics.Watch(g.state)
}

// ownCookies are the names of the gateway's cookies, where cookie is that of the session's. Each has
// helpers, with a hyphen behind the name; one of the session's begins with __Host- in place of
// __Host-Http- (session.BoundCookieName).
func ownCookies(cookie string) []string {
	names := []string{cookie, dashboard.CookieName, dashboard.SecureCookieName}
	if rest, ok := strings.CutPrefix(cookie, "__Host-Http-"); ok {
		names = append(names, "__Host-"+rest)
	}
	return names
}

// isOwnCookie reports whether a cookie is one of own or of their helpers. An app's cookie that
// merely begins alike is not.
func isOwnCookie(name string, own []string) bool {
	return slices.ContainsFunc(own, func(cookie string) bool { return isOrHelps(name, cookie) })
}

// isOrHelps reports whether a cookie is the one of a name or a helper of it, in any case of letters.
func isOrHelps(name, session string) bool {
	if len(name) >= len(session) && strings.EqualFold(name[:len(session)], session) {
		return len(name) == len(session) || name[len(session)] == '-'
	}
	if isASCII(name) {
		return false
	}
	rest, ok := strings.CutPrefix(strings.ToLower(name), strings.ToLower(session)) // a letter that is longer than its lower case
	return ok && (rest == "" || rest[0] == '-')
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
