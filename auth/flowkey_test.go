package auth_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
)

// TestKeyOfASignIn: where a provider binds tokens, each sign-in has a key of its own from its
// beginning to its end, and no browser sees it.
func TestKeyOfASignIn(t *testing.T) {
	for _, wanted := range []bool{true, false} {
		c := newCorp()
		h := open(t, func(cfg *auth.HandlerConfig) {
			cfg.Providers = []auth.Provider{{Name: "corp", Method: c, DPoP: wanted}}
			cfg.Once = (&once{used: map[string]bool{}}).Once
			cfg.Password = nil
		})
		seen := ""
		for range 3 {
			b := h.browser()
			state := b.depart("/")
			u, err := url.Parse(h.URL)
			if err != nil {
				t.Fatal(err)
			}
			for _, cookie := range b.c.Jar.Cookies(u) {
				seen += state + cookie.Value
			}
			b.get(back(state)).want(t, 200, "the app") // the key that came back is the one that was begun with
		}
		if len(c.keys) != 3 || wanted == (c.keys[0] == "") || wanted && (c.keys[0] == c.keys[1] || c.keys[1] == c.keys[2]) {
			t.Errorf("wanted %v: got %d keys, of which some are the same or none", wanted, len(c.keys))
		}
		for _, key := range c.keys {
			if key != "" && strings.Contains(seen, key) {
				t.Error("a key can be read in an address or a cookie")
			}
		}
	}
}
