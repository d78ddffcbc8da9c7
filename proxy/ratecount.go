package proxy

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// RateLimited is what the access line says of a request that came too soon. It was
// let through by the rule.
const RateLimited = "rate-limited"

// count counts a request that goes to the app, or to what the route says by itself, on
// each limit of the route. The answer tells what is left, whatever it is
// (draft-ietf-httpapi-ratelimit-headers-10). A request over any of them is counted on none.
func (g *Gate) count(w http.ResponseWriter, r *http.Request, d *Decision, note *web.Note) error {
	rates := d.Route.rates
	if len(rates) == 0 {
		return nil
	}
	var states [MaxRateLimits]rateState
	refused := -1
	for i, k := range rates {
		var ok bool
		if states[i], ok = k.take(k.caller(d.Login, note.Client)); !ok {
			refused = i
			for _, earlier := range rates[:i] {
				earlier.giveBack(earlier.caller(d.Login, note.Client))
			}
			break
		}
	}
	h := w.Header()
	h["Ratelimit-Policy"] = d.Route.ratePolicies
	if refused < 0 {
		h["Ratelimit"] = []string{rateLine(rates, &states)}
		return nil
	}
	var wait time.Duration
	var over []string
	detail := web.Message("More requests came from your address than are served here in so short a time. Wait a moment, and go on.")
	for i, k := range rates {
		who := k.caller(d.Login, note.Client)
		if i != refused {
			states[i] = k.look(who)
		}
		if states[i].left > 0 {
			continue
		}
		over = append(over, k.name)
		if wait = max(wait, states[i].reset); who.subject != "" {
			detail = "More requests came in your name than are served here in so short a time. Wait a moment, and go on."
		}
	}
	h["Ratelimit"] = []string{rateLine(rates, &states)}
	addCookies(h, deliver(r.Context(), d.Login))
	note.Decision = RateLimited
	if g.RateLimited != nil {
		g.RateLimited(d.Route.label)
	}
	return &web.Error{Status: http.StatusTooManyRequests, Code: "rate_limited", Title: "Too many requests", RetryAfter: wait,
		Detail: detail, Links: tryAgain(r, &d.Target), Extra: map[string]any{"violated-policies": over}, Err: errors.New("over the rate limit of the route")}
}

// rateLine is the value of RateLimit, a List of Strings with parameters (RFC 9651).
func rateLine(rates []*rate, states *[MaxRateLimits]rateState) string {
	var room [128]byte
	b := room[:0]
	for i, k := range rates {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(append(append(b, '"'), k.name...), `";r=`...)
		b = append(strconv.AppendInt(b, int64(states[i].left), 10), ";t="...)
		b = strconv.AppendInt(b, int64((states[i].reset+time.Second-1)/time.Second), 10) // as Retry-After, rounded up
	}
	return string(b)
}

// keepLimits puts back what an informational answer has taken out of the header.
func (c *carriage) keepLimits(h http.Header) {
	if c.limits == nil || len(h["Ratelimit"]) > 0 && h["Ratelimit"][0] == c.limits[0] {
		return
	}
	h["Ratelimit"] = append([]string{c.limits[0]}, h["Ratelimit"]...)
	h["Ratelimit-Policy"] = append([]string{c.route.ratePolicies[0]}, h["Ratelimit-Policy"]...)
}
