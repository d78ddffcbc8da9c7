package snippet

import (
	"regexp"
	"strings"
	"testing"
)

// TestOwnCookies: each name's helpers are the gateway's, and what merely begins alike is an app's.
func TestOwnCookies(t *testing.T) {
	names := []string{"__Host-Http-evergate", "__Host-evergate", "a.b"}
	nginx, err := nginxCookies(names)
	if err != nil {
		t.Fatal(err)
	}
	re := regexp.MustCompile(`^(?i)` + anyOf(names) + `(?:-[^;]*|=[^;]*)$`)
	for cookie, want := range map[string]bool{
		"__Host-Http-evergate=x": true, "__Host-Http-evergate-known=x": true, "__Host-evergate-bound=x": true, "__host-EVERGATE-bound=x": true,
		"__Host-evergates=x": false, "__Host-Http-Http-evergate=x": false, "evergate=x": false, "a.b=x": true, "axb=x": false,
	} {
		if got := re.MatchString(cookie); got != want {
			t.Errorf("%s: got %v, want %v", cookie, got, want)
		}
	}
	if own := anyOf(names); !strings.Contains(nginx[0].All, own) {
		t.Errorf("nginx: %s lacks %s", nginx[0].All, own)
	}
}
