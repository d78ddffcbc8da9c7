package decisions

import (
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

// Counter counts what observed rules would decide. metrics.Metrics is one.
type Counter interface {
	Observed(route, decision, observed string)
	ForgetObserved()
}

// Options are what a Log needs.
type Options struct {
	// Logger hears of differences and of whom the header is shown to. Nil is nobody.
	Logger *slog.Logger
	// Counter is nil where nothing is counted.
	Counter Counter
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Log remembers the decisions of a gateway for as long as it runs. Make one with New.
type Log struct {
	o      Options
	shown  atomic.Pointer[shown] // nil where nobody is shown, so that this costs nothing
	showMu sync.Mutex            // held by whoever replaces shown

	memory      memory
	differences differences

	mu       sync.Mutex // guards what follows
	editions []*Edition // in force, and those before, the newest last
}

// keptEditions is how many configs are kept to explain decisions by. Each has its rules
// and its file; decisions of older ones are told without their rules.
const keptEditions = 4

// New returns a Log that nothing has been told yet.
func New(o Options) *Log {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Log{o: o}
	l.memory.sessions = map[string]*ring{}
	l.memory.nobody.name = nobody
	l.differences.reset(o.Now(), 0)
	return l
}

// Edition is what one config says of access. It is not edited, but for its number.
type Edition struct {
	log      *Log
	cfg      *config.Config
	keep     int
	policies []*auth.Policy // by Route.Index
	headers  []headers      // the same
	number   uint32         // set by Begin
}

// headers are those that the rules of a route read.
type headers struct {
	names []string
	all   bool
}

// Edition prepares for the decisions of a router made of cfg. Nothing changes until Begin.
func (l *Log) Edition(cfg *config.Config, router *proxy.Router, keep int) *Edition {
	e := &Edition{log: l, cfg: cfg, keep: keep}
	for _, r := range router.Routes() {
		policy := r.Policy // a copy: a Route has all that belongs to its upstream
		names, all := policy.HeadersRead()
		e.policies = append(e.policies, &policy)
		e.headers = append(e.headers, headers{names, all})
	}
	return e
}

// Begin puts e in force. What was observed is forgotten if who may do what is another
// thing now.
func (l *Log) Begin(e *Edition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.number = 1
	if n := len(l.editions); n > 0 {
		before := l.editions[n-1]
		if e.number = before.number + 1; !sameAccess(before.cfg, e.cfg) {
			l.differences.reset(l.o.Now(), e.number)
			if l.o.Counter != nil {
				l.o.Counter.ForgetObserved()
			}
		}
	}
	if l.editions = append(l.editions, e); len(l.editions) > keptEditions {
		l.editions = append([]*Edition(nil), l.editions[1:]...)
	}
	l.memory.resize(e.keep)
}

// edition is the one of that number, or nil if it is not kept any more.
func (l *Log) edition(number uint32) *Edition {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.editions {
		if e.number == number {
			return e
		}
	}
	return nil
}

// current is the edition in force, or nil before the first.
func (l *Log) current() *Edition {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.editions) == 0 {
		return nil
	}
	return l.editions[len(l.editions)-1]
}

// Decided is for proxy.Gate. The gateway's own pages have no rules, and are not told.
func (e *Edition) Decided(h http.Header, r *http.Request, d *proxy.Decision) {
	if d.Outcome == proxy.Own {
		return
	}
	if shown := e.log.shown.Load(); shown != nil && d.Login != nil {
		e.show(shown, h, r, d)
	}
	if d.Observes() {
		e.observed(web.NoteOf(r.Context()), d)
	}
	if e.keep > 0 {
		e.remember(r, d)
	}
}

// timeOf is when d was made: now, where no rule wanted to know.
func (l *Log) timeOf(d *proxy.Decision) time.Time {
	if at := d.Question.Time; !at.IsZero() {
		return at
	}
	return l.o.Now()
}

// Keeps is how many decisions of each session are kept.
func (l *Log) Keeps() int {
	l.memory.mu.Lock()
	defer l.memory.mu.Unlock()
	return l.memory.size
}

// place is a rule and its line, nil where there is none.
func (e *Edition) place(at string) *Place {
	if at == "" {
		return nil
	}
	return &Place{at, e.line(at)}
}

// line is where path stands in the file of e, or 0.
func (e *Edition) line(path string) int {
	if e == nil || path == "" {
		return 0
	}
	return e.cfg.Fault(path, "").Line
}
