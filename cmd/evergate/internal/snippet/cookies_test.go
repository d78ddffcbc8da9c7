package snippet

import (
	"regexp"
	"testing"
)

// TestOwnCookies: the helper that has __Host- in place of __Host-Http- is the gateway's too,
// and what merely begins alike is an app's.
func TestOwnCookies(t *testing.T) {
	nginx, err := nginxCookies("__Host-Http-evergate")
	if err != nil {
		t.Fatal(err)
	}
	re := regexp.MustCompile(`^(?i)` + ownCookies("__Host-Http-evergate") + `(?:-[^;]*|=[^;]*)$`)
	for cookie, want := range map[string]bool{
		"__Host-Http-evergate=x": true, "__Host-Http-evergate-known=x": true, "__Host-evergate-bound=x": true, "__host-EVERGATE-bound=x": true,
		"__Host-evergates=x": false, "__Host-Http-Http-evergate=x": false, "evergate=x": false,
	} {
		if got := re.MatchString(cookie); got != want {
			t.Errorf("%s: got %v, want %v", cookie, got, want)
		}
	}
	if own := ownCookies("__Host-Http-evergate"); !regexp.MustCompile(regexp.QuoteMeta(own)).MatchString(nginx[0].All) {
		t.Errorf("nginx: %s lacks %s", nginx[0].All, own)
	}
	if got := ownCookies("a.b"); got != `a\.b` {
		t.Errorf("got %s, want the name alone", got)
	}
}
