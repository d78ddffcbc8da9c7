package proxy

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/inject"
)

// jar is what an app has for cookies of one session. It is a value that is replaced,
// never edited.
type jar struct {
	// User is who was signed in. A session whose user is called otherwise by now has
	// no use for the jar.
	User string `json:"user"`
	// Made tells one sign-in from the next. "" is none.
	Made string `json:"made"`
	// Host and Scheme are those by which the app was asked.
	Host   string `json:"host"`
	Scheme string `json:"scheme"`
	// Calm is until when an answer that may mean the login page is taken for what the
	// app has to say: it was so right after a sign-in, too.
	Calm    time.Time   `json:"calm,omitzero"`
	Cookies []jarCookie `json:"cookies"`
}

// jarCookie is one cookie. Names and values are as the app wrote them, byte for byte.
type jarCookie struct {
	Name    string    `json:"name"`
	Value   string    `json:"value"`
	Path    string    `json:"path"` // as the app knows paths
	Expires time.Time `json:"expires,omitzero"`
}

const (
	maxCookies = 50      // in a jar
	maxCookie  = 4 << 10 // name and value of one, in bytes, as browsers have it (RFC 6265bis section 5.6)
	maxJar     = auth.MaxKept * 3 / 4
)

// size is how much of maxJar the jar takes.
func (j *jar) size() (n int) {
	for _, c := range j.Cookies {
		n += len(c.Name) + len(c.Value) + len(c.Path) + 64
	}
	return n
}

func openJar(b []byte) (j jar) {
	if len(b) > 0 && json.Unmarshal(b, &j) != nil {
		return jar{} // of another version: there is nothing lost
	}
	return j
}

// usable reports whether there is a cookie left that can mean user.
func (j *jar) usable(user string, now time.Time) bool {
	return j.Made != "" && j.User == user && slices.ContainsFunc(j.Cookies, func(c jarCookie) bool { return !c.over(now) })
}

func (c *jarCookie) over(now time.Time) bool { return !c.Expires.IsZero() && !now.Before(c.Expires) }

// header is the Cookie header for a path (RFC 6265 section 5.4), after those that the
// browser sent. One of the browser's that an app could take for one of ours is left
// out: names are compared folded, because PHP reads "a.b" as "a_b".
func (j *jar) header(path string, now time.Time, browsers []string) []string {
	names := map[string]bool{}
	var pairs []string
	sent := slices.Clone(j.Cookies)
	slices.SortStableFunc(sent, func(a, b jarCookie) int { return len(b.Path) - len(a.Path) })
	for _, c := range sent {
		names[inject.Fold(c.Name)] = true
		if !c.over(now) && pathMatches(path, c.Path) {
			pairs = append(pairs, c.Name+"="+c.Value)
		}
	}
	for _, line := range browsers {
		if line = stripLine(line, func(name string) bool { return names[inject.Fold(name)] }); line != "" {
			pairs = append(pairs, line)
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	return []string{strings.Join(pairs, "; ")}
}

// pathMatches is path-match of RFC 6265 section 5.1.4.
func pathMatches(path, cookie string) bool {
	rest, ok := strings.CutPrefix(path, cookie)
	return ok && (rest == "" || strings.HasSuffix(cookie, "/") || rest[0] == '/')
}

// setting is what Set-Cookie lines are read by.
type setting struct {
	now  time.Time
	path string                   // of the request that they answer
	own  func(domain string) bool // whether a Domain is the app's
	real func(path string) string // a path as the app writes it, as it knows it
	full func(name string)        // is told of what there is no room for
}

// with returns the jar after an answer, and whether that made a difference worth
// keeping: of a time that merely moves on with each answer, a tenth is.
func (j *jar) with(lines []string, s *setting) (next jar, changed bool) {
	next = *j
	next.Cookies = slices.DeleteFunc(slices.Clone(j.Cookies), func(c jarCookie) bool { return c.over(s.now) })
	for _, line := range lines {
		c, ok := s.parse(line)
		if !ok {
			continue
		}
		i := slices.IndexFunc(next.Cookies, func(o jarCookie) bool { return o.Name == c.Name && o.Path == c.Path })
		switch {
		case c.over(s.now):
			if i >= 0 {
				next.Cookies = slices.Delete(next.Cookies, i, i+1)
				changed = true
			}
		case i >= 0:
			old := next.Cookies[i]
			if old.Value == c.Value && !movesFar(old.Expires, c.Expires, s.now) {
				continue
			}
			next.Cookies[i], changed = c, true
		case len(next.Cookies) >= maxCookies:
			s.full(c.Name)
		default:
			next.Cookies, changed = append(next.Cookies, c), true
		}
		if next.size() > maxJar {
			s.full(c.Name)
			next.Cookies = slices.DeleteFunc(next.Cookies, func(o jarCookie) bool { return o.Name == c.Name && o.Path == c.Path })
		}
	}
	return next, changed
}

func movesFar(old, next, now time.Time) bool {
	if old.IsZero() || next.IsZero() {
		return !old.Equal(next)
	}
	return next.Sub(old).Abs() > old.Sub(now)/10
}

// parse reads a Set-Cookie line as browsers do (RFC 6265 section 5.2).
func (s *setting) parse(line string) (c jarCookie, ok bool) {
	pair, rest, _ := strings.Cut(line, ";")
	name, value, ok := strings.Cut(pair, "=")
	c.Name, c.Value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
	if !ok || c.Name == "" || len(c.Name)+len(c.Value) > maxCookie || strings.ContainsFunc(pair, inject.IsControl) {
		return c, false
	}
	c.Path = s.path[:max(1, strings.LastIndexByte(s.path, '/'))]
	var age bool
	for piece := range strings.SplitSeq(rest, ";") {
		name, value, _ := strings.Cut(piece, "=")
		value = strings.Trim(value, " \t")
		switch strings.ToLower(strings.Trim(name, " \t")) {
		case "domain":
			if value != "" && !s.own(strings.ToLower(strings.TrimPrefix(value, "."))) {
				return c, false
			}
		case "path":
			if strings.HasPrefix(value, "/") {
				c.Path = s.real(value)
			}
		case "max-age":
			if seconds, err := strconv.Atoi(value); err == nil {
				age = true
				c.Expires = s.now.Add(time.Duration(max(0, min(seconds, 400*24*3600))) * time.Second)
			}
		case "expires":
			if t, ok := cookieTime(value); ok && !age { // Max-Age counts more
				c.Expires = t
			}
		}
	}
	return c, true
}

// cookieTime reads a date as apps write it.
func cookieTime(s string) (time.Time, bool) {
	c, err := http.ParseSetCookie("a=b; Expires=" + s)
	if err != nil || c.Expires.IsZero() {
		return time.Time{}, false
	}
	return c.Expires, true
}
