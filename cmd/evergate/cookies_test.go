package main

import (
	"testing"

	"github.com/evergate/evergate/session"
)

func TestOwnCookiesAreExactlyOurs(t *testing.T) {
	for name, want := range map[string]bool{"sid": true, "SID": true, "sid-probe": true, "sid-known": true, "SID-Known": true, "sid-form-0a": true, "sidebar": false, "si": false, "xsid": false,
		"evergate-admin-9180": true, "Evergate-Admin-80": true, "evergate-admin": true, "__Host-evergate-admin": true, "__host-EVERGATE-admin": true, // of the dashboard, at any port
		"evergate-administrator": false, "evergate": false, "__Host-evergate": false} {
		if got := isOwnCookie(name, ownCookies("sid")); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	const long = "__Host-Http-evergate"
	for name, want := range map[string]bool{long: true, long + "-known": true, session.BoundCookieName(long): true, "__HOST-Evergate-Bound": true,
		"__Host-evergates": false, "__Host-Http-evergates": false, "evergate-bound": false} {
		if got := isOwnCookie(name, ownCookies(long)); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}
