package door

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Certificates are where those of the listener come from: Files or ACME.
type Certificates interface {
	// TLS is the configuration that serves them.
	TLS() *tls.Config
	// Start is called once the listeners are open.
	Start()
	// Refresh looks again now, and says what is wrong.
	Refresh() error
	// Prepare looks at whether c can be served, and returns what has it served. On an
	// error all stays as it is.
	Prepare(c Served) (use func(), err error)
	// Trouble is what the operator should see to; nil is nothing.
	Trouble() error
	// Challenges answers the authority on plain http, and hands on everything else.
	Challenges(next http.Handler) http.Handler
	// Close ends what runs, and waits for it.
	Close() error
}

// Served is what Certificates may be told anew while they serve.
type Served struct {
	// Hosts are the names that people come by.
	Hosts []string
	// CertFile and KeyFile are those of Files, and "" elsewhere.
	CertFile, KeyFile string
}

// Options are what a Door is made of.
type Options struct {
	// Handler serves what comes in; Context is that of its requests.
	Handler http.Handler
	Context context.Context
	// Certificates make the door speak TLS; nil leaves that to a proxy in front.
	Certificates Certificates
	// Known reports whether a host is served here, for sending it on to https at
	// Port.
	Known func(host string) bool
	Port  string
	// TrustedProxies may have any number of connections. With ProxyProtocol they
	// begin each with a PROXY header.
	TrustedProxies []netip.Prefix
	ProxyProtocol  bool
	Limits         Limits
	// Log takes what the operator should see; ErrorLog what clients do wrong.
	Log      *slog.Logger
	ErrorLog *slog.Logger
}

// Limits bound what one client can take.
type Limits struct {
	// HeaderBytes bounds the header of a request.
	HeaderBytes int
	// HeaderTimeout bounds a PROXY header, a handshake, and a header each.
	HeaderTimeout time.Duration
	// IdleTimeout is how long an unused connection is kept.
	IdleTimeout time.Duration
	// ConnectionsPerAddress bounds those of one client; zero does not.
	ConnectionsPerAddress int
	// Streams bounds the requests of one HTTP/2 connection at a time.
	Streams int
}

// Door serves the public.
type Door struct {
	o             Options
	limiter       *limiter
	patrol        patrol
	public, plain *http.Server
	open          atomic.Int64 // connections

	mu        sync.Mutex // guards listeners
	listeners []*stoppable
}

// New makes a Door. It listens to nothing yet.
func New(o Options) *Door {
	d := &Door{o: o, limiter: newLimiter(o.Limits.ConnectionsPerAddress, o.TrustedProxies, o.Log), patrol: patrol{every: patrolEvery}}
	d.public = d.server(o.Handler)
	d.plain = d.server(&redirector{known: o.Known, port: o.Port})
	d.plain.ReadTimeout = o.Limits.HeaderTimeout // nobody reads a body there, and net/http waits for one before it answers
	if o.Certificates != nil {
		d.public.TLSConfig = o.Certificates.TLS()
	}
	return d
}

func (d *Door) server(h http.Handler) *http.Server {
	l := d.o.Limits
	return &http.Server{
		Handler: h, MaxHeaderBytes: l.HeaderBytes, DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout: l.HeaderTimeout, IdleTimeout: l.IdleTimeout,
		// net/http ends a connection whose client opens and resets requests faster than
		// they end (CVE-2023-39325), and one whose header goes on past HeaderBytes
		// (CVE-2023-45288); both bounds follow from these two limits.
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: l.Streams},
		BaseContext: func(net.Listener) context.Context { return d.o.Context },
		ConnContext: withOwn,
		ConnState:   d.count,
		ErrorLog:    slog.NewLogLogger(d.o.ErrorLog.Handler(), slog.LevelDebug),
	}
}

// Serve serves on front, and sends on to https what comes to redirect, which may be nil. It
// returns after Shutdown or Close, or when one of the two fails.
func (d *Door) Serve(front, redirect net.Listener) error {
	failed := make(chan error, 2)
	serve := func(s *http.Server, l net.Listener) {
		var err error
		guarded := d.guard(l)
		if s.TLSConfig != nil {
			err = s.ServeTLS(guarded, "", "")
		} else {
			err = s.Serve(&sparing{guarded, &d.patrol})
		}
		if !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
			return
		}
		failed <- nil
	}
	go serve(d.public, front)
	running := 1
	if redirect != nil {
		if c := d.o.Certificates; c != nil {
			d.plain.Handler = c.Challenges(d.plain.Handler)
		}
		go serve(d.plain, redirect)
		running++
	}
	if d.o.Certificates != nil {
		d.o.Certificates.Start()
	}
	var first error
	for range running {
		if err := <-failed; err != nil {
			first = errors.Join(first, err)
			_ = d.Close() // one without the other is no door
		}
	}
	return first
}

// guard puts the limits of addresses and the PROXY protocol in front of l.
func (d *Door) guard(l net.Listener) net.Listener {
	s := newStoppable(l)
	d.mu.Lock()
	d.listeners = append(d.listeners, s)
	d.mu.Unlock()
	l = &limited{s, d.limiter}
	if d.o.ProxyProtocol {
		l = &behindProxies{Listener: l, limiter: d.limiter, timeout: d.o.Limits.HeaderTimeout,
			missing: coarse{log: d.o.Log, now: time.Now}}
	}
	return l
}

// Reconfigure puts other limits in force for connections to come: how many an address
// may have, and who is trusted. The other limits are those of the start.
func (d *Door) Reconfigure(connectionsPerAddress int, trusted []netip.Prefix) {
	d.limiter.rules.Store(&limits{connectionsPerAddress, trusted})
}

// Shutdown takes nothing new and waits for requests under way, until ctx ends.
func (d *Door) Shutdown(ctx context.Context) error {
	defer d.patrol.end()
	return errors.Join(d.public.Shutdown(ctx), d.plain.Shutdown(ctx))
}

// Close ends everything at once.
func (d *Door) Close() error {
	defer d.patrol.end()
	return errors.Join(d.public.Close(), d.plain.Close())
}
