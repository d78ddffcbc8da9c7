package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/evergate/evergate/internal/inject"
	"github.com/evergate/evergate/internal/web"
)

// CSRF refuses requests that change something and that a page of another origin made a
// browser send, with the person's cookies in it: for apps that tell these from their
// own in no other way. It decides by what the browser says, before the body is read:
//
//   - GET, HEAD and OPTIONS pass, unless a header asks to take them for another method.
//     WebSockets have a check of their own; see checkUpgrade.
//   - A client's own token in place of cookies passes: no other page can send it.
//   - Sec-Fetch-Site is what every browser has sent since 2023 and no page can change:
//     same-origin and none (the person's own doing) pass. same-site is another origin,
//     and so is each other host of the gateway.
//   - Without it Origin counts, which browsers have sent with forms since 2020; scheme,
//     host and port have to be those of the request. "null" is nobody's origin.
//   - Without either the Referer does.
//   - With none of the three, what brings something that browsers attach by themselves
//     (a cookie, Basic credentials) may come from an old browser on a page that says
//     no-referrer, and is refused. net/http.CrossOriginProtection lets it pass. Here people
//     would have no other guard; a program can send an Origin. What brings nothing passes,
//     for there is nobody whom it could speak for.
type CSRF struct {
	// Except are paths that every page may send to, matched as those of routes are:
	// what other sites are meant to call, such as a sign-in or payment that comes back
	// by a form.
	Except []string
	// Origins are of pages that may send, such as "https://app.example.com".
	Origins []string

	except  node
	origins map[string]bool
}

func (c *CSRF) prepare(fault func(key, format string, args ...any)) {
	if c == nil {
		return
	}
	c.except, c.origins = node{}, map[string]bool{}
	for i, p := range c.Except {
		if why := checkPattern(p); why != "" {
			fault(fmt.Sprintf("csrf.except[%d]", i), "%q %s", p, why)
			continue
		}
		c.except.leaf(p)
	}
	for i, o := range c.Origins {
		origin, ok := cleanOrigin(o)
		if !ok {
			fault(fmt.Sprintf("csrf.origins[%d]", i), "%q is no origin; write scheme://host[:port]", o)
			continue
		}
		c.origins[origin] = true
	}
}

// check says why a request to r may be another site's doing, or nil.
func (c *CSRF) check(in *http.Request, r *Route, t *Target) *web.Error {
	if c == nil || c.excepts(t) {
		return nil
	}
	h := in.Header
	switch in.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		if name := methodOverride(h); name != "" {
			return &web.Error{Status: http.StatusForbidden, Code: "method_override", Title: "That request has two methods",
				Detail: "The header {header} asks the app to take a {method} for something else. Send the method itself.", Args: web.Args{"header": name, "method": in.Method},
				Err: errors.New("a safe method with " + name)}
		}
		return nil
	}
	if r.Bearer && bearerAlone(h) {
		return nil
	}
	scheme := schemeOf(in)
	from, own := sender(h), scheme+"://"+withoutDefaultPort(scheme, canonicalHost(in.Host))
	switch site := h["Sec-Fetch-Site"]; {
	case c.origins[from]:
		return nil
	case len(site) == 1 && (site[0] == "same-origin" || site[0] == "none"):
		return nil
	case site != nil:
		return crossSite(t, fmt.Errorf("Sec-Fetch-Site is %.64q, and Origin %.256q", site, h["Origin"]))
	case from == own:
		return nil
	case from != "":
		return crossSite(t, fmt.Errorf("it comes from %.256q, and this is %s", from, own))
	case h["Cookie"] != nil || ambient(h):
		return crossSite(t, errors.New("it brings credentials, and none of Sec-Fetch-Site, Origin and Referer"))
	}
	return nil
}

// excepts reports whether a path is one of Except, however an app may read it.
func (c *CSRF) excepts(t *Target) bool {
	if c.except.find(t.Path[1:]) == nil {
		return false
	}
	for _, reading := range t.Readings {
		if c.except.find(reading[1:]) == nil {
			return false
		}
	}
	return true
}

// sender is the origin of the page that sent a request, by Origin or else by Referer. It
// is "" where there is neither, and no origin where what there is names none.
func sender(h http.Header) string {
	if origins := h["Origin"]; origins != nil {
		if len(origins) != 1 || origins[0] == "" {
			return "null"
		}
		return strings.ToLower(origins[0])
	}
	referers := h["Referer"]
	if referers == nil {
		return ""
	}
	from, err := url.Parse(referers[0])
	if len(referers) != 1 || err != nil || from.Host == "" {
		return "null"
	}
	origin, ok := cleanOrigin(from.Scheme + "://" + from.Host)
	if !ok {
		return "null"
	}
	return origin
}

// bearerAlone reports whether a request brings a token and no cookie.
func bearerAlone(h http.Header) bool {
	return h["Cookie"] == nil && len(h["Authorization"]) == 1 && !ambient(h)
}

// ambient reports whether a request brings credentials that a browser may have added to it
// by itself. It never adds a token of the Bearer kind.
func ambient(h http.Header) bool {
	for _, line := range h["Authorization"] {
		if scheme, _, _ := strings.Cut(line, " "); !strings.EqualFold(scheme, "Bearer") {
			return true
		}
	}
	return false
}

// methodOverride names the header by which a request asks to be taken for one of another
// method, or "". Many frameworks do, some for a GET too. A _method in the body of a form
// is no way around: it is read from a POST, which is looked at anyway.
func methodOverride(h http.Header) string {
	for name := range h {
		if len(name) > 0 && (name[0] == 'X' || name[0] == 'x') {
			switch inject.Fold(name) {
			case "x-http-method-override", "x-http-method", "x-method-override":
				return name
			}
		}
	}
	return ""
}

func crossSite(t *Target, err error) *web.Error {
	return &web.Error{Status: http.StatusForbidden, Code: "cross_site", Title: "Another site sent this",
		Detail: "A page of another site, or a browser that does not say which page, tried to change something here in your name. Nothing was changed. If you meant to, open the page here and do it there.",
		Links:  []web.Link{{Text: "Open the page", URL: t.Path}}, Err: err}
}
