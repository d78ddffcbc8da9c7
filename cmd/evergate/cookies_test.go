package main

import "testing"

func TestOwnCookiesAreExactlyOurs(t *testing.T) {
	for name, want := range map[string]bool{"sid": true, "SID": true, "sid-probe": true, "sid-known": true, "SID-Known": true, "sid-form-0a": true, "sidebar": false, "si": false, "xsid": false} {
		if got := isOwnCookie(name, "sid"); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}
