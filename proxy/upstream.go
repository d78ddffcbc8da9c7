package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"time"
)

// UpstreamOptions say where requests go and how.
type UpstreamOptions struct {
	// Target is the only target, short for Targets with one. A target is
	// "http://host:port", "https://host" or "unix:///path/to/socket". A path is put
	// before every request's own; a query is refused.
	Target string
	// Targets are several of them, which serve the same.
	Targets []TargetOptions
	// Balance is how one of several is chosen. The zero value is LeastRequests.
	Balance Balance
	// Sticky sends a session to the same target for as long as that is in use.
	Sticky bool
	// Health asks each target how it is. Nil asks none.
	Health *HealthOptions
	// EjectAfter takes a target out after so many failures in a row, for EjectFor
	// (zero means 30 s). Zero takes none out.
	EjectAfter int
	EjectFor   time.Duration
	// SlowStart is how long it takes a target that comes back to get its whole share
	// again. Zero gives it back at once.
	SlowStart time.Duration
	// Retries is to how many more targets a request may go; see retry.go for which.
	Retries int
	// Connections is how many requests each target has at a time at most, each on a
	// connection of its own where that speaks HTTP/1.1. Zero means no limit.
	Connections int
	// QueueTime is how long a request waits where that many are under way. Zero
	// means 5 s.
	QueueTime time.Duration
	// Protocol is what is spoken. The zero value is Auto.
	Protocol Protocol
	// Host is the Host header sent. "" is the one that the browser sent, which is
	// what most apps want: they build links from it and compare Origin with it.
	Host string
	// TargetHost sends the host of the target instead.
	TargetHost bool
	// ConnectTimeout bounds the connection, TLS included. Zero means 10 s.
	ConnectTimeout time.Duration
	// Timeout bounds the wait for the response header, counted from the end of
	// the request, and how long the target may leave a body lying that is there for
	// it. Zero means 60 s, below zero is no bound. Bodies that move may take as long
	// as they like, and event streams and gRPC calls are not bound at all.
	Timeout time.Duration
	// IdleTimeout is how long an unused connection is kept. Zero means 90 s.
	IdleTimeout time.Duration
	// IdleConns is how many idle connections are kept to each target. Zero means 256.
	IdleConns int
	// TLS is for https targets; nil means the system's roots and no client
	// certificate.
	TLS *tls.Config
	// Wire takes the requests in place of the network: whoever wants to see what would go
	// up, without anything going there. Nil is the network.
	Wire http.RoundTripper
	// Resolver looks up host names. Nil means net.DefaultResolver.
	Resolver *net.Resolver
	// Log hears of what the transport and the proxy remark, and of targets that go
	// and come. Nil means nobody.
	Log *slog.Logger
}

// Upstream is the way out: its targets and the connections to them.
type Upstream struct {
	targets []*target
	direct  bool   // one target without limit: there is nothing to choose or to wait for
	short   bool   // each has a line for what has no body
	host    string // Host header; "" is the browser's
	// targetHost makes it the target's
	targetHost bool
	options    UpstreamOptions
	proxy      httputil.ReverseProxy // each request has a copy, with a BufferPool of its own
	log        *slog.Logger

	resolveEvery time.Duration

	mu      sync.Mutex // guards what follows, and the state of each target
	waiters []*waiter
	allOut  bool // no target is in order, so all are used

	stop    context.CancelFunc // ends the watchers; nil before Start
	watches sync.WaitGroup
}

// NewUpstream makes an Upstream. It opens no connection.
func NewUpstream(o UpstreamOptions) (*Upstream, error) {
	if o.Target != "" {
		o.Targets = append([]TargetOptions{{URL: o.Target}}, o.Targets...)
	}
	if len(o.Targets) == 0 {
		return nil, errors.New("target: there is none; want http://host:port, https://host or unix:///path/to/socket")
	}
	if _, _, ok := cleanHost(o.Host); !ok {
		return nil, fmt.Errorf("host %q is no host name", o.Host)
	}
	u := &Upstream{host: o.Host, targetHost: o.TargetHost, options: o, log: orDiscard(o.Log), resolveEvery: resolveEvery}
	for _, one := range o.Targets {
		t, err := newTarget(&u.options, one)
		if err != nil {
			return nil, err
		}
		u.targets = append(u.targets, t)
	}
	u.short = !slices.ContainsFunc(u.targets, func(t *target) bool { return t.lines.Load().short == nil })
	u.direct = len(u.targets) == 1 && o.Connections == 0
	u.proxy = httputil.ReverseProxy{
		Rewrite:        func(p *httputil.ProxyRequest) { carriageOf(p.In).rewrite(p) },
		ModifyResponse: func(res *http.Response) error { return carriageOf(res.Request).modify(res) },
		ErrorHandler:   func(w http.ResponseWriter, r *http.Request, err error) { carriageOf(r).fail(u, w, err) },
		Transport:      replay{u},
		ErrorLog:       slog.NewLogLogger(u.log.Handler(), slog.LevelWarn),
	}
	return u, nil
}

// Start begins what goes on beside requests: health checks, and a look at
// whether host names still mean the same. Close ends it.
func (u *Upstream) Start() {
	ctx, stop := context.WithCancel(context.Background())
	u.stop = stop
	for _, t := range u.targets {
		if u.options.Health != nil {
			u.watches.Go(func() { u.watchHealth(ctx, t) })
		}
		if t.hasName() {
			u.watches.Go(func() { u.watchAddresses(ctx, t) })
		}
	}
}

// Close ends what Start began, waits for it, and closes the connections that
// nobody uses. Requests under way go on.
func (u *Upstream) Close() {
	if u.stop != nil {
		u.stop()
		u.watches.Wait()
	}
	for _, t := range u.targets {
		t.lines.Load().closeIdle()
	}
}

// String returns the targets, for logs.
func (u *Upstream) String() string {
	names := make([]string, len(u.targets))
	for i, t := range u.targets {
		names[i] = t.name
	}
	return strings.Join(names, ", ")
}

// hostFor is the Host header of a request at t.
func (u *Upstream) hostFor(c *carriage, t *target) string {
	switch {
	case u.targetHost:
		return t.url.Host
	case u.host != "":
		return u.host
	}
	return c.host
}

func orDefault(d, or time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return or
}

func orDiscard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
