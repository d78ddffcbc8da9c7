package oidc_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc"
)

// TestDemandReachesTheProvider: what a page asks of the sign-in goes before what the
// configuration does, and never asks for less of it.
func TestDemandReachesTheProvider(t *testing.T) {
	hour := time.Hour
	for _, row := range []struct {
		name, acr, age string
		edit           func(*oidc.Config)
		wantACR, want  string
	}{
		{"nothing", "", "", func(*oidc.Config) {}, "", ""},
		{"classes and an age", "gold urn:x", "300", func(*oidc.Config) {}, "gold urn:x", "300"},
		{"just now", "", "0", func(*oidc.Config) {}, "", "0"},
		{"other classes than the configuration's", "gold", "", func(c *oidc.Config) { c.ACRValues = "silver" }, "gold", ""},
		{"none, and the configuration has some", "", "", func(c *oidc.Config) { c.ACRValues = "silver" }, "silver", ""},
		{"a shorter age than the configuration's", "", "300", func(c *oidc.Config) { c.MaxAge = &hour }, "", "300"},
		{"a longer age than the configuration's", "", "7200", func(c *oidc.Config) { c.MaxAge = &hour }, "", "3600"},
		{"further parameters that would say otherwise", "gold", "300", func(c *oidc.Config) { c.Extra = map[string]string{"acr_values": "none", "max_age": "99"} }, "gold", "300"},
		{"at Google, which ignores it", "gold", "300", func(c *oidc.Config) { c.Kind = oidc.KindGoogle }, "gold", "300"},
	} {
		p := newOP(t)
		f := p.flow()
		f.ACRValues, f.MaxAge = row.acr, row.age
		q := begin(t, p, p.method(row.edit), f)
		if got, age := q.Get("acr_values"), q.Get("max_age"); got != row.wantACR || age != row.want {
			t.Errorf("%s: got acr_values %q and max_age %q, want %q and %q", row.name, got, age, row.wantACR, row.want)
		}
	}
}

// TestTimeOfProof: a sign-in is as old as the provider says, and where it does not say,
// nobody knows. What was asked of it in an address proves nothing.
func TestTimeOfProof(t *testing.T) {
	for name, row := range map[string]struct {
		edit func(map[string]any)
		ago  time.Duration // negative is unknown
	}{
		"it is told":                   {func(c map[string]any) { c["auth_time"] = 1_800_000_000 - 3600 }, time.Hour},
		"it is not told":               {func(c map[string]any) { delete(c, "auth_time") }, -1},
		"it is in the future":          {func(c map[string]any) { c["auth_time"] = 1_800_000_000 + 3600 }, -1},
		"it is in words":               {func(c map[string]any) { c["auth_time"] = "just now" }, -1},
		"a clock is a little ahead":    {func(c map[string]any) { c["auth_time"] = 1_800_000_000 + 30 }, -30 * time.Second},
		"it is a number, and no class": {func(c map[string]any) { c["acr"] = 1 }, 0},
	} {
		for _, prompt := range []string{"", "login", "none"} {
			p := newOP(t)
			p.set(func() { p.claims, p.nonce = row.edit, "nonce-word" })
			f := p.flow()
			f.Prompt = prompt
			login, err := p.method().Complete(t.Context(), f, url.Values{"code": {"code-word"}, "state": {"state-word"}})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got, want := login.AuthTime, p.now().Add(-row.ago); row.ago == -1 && !got.IsZero() || row.ago != -1 && !got.Equal(want) {
				t.Errorf("%s, prompt=%q: got %v, want %v ago", name, prompt, got, row.ago)
			}
		}
	}
}
