package auth_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
)

// TestRotateHandsOutACookieAndGoesOn, once: whoever was sent round is known by a cookie.
func TestRotateHandsOutACookieAndGoesOn(t *testing.T) {
	h := open(t)
	b := h.browser()
	b.signIn("/", "alice")
	for _, tt := range []struct{ rd, location string }{
		{"%2Fx%3Fa%3D1%26b%3D2", "/x?a=1&b=2"},
		{"https%3A%2F%2Fevil.example%2F", "/"},
		{"%2F%2Fevil.example", "/"},
		{"%2F.evergate%2Frotate", "/"},
		{"", "/"},
		{"/a&rd=/b", "/"},
	} {
		p := b.do("GET!", "/.evergate/rotate?rd="+tt.rd, "", "")
		p.want(t, 303)
		cookies := strings.Join(p.Header["Set-Cookie"], "\n")
		if got := p.Header.Get("Location"); got != tt.location || !strings.Contains(cookies, "delivered=") || !strings.Contains(cookies, "-turned=1; Path=/; Max-Age=60; HttpOnly") {
			t.Errorf("%s: got Location %q and\n%s\nwant %q, the handle and the mark", tt.rd, got, cookies, tt.location)
		}
		if got := p.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("got Cache-Control %q, want no-store", got)
		}
	}
	p := b.do("GET!", "/.evergate/rotate", "", "", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty")
	if p.want(t, 204); !strings.Contains(strings.Join(p.Header["Set-Cookie"], "\n"), "delivered=") {
		t.Error("a script that asks gets no handle")
	}
	b.do("POST!", "/.evergate/rotate", "", "").want(t, 405)
}

// TestRotateKeepsNobody: it is the page behind that says what is wrong.
func TestRotateKeepsNobody(t *testing.T) {
	h := open(t)
	p := h.browser().do("GET!", "/.evergate/rotate?rd=/x", "", "")
	p.want(t, 303)
	if got := strings.Join(p.Header["Set-Cookie"], "\n"); p.Header.Get("Location") != "/x" || !strings.Contains(got, "-turned=1") || strings.Contains(got, "delivered") {
		t.Errorf("nobody: got %v, want to go on to /x, marked", p.Header)
	}
	h.browser().do("GET!", "/.evergate/rotate", "", "", "Sec-Fetch-Mode", "cors").want(t, 204)
	h.sessions.set(func() { h.sessions.fault = &auth.Unavailable{What: "the session store"} })
	h.browser().do("GET!", "/.evergate/rotate?rd=/x", "", "").want(t, 303)
	h.browser().do("GET!", "/.evergate/rotate?rd=/x", "", "", "Sec-Fetch-Mode", "cors").want(t, 503)
}

func TestRotateURL(t *testing.T) {
	for uri, want := range map[string]string{
		"/x?a=1&b=%2e":                  "/.evergate/rotate?rd=%2Fx%3Fa%3D1%26b%3D%252e",
		"/x?q=\"a b\"":                  "/.evergate/rotate?rd=%2Fx%3Fq%3D%22a%2520b%22",
		"/a//b":                         "", // it would lead to /
		"/.evergate/x":                  "",
		"https://x.test":                "",
		"/" + strings.Repeat("a", 5000): "",
	} {
		if got := auth.RotateURL(uri); got != want {
			t.Errorf("%.40s: got %q, want %q", uri, got, want)
		}
	}
}

// TestTurned: the mark is one of the gateway's own cookies.
func TestTurned(t *testing.T) {
	h := open(t)
	header := http.Header{}
	h.handler.Turn(header)
	r := httptest.NewRequest("GET", "/x", nil)
	if h.handler.Turned(r) {
		t.Error("a browser that brings no mark was sent round")
	}
	for _, c := range (&http.Response{Header: header}).Cookies() {
		r.AddCookie(c)
	}
	if !h.handler.Turned(r) {
		t.Errorf("a browser that brings the mark was not sent round: %v", header)
	}
}
