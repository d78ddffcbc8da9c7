package proxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/inject"
)

// bare are the headers of the gateway's own requests to the app: what tells of the
// browser and of the person, for many apps tie a session to these.
func (v *visit) bare(h http.Header) http.Header {
	bare := http.Header{"Accept": {"text/html,application/xhtml+xml,*/*;q=0.8"}, "Accept-Encoding": v.encoding(h)}
	keep := func(name string) bool {
		switch name {
		case "User-Agent", "Accept-Language", "Accept-Charset", "X-Request-Id", "Authorization":
			return true
		}
		if strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
		for _, line := range v.c.route.up.lines {
			if line.name == name && !inject.IsBrowsers(name) {
				return true
			}
		}
		return false
	}
	for name, values := range h {
		if keep(name) {
			bare[name] = values
		}
	}
	return bare
}

// walk is a way through the app's pages.
type walk struct {
	v       *visit
	ctx     context.Context
	header  http.Header
	jar     jar
	lines   []string // cookies that are the browser's
	landing bool     // the form was sent
	refused bool     // and led back to the login page
}

// stop is a page on the way.
type stop struct {
	url    *url.URL
	status int
	body   []byte
	next   string // where it leads on to, or ""
}

const maxHops = 5

func (w *walk) get(u *url.URL) (*stop, error) {
	return w.follow(w.ask(http.MethodGet, u, nil, "", nil))
}

// follow goes where the app leads, as long as that is the app.
func (w *walk) follow(at *stop, err error) (*stop, error) {
	for range maxHops {
		if err != nil || at.next == "" {
			return at, err
		}
		u, ok := w.v.resolve(at.next, at.url.EscapedPath())
		if !ok {
			if w.landing {
				return at, nil // elsewhere, with what the app gave
			}
			return nil, &formError{"the login page is at another place than the app: " + at.next}
		}
		if w.landing && !w.v.f.InPage && w.v.f.isLogin(u) {
			w.refused = true
			return at, nil
		}
		at, err = w.ask(http.MethodGet, u, nil, "", at.url)
	}
	if err == nil && at.next != "" {
		return nil, &formError{"the app redirects without end"}
	}
	return at, err
}

// ask sends one request, and takes the cookies of its answer.
func (w *walk) ask(method string, u *url.URL, body []byte, contentType string, from *url.URL) (*stop, error) {
	v := w.v
	address := &url.URL{Scheme: v.t.url.Scheme, Host: v.t.url.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	req, err := http.NewRequestWithContext(w.ctx, method, address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, &formError{"there is no such address: " + u.EscapedPath()}
	}
	req.Header, req.Host = w.header.Clone(), v.c.route.Upstream.hostFor(v.c, v.t)
	path := u.EscapedPath()
	if cookies := w.jar.header(path, time.Now(), nil); cookies != nil {
		req.Header["Cookie"] = cookies
	}
	origin := v.origin(req.Host)
	if from != nil {
		req.Header["Referer"] = []string{origin + from.RequestURI()}
	}
	if method == http.MethodPost {
		req.Header["Content-Type"], req.Header["Origin"] = []string{contentType}, []string{origin}
	}
	res, err := v.t.lines.Load().plain.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	at := &stop{url: u, status: res.StatusCode}
	if at.body, err = readPage(res); err != nil {
		return nil, err
	}
	if isRedirect(res.StatusCode) {
		at.next = res.Header.Get("Location")
	}
	// On this way the gateway is the browser, so it keeps that one's cookies too.
	lines := v.divide(res.Header)
	for _, line := range res.Header["Set-Cookie"] {
		if pair, _, _ := strings.Cut(line, ";"); !v.c.own(cookieName(pair)) {
			w.lines = append(w.lines, line)
			lines = append(lines, line)
		}
	}
	w.jar, _ = w.jar.with(lines, v.reader(path))
	return at, nil
}

// readPage reads the body of a page, or its beginning where that is long.
func readPage(res *http.Response) ([]byte, error) {
	var body io.Reader = res.Body
	if strings.EqualFold(res.Header.Get("Content-Encoding"), "gzip") {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return nil, &formError{"the page cannot be decompressed: " + err.Error()}
		}
		body = unzipped
	}
	return io.ReadAll(io.LimitReader(body, maxPage))
}

// origin is where the app takes its pages to be.
func (v *visit) origin(host string) string {
	if host == v.c.host {
		return v.c.scheme + "://" + host
	}
	return v.t.url.Scheme + "://" + host
}
