package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/evergate/evergate/internal/web"
)

// replaces reports whether a person gets the gateway's page in place of what the
// upstream says. A program gets what the app said, for it may be made to read it.
func (c *carriage) replaces(res *http.Response) bool {
	return slices.Contains(c.route.ReplaceErrors, res.StatusCode) && web.IsNavigation(c.in) &&
		!strings.HasPrefix(res.Header.Get("Content-Type"), "application/grpc")
}

// replacement is that page. The body and the cookies of the upstream's answer go,
// and when to come again stays.
func (c *carriage) replacement(res *http.Response) error {
	e := &web.Error{Status: res.StatusCode, Code: "upstream_error", Links: tryAgain(c.in, c.target),
		Title: "Something went wrong in the app", Detail: "The app behind this address could not answer this request. Trying again may help.",
		Err: fmt.Errorf("upstream answered %d, and the route replaces that", res.StatusCode)}
	switch res.StatusCode {
	case http.StatusBadGateway:
		e.Title = "The app does not answer properly"
	case http.StatusServiceUnavailable:
		e.Title, e.Detail = "The app is not available for the moment", "It says so itself: it may be starting, or under maintenance. Try again in a moment."
	case http.StatusGatewayTimeout:
		e.Title = "The app takes too long to answer"
	}
	if after := res.Header["Retry-After"]; len(after) > 0 {
		e.Header = http.Header{"Retry-After": after[:1]}
	}
	return e
}
