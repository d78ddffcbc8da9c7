package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/evergate/evergate/internal/inject"
)

// Dialect is how a front proxy tells which request it asks about.
type Dialect string

// The dialects, by the proxies that speak them.
const (
	Nginx   Dialect = "nginx"   // auth_request, with what the documented configuration sets
	Traefik Dialect = "traefik" // ForwardAuth
	Caddy   Dialect = "caddy"   // forward_auth
	HAProxy Dialect = "haproxy" // a script in Lua
	Envoy   Dialect = "envoy"   // ext_authz over HTTP, with a path_prefix
)

// Dialects are all of them.
var Dialects = []Dialect{Nginx, Traefik, Caddy, HAProxy, Envoy}

// TellsCookies reports whether answers of 2xx say which cookies go up to the app, in a
// Cookie header: such proxies replace a header whole, and cannot take the gateway's own
// cookies out of it.
func (d Dialect) TellsCookies() bool { return d == Traefik || d == Caddy || d == Envoy }

// asksAt is the path at which front proxies ask.
const asksAt = reserved + "/auth"

// told are the headers by which a dialect tells of the request. Each has to be there once,
// in this very spelling, and nothing else is believed.
func (d Dialect) told() []string {
	switch d {
	case Nginx:
		return []string{"X-Original-Url", "X-Original-Method", "X-Forwarded-For"}
	case Envoy:
		return []string{"X-Forwarded-Proto", "X-Forwarded-For"}
	}
	return []string{"X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri", "X-Forwarded-For"}
}

// original is the request that a front proxy asks about.
type original struct{ method, scheme, host, uri string }

// read finds out what r asks about. It guesses nothing: what is missing, doubled or
// unreadable is an error, for the proxy would serve something else than what was decided on.
func (d Dialect) read(r *http.Request) (o original, err error) {
	values := map[string]string{}
	names := d.told()
	for name, lines := range r.Header {
		folded := inject.Fold(name)
		i := slices.IndexFunc(names, func(want string) bool { return strings.EqualFold(want, folded) })
		if i < 0 {
			continue
		}
		if name != names[i] { // some would take X_Forwarded_Uri for it
			return o, fmt.Errorf("there is %.64q beside %s", name, names[i])
		}
		if len(lines) != 1 {
			return o, fmt.Errorf("%s is there %d times", name, len(lines))
		}
		values[name] = lines[0]
	}
	for _, name := range names {
		if values[name] == "" {
			return o, fmt.Errorf("%s is missing or empty", name)
		}
	}
	switch d {
	case Nginx:
		o.method = values["X-Original-Method"]
		o.scheme, o.host, o.uri, err = cutURL(values["X-Original-Url"])
	case Envoy:
		o.method, o.scheme, o.host = r.Method, values["X-Forwarded-Proto"], r.Host
		o.uri = strings.TrimPrefix(r.RequestURI, asksAt)
	default:
		o.method, o.scheme, o.host, o.uri = values["X-Forwarded-Method"], values["X-Forwarded-Proto"], values["X-Forwarded-Host"], values["X-Forwarded-Uri"]
	}
	switch {
	case err != nil:
		return o, err
	case o.scheme != "http" && o.scheme != "https":
		return o, fmt.Errorf("%.32q is neither http nor https", o.scheme)
	case o.host == "":
		return o, errors.New("it names no host")
	case !strings.HasPrefix(o.uri, "/"):
		return o, errors.New("its path does not begin with a slash")
	}
	return o, nil
}

// cutURL takes a URL apart without changing a byte of it.
func cutURL(s string) (scheme, host, uri string, err error) {
	scheme, rest, ok := strings.Cut(s, "://")
	i := strings.IndexByte(rest, '/')
	if !ok || i < 0 {
		return "", "", "", errors.New("X-Original-Url is no URL with a scheme, a host and a path")
	}
	return scheme, rest[:i], rest[i:], nil
}

// request is the request that r asks about, as it would have come. Public is where the
// gateway is reached: its port is that of a host that came without.
func (d Dialect) request(r *http.Request, public *url.URL) (*http.Request, error) {
	o, err := d.read(r)
	if err != nil {
		return nil, err
	}
	u, err := url.ParseRequestURI(o.uri)
	if err != nil || u.IsAbs() || u.Host != "" {
		return nil, errors.New("its path cannot be read")
	}
	if _, port, ok := cleanHost(o.host); ok && port == "" && public.Port() != "" {
		o.host += ":" + public.Port()
	}
	out := r.Clone(r.Context())
	out.Method, out.Host, out.URL, out.RequestURI = o.method, o.host, u, o.uri
	out.Proto, out.ProtoMajor, out.ProtoMinor = "HTTP/1.1", 1, 1
	// The body, if any, stays with the front proxy.
	out.Body, out.ContentLength, out.TransferEncoding, out.Trailer = http.NoBody, 0, nil, nil
	h := out.Header
	if len(h["Upgrade"]) > 1 {
		return nil, errors.New("it asks to change the protocol in two ways")
	}
	socket := isSocket(h)
	for name := range h {
		switch folded := inject.Fold(name); {
		case strings.HasPrefix(folded, "x-original-"), strings.HasPrefix(folded, "x-forwarded-"):
			delete(h, name) // of the proxy, of another dialect, or of nobody
		case folded == "forwarded":
			delete(h, name)
		}
	}
	for _, name := range []string{"Connection", "Upgrade", "Content-Length", "Transfer-Encoding", "Te", "Trailer", "Keep-Alive", "Proxy-Connection"} {
		delete(h, name) // of the connection to the proxy
	}
	if socket {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	h["X-Forwarded-For"], h["X-Forwarded-Proto"] = r.Header["X-Forwarded-For"], []string{o.scheme}
	return out, nil
}

// isSocket reports whether a request opens a WebSocket: its Upgrade header ends at the
// proxy, and what is left of it are these. No page can set or avoid them.
func isSocket(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, "Sec-Websocket-") {
			return true
		}
	}
	return hasToken(h, "Upgrade", "websocket")
}
