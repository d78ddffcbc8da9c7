package session

import (
	"net/http"
	"strings"
	"time"

	"github.com/evergate/evergate/auth"
)

const (
	purposeHandle = "handle"
	purposeProbe  = "probe"
	probeSuffix   = "-probe"

	hostHTTP = "__Host-Http-" // RFC 10017 and the draft of layered cookies
)

// CookieName is the name of the session cookie. The prefix makes browsers
// refuse it from scripts, from plain http and for a parent domain; on plain
// http of a loopback name they would refuse it altogether, and since cookies
// know no ports the name carries it there.
func CookieName(secure bool, port string) string {
	if secure {
		return "__Host-Http-evergate"
	}
	return "evergate-" + port
}

// BoundCookieName is the name of the cookie that proves the key which a session is bound to,
// beside a session cookie of that name. Chromium (148) binds to no cookie whose name begins
// with __Host-Http-: it takes it for one with a domain, and gives the whole binding up. With
// __Host- it does, and what the longer prefix adds, that no script sets it, is of no
// consequence for a value that is sealed.
func BoundCookieName(cookie string) string {
	if rest, ok := strings.CutPrefix(cookie, hostHTTP); ok {
		cookie = "__Host-" + rest
	}
	return cookie + boundSuffix
}

// baker makes cookies with the attributes that all of ours share; deleting one repeats them, or
// browsers would keep it.
type baker struct{ insecure bool }

func (b baker) cookie(name, value string) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/",
		Secure: !b.insecure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

func (b baker) clear(name string) *http.Cookie {
	c := b.cookie(name, "")
	c.MaxAge = -1
	return c
}

// handleCookie seals h. Its Max-Age is the rest of the session's life, or it
// ends with the browser where nobody asked to be remembered.
func (m *Manager) handleCookie(h handle, host string, s *state, now time.Time) (*http.Cookie, error) {
	value, err := m.cfg.Ring.Seal(purposeHandle, host, h.encode(), 0)
	if err != nil {
		return nil, err
	}
	c := m.cookie(m.cfg.Cookie, value)
	if s.Remember {
		rest := s.Created.Add(m.set().MaxLifetime).Sub(now)
		c.MaxAge = int(min(rest, maxCookieAge) / time.Second)
	}
	return c, nil
}

func (m *Manager) probeCookie(h handle, host string) (*http.Cookie, error) {
	value, err := m.cfg.Ring.Seal(purposeProbe, host, h.probe(), probeTTL)
	if err != nil {
		return nil, &auth.Unavailable{What: "the session", Err: err}
	}
	c := m.cookie(m.cfg.Cookie+probeSuffix, value)
	c.MaxAge = int(probeTTL / time.Second)
	return c, nil
}
