package session

import (
	"net/http"
	"strings"
)

// What is here is asked for every request, and what it says is only used to find a verdict on
// the very same bytes: whether they are a cookie at all, net/http says the first time.

// pairs goes through what r brings of cookies, as it stands there.
type pairs struct {
	lines []string
	rest  string // of the line before those
}

func pairsOf(r *http.Request) pairs { return pairs{lines: r.Header["Cookie"]} }

// next returns a name, which is "" where there is nothing of one, and what stands behind it.
// The name alone, without a "=", has "" behind it.
func (p *pairs) next() (name, value string, ok bool) {
	for p.rest == "" {
		if len(p.lines) == 0 {
			return "", "", false
		}
		p.rest, p.lines = p.lines[0], p.lines[1:]
	}
	pair, rest, _ := strings.Cut(p.rest, ";")
	p.rest = rest
	name, value, _ = strings.Cut(pair, "=")
	return strings.Trim(name, " \t"), strings.TrimRight(value, " \t"), true
}

// soleCookie returns what stands behind the name of a cookie that r brings once, and "" where
// r brings it otherwise.
func soleCookie(r *http.Request, name string) (sole string) {
	for p := pairsOf(r); ; {
		this, value, ok := p.next()
		switch {
		case !ok:
			return sole
		case this != name:
		case sole != "" || value == "":
			return ""
		default:
			sole = value
		}
	}
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
