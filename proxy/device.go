package proxy

import (
	"net/http"
	"net/url"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// DeviceDemand is what a route wants of sessions that a browser can bind to a key of its
// device (see auth.Bindings).
type DeviceDemand int

const (
	// DevicePreferred serves a session that is bound with the proof alone, and one that is
	// not as ever.
	DevicePreferred DeviceDemand = iota
	// DeviceIgnored serves a session that is bound without the proof too.
	DeviceIgnored
	// DeviceRequired serves bound sessions alone.
	DeviceRequired
)

var errUnbound = &auth.Denied{Missing: "a sign-in that is bound to this device", Needs: web.T("a sign-in that is bound to this device"), Unbound: true}

// forDevice is r as its route wants it authenticated.
func forDevice(r *http.Request, route *Route) *http.Request {
	if route.Device == DeviceIgnored {
		return r.WithContext(auth.WithoutBinding(r.Context()))
	}
	return r
}

// demandDevice keeps out who may pass, and has no session that is bound.
func demandDevice(d *Decision) {
	if d.Route.Device != DeviceRequired || d.Outcome != Allowed || d.Login.Session != nil && d.Login.Session.Bound() {
		return
	}
	d.Outcome, d.Err = Denied, errUnbound
}

// asksMoreOfDevice reports whether a route of now serves bound sessions alone, or those that are
// proven, and c began for one that need not be. Who has one that is begins again.
func (c *carriage) asksMoreOfDevice(now *Route) bool {
	switch {
	case now.Device == c.route.Device || now.Device == DeviceIgnored || c.login == nil:
		return false
	case c.route.Device == DeviceIgnored:
		return true
	}
	return now.Device == DeviceRequired && (c.login.Session == nil || !c.login.Session.Bound())
}

// unbound has the browser make a key and come again, as long as the session may be bound. That
// ends a while after the sign-in, and with it the coming again.
func (g *Gate) unbound(w http.ResponseWriter, r *http.Request, d *Decision) error {
	again := reserved + "/logout?rd=" + url.QueryEscape(returnTo(r, &d.Target))
	e := &web.Error{Status: http.StatusForbidden, Code: "device_unbound", Title: "This page wants a sign-in that is bound to your device", Help: true,
		Detail: "So a copy of the sign-in cookie opens nothing elsewhere. Browsers bind it right after the sign-in: sign in again. One that cannot do it does not get in here; current versions of Chrome and Edge can.",
		Links:  []web.Link{{Text: "Sign in again", URL: again}}, Err: d.Err}
	if g.OfferKey != nil && g.OfferKey(w.Header(), r) && web.IsNavigation(r) && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		e.Detail = "So a copy of the sign-in cookie opens nothing elsewhere. The browser has been asked to bind it, and this page tries again by itself. A browser that cannot do it does not get in here; current versions of Chrome and Edge can."
		e.Header = reloads(2, &d.Target)
	}
	return e
}
