package demo

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// headerRows lists the request's headers by name. Values that open something
// are shortened: a page is no place for them, and a script could read it.
func headerRows(r *http.Request) []row {
	h := shortened(r.Header)
	h["Host"] = []string{r.Host} // Go keeps it apart
	var out []row
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			out = append(out, row{Name: name, Value: value})
		}
	}
	return out
}

// shortened returns h with its secrets cut to what tells them apart.
func shortened(h http.Header) http.Header {
	h = h.Clone()
	for _, name := range []string{"Authorization", "Proxy-Authorization"} {
		for i, value := range h[name] {
			h[name][i] = shortCredentials(value)
		}
	}
	for i, value := range h["Cookie"] {
		h["Cookie"][i] = shortCookies(value)
	}
	return h
}

// shortCredentials keeps the scheme of an Authorization value, and of a Bearer
// token as much as is the same in all of them: the head of the JWT's header.
func shortCredentials(value string) string {
	scheme, rest, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Bearer") || len(rest) < 40 {
		return fmt.Sprintf("%s … (%d bytes)", clip(scheme, 20), len(rest))
	}
	return fmt.Sprintf("%s %s (%d bytes)", scheme, clip(rest, 10), len(rest))
}

// shortCookies keeps the names of cookies.
func shortCookies(value string) string {
	var out []string
	for pair := range strings.SplitSeq(value, ";") {
		name, v, _ := strings.Cut(strings.TrimSpace(pair), "=")
		out = append(out, fmt.Sprintf("%s=… (%d bytes)", name, len(v)))
	}
	return strings.Join(out, "; ")
}
