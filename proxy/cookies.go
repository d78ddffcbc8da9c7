package proxy

import (
	"net/http"
	"strings"
)

// stripCookies removes the gateway's own cookies from a request and leaves
// every other byte as it came. Several Cookie lines become one (RFC 9113
// section 8.2.3), so that the upstream sees what one line would have said.
//
// Pieces end at every ";", as browsers mean it. A server that honours quotes
// might read on, so a piece is judged by that rule alone: what names one of our
// cookies goes, wherever it stands.
func stripCookies(h http.Header, own func(name string) bool) {
	lines := h["Cookie"]
	if len(lines) == 0 {
		return
	}
	if len(lines) == 1 { // as browsers have it
		switch kept := stripLine(lines[0], own); {
		case kept == "":
			delete(h, "Cookie")
		case len(kept) != len(lines[0]):
			h["Cookie"] = []string{kept}
		}
		return
	}
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		if line = stripLine(line, own); line != "" {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = []string{strings.Join(kept, "; ")}
}

func stripLine(line string, own func(string) bool) string {
	// What is kept is mostly one piece of the line as it came, which costs nothing; where
	// there are several, they are put together.
	var kept strings.Builder
	from, to := 0, -1 // the kept piece of line so far, where kept has nothing
	add := func(start, end int) {
		switch {
		case kept.Len() > 0:
			kept.WriteByte(';')
			kept.WriteString(line[start:end])
		case to < 0:
			from, to = start, end
		case to+1 == start:
			to = end
		default:
			kept.Grow(len(line))
			kept.WriteString(line[from:to])
			kept.WriteByte(';')
			kept.WriteString(line[start:end])
		}
	}
	for start := 0; start <= len(line); {
		end := start + strings.IndexByte(line[start:], ';')
		if end < start {
			end = len(line)
		}
		if !own(cookieName(line[start:end])) {
			add(start, end)
		}
		start = end + 1
	}
	switch {
	case kept.Len() > 0:
		return strings.TrimLeft(kept.String(), " \t")
	case to < 0:
		return ""
	case from == 0 && to == len(line):
		return line
	}
	return strings.TrimLeft(line[from:to], " \t")
}

// cookieName returns the name in "name=value". A cookie without a name is sent
// as its value alone, and "=name=value" or "name" then reads as one with a name
// (RFC 6265bis section 5.7), so the name is what a reader could take for it.
func cookieName(pair string) string {
	pair = strings.TrimLeft(pair, "= \t")
	name, _, _ := strings.Cut(pair, "=")
	return strings.Trim(name, " \t\"")
}

// stripSetCookies drops what would set a cookie of the gateway, and returns the
// names dropped.
func stripSetCookies(h http.Header, own func(name string) bool) (dropped []string) {
	lines := h["Set-Cookie"]
	kept := lines[:0:0]
	for _, line := range lines {
		pair, _, _ := strings.Cut(line, ";")
		if name := cookieName(pair); own(name) {
			dropped = append(dropped, name)
		} else {
			kept = append(kept, line)
		}
	}
	switch {
	case len(dropped) == 0:
	case len(kept) == 0:
		delete(h, "Set-Cookie")
	default:
		h["Set-Cookie"] = kept
	}
	return dropped
}
