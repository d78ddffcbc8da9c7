package door

import (
	"net/http"
	"strconv"
	"time"
)

// mostPatience bounds each wait for the authority: whoever closes the gateway waits for it.
const mostPatience = 10 * time.Second

// patience is how long to wait before the same question is asked again, the nth
// time, of an authority that could not answer. Below zero ends the attempt: we are
// closing, or it wants more time than an attempt has. The next attempt is minutes
// away, and counts its own pauses.
func patience(ended <-chan struct{}, n int, answer http.Header) time.Duration {
	select {
	case <-ended:
		return -1
	default:
	}
	after, said := laterBy(answer)
	switch {
	case said && after > mostPatience:
		return -1
	case said:
		return max(after, time.Second)
	}
	return min(time.Second<<min(max(n-1, 0), 10), mostPatience)
}

// hasten bounds what the answer of the authority says about asking again: autocert
// sleeps for so long while it waits for an order, and nothing wakes it.
func hasten(answer http.Header) {
	after, said := laterBy(answer)
	switch {
	case !said:
		answer.Del("Retry-After")
	case after > mostPatience:
		answer.Set("Retry-After", strconv.Itoa(int(mostPatience/time.Second)))
	}
}

// laterBy reads Retry-After (RFC 9110 section 10.2.3).
func laterBy(h http.Header) (after time.Duration, said bool) {
	v := h.Get("Retry-After")
	if n, err := strconv.ParseUint(v, 10, 64); err == nil || isDigits(v) {
		if err != nil || n > 1e6 {
			n = 1e6
		}
		return time.Duration(n) * time.Second, true
	}
	if t, err := http.ParseTime(v); err == nil {
		return time.Until(t), true
	}
	return 0, false
}

func isDigits(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
