// Package secureheaders knows the security headers of each level that a route may have.
// The file is checked by it, and answers are given them by it.
//
// Where the OWASP Secure Headers Project and Mozilla's HTTP Observatory recommend a header
// that is not here, or another value, the reason stands beside it.
package secureheaders

import "slices"

// Line is one header of a level.
type Line struct {
	Name, Value string
	// HTTPS says that it is for answers over https alone.
	HTTPS bool
}

// Names of headers that are not simply added.
const (
	ContentPolicy = "Content-Security-Policy"
	FrameOptions  = "X-Frame-Options"
	HSTS          = "Strict-Transport-Security"
)

// Levels are the words of the file.
var Levels = []string{"basic", "strict"}

// basic takes nothing from an app that it could need on its own origin.
//
// There is no Content-Security-Policy with frame-ancestors in it: browsers obey that in
// the place of X-Frame-Options, so that an app's own DENY would be lost.
var basic = []Line{
	{Name: "X-Content-Type-Options", Value: "nosniff"},
	// What browsers do today where nothing is said, and did not always. It sends no path to
	// other sites, and leaves apps the Referer of their own pages.
	{Name: "Referrer-Policy", Value: "strict-origin-when-cross-origin"},
	{Name: FrameOptions, Value: "SAMEORIGIN"},
}

// strict is for apps that are all on their own origin: no inline scripts or styles, and
// nothing from elsewhere but data: images, which cannot act.
//
// Cross-Origin-Embedder-Policy is left out: it closes nothing by itself, it only is the price
// of what browsers give to isolated pages. X-XSS-Protection is gone from browsers, and did harm.
var strict = []Line{
	{Name: "X-Content-Type-Options", Value: "nosniff"},
	// Not no-referrer: under it browsers send "Origin: null" with a form (Fetch section
	// 3.1), and those that do not say Sec-Fetch-Site look like a stranger's.
	{Name: "Referrer-Policy", Value: "same-origin"},
	// Not DENY: what a page of the same origin could do with a frame it can do without one.
	{Name: FrameOptions, Value: "SAMEORIGIN"},
	// No form-action: browsers hold redirects to it too (CSP3 section 4.2), and a form whose
	// session has ended is sent on to sign in, at another host or at the provider. No
	// upgrade-insecure-requests: default-src lets no plain http pass from an https page.
	{Name: ContentPolicy, Value: "default-src 'self'; img-src 'self' data:; base-uri 'self'; object-src 'none'; frame-ancestors 'self'"},
	{Name: "Cross-Origin-Opener-Policy", Value: "same-origin"},
	{Name: "Cross-Origin-Resource-Policy", Value: "same-origin"},
	// What asks for sensors, devices and money, by names that browsers know; what they do not
	// know they complain of.
	{Name: "Permissions-Policy", Value: "bluetooth=(), camera=(), display-capture=(), geolocation=(), hid=(), microphone=(), midi=(), payment=(), serial=(), usb=()"},
	{Name: "X-Permitted-Cross-Domain-Policies", Value: "none"},
	// A year, for this host alone: subdomains may be others', and cannot be asked.
	{Name: HSTS, Value: "max-age=31536000", HTTPS: true},
}

// Of returns the lines of a level, or nil.
func Of(level string) []Line {
	switch level {
	case "basic":
		return slices.Clone(basic)
	case "strict":
		return slices.Clone(strict)
	}
	return nil
}

// Names are those of a level, or of all levels for one that is unknown.
func Names(level string) (names []string) {
	lines := Of(level)
	if lines == nil {
		lines = strict
	}
	for _, l := range lines {
		names = append(names, l.Name)
	}
	return names
}
