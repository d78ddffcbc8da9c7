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
	"net/url"
	"strings"
	"sync"
	"time"
)

// UpstreamOptions say where requests go and how.
type UpstreamOptions struct {
	// Target is "http://host:port", "https://host" or "unix:///path/to/socket".
	// A path is put before every request's own; a query is refused.
	Target string
	// Host is the Host header sent. "" is the one that the browser sent, which is
	// what most apps want: they build links from it and compare Origin with it.
	Host string
	// ConnectTimeout bounds the connection, TLS included. Zero means 10 s.
	ConnectTimeout time.Duration
	// Timeout bounds the wait for the response header, counted from the end of
	// the request. Zero means 60 s. Bodies may take as long as they like.
	Timeout time.Duration
	// IdleConns is how many idle connections are kept. Zero means 256.
	IdleConns int
	// TLS is for https targets; nil means the system's roots and no client
	// certificate.
	TLS *tls.Config
	// Log hears of what the transport and the proxy remark. Nil means nobody.
	Log *slog.Logger
}

// Upstream is the way out: one target and the connections to it.
type Upstream struct {
	target    *url.URL // scheme and host
	base      string   // canonical, without trailing slash
	host      string
	transport *http.Transport
	proxy     *httputil.ReverseProxy
}

// NewUpstream makes an Upstream. It opens no connection.
func NewUpstream(o UpstreamOptions) (*Upstream, error) {
	target, socket, err := parseTarget(o.Target)
	if err != nil {
		return nil, err
	}
	base, ok := canonicalPath(target.EscapedPath())
	if marks, why := examine(base); !ok || why != "" || marks.chars != 0 {
		return nil, fmt.Errorf("target %q: its path can be read in more than one way", o.Target)
	}
	if _, _, ok := cleanHost(o.Host); !ok {
		return nil, fmt.Errorf("host %q is no host name", o.Host)
	}
	u := &Upstream{
		target: &url.URL{Scheme: target.Scheme, Host: target.Host},
		base:   strings.TrimSuffix(base, "/"),
		host:   o.Host,
	}
	u.transport = newTransport(o, socket)
	u.proxy = &httputil.ReverseProxy{
		Rewrite:        func(p *httputil.ProxyRequest) { carriageOf(p.In).rewrite(u, p) },
		ModifyResponse: func(res *http.Response) error { return carriageOf(res.Request).modify(res) },
		ErrorHandler:   func(w http.ResponseWriter, r *http.Request, err error) { carriageOf(r).fail(u, w, err) },
		Transport:      replay{u.transport},
		BufferPool:     buffers{},
		ErrorLog:       slog.NewLogLogger(orDiscard(o.Log).Handler(), slog.LevelWarn),
	}
	return u, nil
}

func parseTarget(s string) (target *url.URL, socket string, err error) {
	target, err = url.Parse(s)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the text, which may hold a password
		}
		return nil, "", fmt.Errorf("target: %w; want http://host:port, https://host or unix:///path/to/socket", err)
	}
	switch {
	case target.User != nil:
		return nil, "", errors.New("target: user and password have no place in it")
	case target.RawQuery != "" || target.ForceQuery || target.Fragment != "":
		return nil, "", fmt.Errorf("target %q: write it without query and fragment", s)
	case target.Scheme == "unix" && target.Host == "" && strings.HasPrefix(target.Path, "/"):
		return &url.URL{Scheme: "http", Host: "localhost"}, target.Path, nil
	case (target.Scheme == "http" || target.Scheme == "https") && target.Hostname() != "":
		return target, "", nil
	}
	return nil, "", fmt.Errorf("target %q: want http://host:port, https://host or unix:///path/to/socket", s)
}

func newTransport(o UpstreamOptions, socket string) *http.Transport {
	dialer := &net.Dialer{Timeout: orDefault(o.ConnectTimeout, 10*time.Second), KeepAlive: 30 * time.Second}
	dial := dialer.DialContext
	if socket != "" {
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}
	}
	idle := o.IdleConns
	if idle <= 0 {
		idle = 256
	}
	return &http.Transport{
		Proxy:                  nil, // what the environment says is not for the way inside
		DialContext:            dial,
		TLSClientConfig:        o.TLS,
		TLSHandshakeTimeout:    orDefault(o.ConnectTimeout, 10*time.Second),
		ForceAttemptHTTP2:      strings.HasPrefix(o.Target, "https:"),
		DisableCompression:     true, // what the browser asked for is what it gets
		MaxIdleConns:           idle,
		MaxIdleConnsPerHost:    idle,
		IdleConnTimeout:        90 * time.Second,
		ResponseHeaderTimeout:  orDefault(o.Timeout, 60*time.Second),
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
	}
}

// Close closes the connections that nobody uses. Requests under way go on.
func (u *Upstream) Close() { u.transport.CloseIdleConnections() }

// String returns the target, for logs.
func (u *Upstream) String() string { return u.target.String() + u.base }

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

// buffers lends what bodies are copied through.
type buffers struct{}

const bufferSize = 32 << 10

var bufferPool = sync.Pool{New: func() any { return new([bufferSize]byte) }}

func (buffers) Get() []byte  { return bufferPool.Get().(*[bufferSize]byte)[:] }
func (buffers) Put(b []byte) { bufferPool.Put((*[bufferSize]byte)(b)) }
