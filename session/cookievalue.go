package session

import (
	"net/http"
	"strings"
)

// soleCookie returns what stands behind the name of a cookie that r brings once, as it
// stands there, and "" where r brings it otherwise. It is asked for every request, and what
// it says is only used to find a verdict on the very same bytes: whether it is a cookie at
// all, http.Request.CookiesNamed says the first time.
func soleCookie(r *http.Request, name string) (value string) {
	for _, line := range r.Header["Cookie"] {
		for from := 0; ; {
			at := strings.Index(line[from:], name)
			if at < 0 {
				break
			}
			before, after := strings.TrimRight(line[:from+at], " \t"), strings.TrimLeft(line[from+at+len(name):], " \t")
			from += at + len(name)
			if before != "" && before[len(before)-1] != ';' || after != "" && after[0] != '=' && after[0] != ';' {
				continue // it is a part of something else
			}
			if value != "" || after == "" || after[0] != '=' {
				return ""
			}
			value, _, _ = strings.Cut(after[1:], ";")
			if value = strings.TrimRight(value, " \t"); value == "" {
				return ""
			}
		}
	}
	return value
}

// names reports whether name stands anywhere in the cookies that r brings.
func names(r *http.Request, name string) bool {
	for _, line := range r.Header["Cookie"] {
		if strings.Contains(line, name) {
			return true
		}
	}
	return false
}
