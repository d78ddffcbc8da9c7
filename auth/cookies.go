package auth

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// Helper cookies go with one thing each, a kept form or a sign-in under way. Their
// names are the prefix, the kind and the id of the thing.
const (
	formKind = "-form-"
	flowKind = "-flow-"
	// helperID is how long an id is, in hexadecimal digits.
	helperID = 8
)

func (h *Handler) helperName(kind, id string) string { return h.cfg.CookiePrefix + kind + id }

func (h *Handler) helperCookie(kind, id, value string) *http.Cookie {
	return &http.Cookie{Name: h.helperName(kind, id), Value: value, Path: "/",
		Secure: h.cfg.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

func (h *Handler) setHelper(w http.ResponseWriter, kind, id, value string, ttl time.Duration) {
	c := h.helperCookie(kind, id, value)
	c.MaxAge = int(ttl / time.Second)
	http.SetCookie(w, c)
}

func (h *Handler) clearHelper(w http.ResponseWriter, kind, id string) {
	c := h.helperCookie(kind, id, "")
	c.MaxAge = -1
	http.SetCookie(w, c)
}

// clearHelpers takes all of a kind from the browser.
func (h *Handler) clearHelpers(w http.ResponseWriter, r *http.Request, kind string) {
	for _, c := range r.Cookies() {
		if id, ok := strings.CutPrefix(c.Name, h.helperName(kind, "")); ok && isHelperID(id) {
			h.clearHelper(w, kind, id)
		}
	}
}

// helperValue is what r brings for id; false if that is nothing, or two things.
func (h *Handler) helperValue(r *http.Request, kind, id string) (string, bool) {
	cookies := r.CookiesNamed(h.helperName(kind, id))
	if len(cookies) != 1 {
		return "", false
	}
	return cookies[0].Value, true
}

// isHelperID reports whether id can be one: what a browser names is anything.
func isHelperID(id string) bool {
	return len(id) == helperID && strings.Trim(id, "0123456789abcdef") == ""
}

func newHelperID() string {
	b := make([]byte, helperID/2)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}
