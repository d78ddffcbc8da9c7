package main

import (
	"testing"

	"github.com/evergate/evergate/session"
)

func TestOwnCookiesAreExactlyOurs(t *testing.T) {
	for name, want := range map[string]bool{"sid": true, "SID": true, "sid-probe": true, "sid-known": true, "SID-Known": true, "sid-form-0a": true, "sidebar": false, "si": false, "xsid": false} {
		if got := isOwnCookie(name, "sid"); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	const long = "__Host-Http-evergate"
	for name, want := range map[string]bool{long: true, long + "-known": true, session.BoundCookieName(long): true, "__HOST-Evergate-Bound": true,
		"__Host-evergates": false, "__Host-Http-evergates": false, "evergate-bound": false} {
		if got := isOwnCookie(name, long); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}
