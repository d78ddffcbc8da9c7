package proxy

import (
	"net/http"
	"slices"
	"strings"
)

// scrub removes from an upstream's answer what only the gateway may say to the
// browser. It returns the names of gateway cookies that were dropped.
func scrub(h http.Header, own func(name string) bool) (dropped []string) {
	for name, lines := range h {
		switch name {
		case "Set-Cookie":
			dropped = stripSetCookies(h, own)
		case ShownHeader:
			delete(h, name)
		case "X-Accel-Redirect", "X-Sendfile", "X-Sendfile2", "X-Sendfile-Temporary", "X-Lighttpd-Send-File", "X-Lighttpd-Send-Tempfile",
			"X-Reproxy-Url", "X-Reproxy-File":
			delete(h, name) // a proxy in front would answer with what it reaches there, whoever asks
		case "Clear-Site-Data":
			if kept := withoutCookies(lines); kept == "" {
				delete(h, name)
			} else {
				h[name] = []string{kept}
			}
		default:
			if strings.HasPrefix(name, "Secure-Session-") || strings.HasPrefix(name, "Sec-Secure-Session-") || strings.HasPrefix(name, "Sec-Session-") {
				delete(h, name) // they would bind the gateway's cookies to a key of the upstream's choice
			}
		}
	}
	return dropped
}

// withoutCookies leaves the cookies out of Clear-Site-Data, for an app's sign-out
// must not be the gateway's. "*" is written out as all the rest.
func withoutCookies(lines []string) string {
	var kept []string
	for item := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		item = strings.TrimSpace(item)
		switch strings.ToLower(strings.Trim(item, `"`)) {
		case "", "cookies":
		case "*":
			kept = append(kept, `"cache"`, `"clientHints"`, `"storage"`, `"executionContexts"`)
		default:
			kept = append(kept, item)
		}
	}
	slices.Sort(kept)
	return strings.Join(slices.Compact(kept), ", ")
}

// stripConnectionAuth removes NTLM and Negotiate challenges (and their kin),
// which sign in a connection rather than a request: on a pooled connection the
// next user would be the last one (CVE-2026-88007). It reports whether it
// removed any and whether any challenge is left.
func stripConnectionAuth(h http.Header) (removed, left bool) {
	var kept []string
	for _, line := range h["Www-Authenticate"] {
		var parts []string
		bad := false
		for _, part := range splitQuoted(line) {
			if scheme, starts := challengeScheme(part); starts {
				switch strings.ToLower(scheme) {
				case "ntlm", "negotiate", "kerberos", "nego2":
					bad, removed = true, true
				default:
					bad = false
				}
			}
			if !bad {
				parts = append(parts, part)
			}
		}
		if rest := strings.TrimSpace(strings.Join(parts, ",")); rest != "" {
			kept = append(kept, rest)
		}
	}
	if removed {
		delete(h, "Www-Authenticate")
		if len(kept) > 0 {
			h["Www-Authenticate"] = kept
		}
	}
	return removed, len(kept) > 0
}

// challengeScheme tells a part of a challenge list that opens a challenge
// ("Basic realm=x", "Negotiate") from one that goes on with it ("charset=y").
func challengeScheme(part string) (scheme string, starts bool) {
	part = strings.TrimLeft(part, " \t")
	end := strings.IndexAny(part, " \t=")
	if end < 0 {
		return part, part != ""
	}
	rest := strings.TrimLeft(part[end:], " \t")
	return part[:end], rest == "" || rest[0] != '='
}

// splitQuoted splits a header value at its commas, but not inside quotes.
func splitQuoted(s string) (parts []string) {
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	return append(parts, s[from:])
}
