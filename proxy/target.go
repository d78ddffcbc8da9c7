package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// TargetOptions are one target of several.
type TargetOptions struct {
	// URL is as UpstreamOptions.Target.
	URL string
	// Weight is its share beside the others'. Zero means 1.
	Weight int
}

// target is one server of an Upstream.
type target struct {
	url    *url.URL // scheme and host
	base   string   // canonical, without trailing slash
	socket string   // of a unix target
	name   string   // as logs and the operator's page have it
	weight float64
	lines  atomic.Pointer[lines]

	wantsCert atomic.Bool            // it asked for a client certificate
	nonce     atomic.Pointer[string] // what it last wanted in a proof (RFC 9449 section 9); nil is nothing

	fails atomic.Int32          // failures in a row
	cause atomic.Pointer[error] // of the last one

	// Upstream.mu guards the rest.
	busy    int           // requests under way, except where Upstream.direct
	turn    float64       // see Upstream.inTurn
	sick    error         // what its health checks say
	ejected time.Time     // until when it is out; zero is in
	back    time.Time     // since when it has been coming back; zero is all there
	slow    time.Duration // how long that takes
}

func newTarget(o *UpstreamOptions, one TargetOptions) (*target, error) {
	address, socket, err := parseTarget(one.URL)
	if err != nil {
		return nil, err
	}
	switch {
	case o.Protocol == H2C && address.Scheme == "https":
		return nil, fmt.Errorf("target %q: h2c is HTTP/2 without TLS; want h2 for https", one.URL)
	case o.Protocol == H2 && address.Scheme == "http":
		return nil, fmt.Errorf("target %q: h2 is HTTP/2 over TLS; want h2c for http and unix", one.URL)
	}
	base, ok := canonicalPath(address.EscapedPath())
	if marks, why := examine(base); !ok || why != "" || marks.chars != 0 {
		return nil, fmt.Errorf("target %q: its path can be read in more than one way", one.URL)
	}
	t := &target{
		url: &url.URL{Scheme: address.Scheme, Host: address.Host}, base: strings.TrimSuffix(base, "/"),
		socket: socket, weight: float64(max(one.Weight, 1)), slow: o.SlowStart,
	}
	if t.name = t.url.String() + t.base; socket != "" {
		t.name = "unix://" + socket
	}
	t.lines.Store(newLines(o, t))
	return t, nil
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

// address is where the request of c goes at this target.
func (t *target) address(c *carriage) *url.URL {
	u := &url.URL{Scheme: t.url.Scheme, Host: t.url.Host}
	c.up.setURL(u, t.base)
	return u
}

// hasName reports whether the target is found by a name that may come to mean
// something else.
func (t *target) hasName() bool {
	if t.socket != "" {
		return false
	}
	_, err := netip.ParseAddr(t.url.Hostname())
	return err != nil
}

// dialer opens connections to t.
func (t *target) dialer(o *UpstreamOptions) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: orDefault(o.ConnectTimeout, 10*time.Second), KeepAlive: 30 * time.Second, Resolver: o.Resolver}
	dial := dialing(d.DialContext)
	if t.socket != "" {
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", t.socket) }
	}
	if !isPatient(o.headerTimeout()) {
		return dial
	}
	return dial.up
}

// roundTrip sends req by the line that it needs.
func (t *target) roundTrip(req *http.Request, c *carriage) (*http.Response, error) {
	c.to = t
	if c.addressed {
		req.URL = t.address(c) // a transport may still be at the one before
	} else {
		c.addressed = true
		req.URL.Scheme, req.URL.Host = t.url.Scheme, t.url.Host
		c.up.setURL(req.URL, t.base)
	}
	req.Host = c.route.Upstream.hostFor(c, t)
	if c.route.Form != nil {
		return c.route.Form.roundTrip(req, c, t)
	}
	return t.send(req, c)
}

// send sends req, with a proof where the route has one go up.
func (t *target) send(req *http.Request, c *carriage) (*http.Response, error) {
	if c.proves() {
		return t.sendProven(req, c)
	}
	return t.sendOnce(req, c)
}

// sendOnce hands req to the line that it needs.
func (t *target) sendOnce(req *http.Request, c *carriage) (*http.Response, error) {
	req, s := t.trace(req, c)
	res, err := t.hand(req, c)
	answered(s, res, err)
	return res, err
}

func (t *target) hand(req *http.Request, c *carriage) (*http.Response, error) {
	if wire := c.route.Upstream.options.Wire; wire != nil {
		return wire.RoundTrip(c.try.follow(req, c))
	}
	return t.lines.Load().send(req, c)
}
