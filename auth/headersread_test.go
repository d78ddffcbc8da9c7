package auth_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/evergate/evergate/auth"
)

// TestHeadersRead: an expression tells what it reads of a request, and never less.
func TestHeadersRead(t *testing.T) {
	for _, c := range []struct {
		name, when string
		names      []string
		all        bool
	}{
		{"nothing of the request", `identity.user == "alice"`, nil, false},
		{"other words of it", `request.path startsWith "/a" and request.method == "GET" and request["host"] != ""`, nil, false},
		{"one header", `request.header("x-app") == "1"`, []string{"X-App"}, false},
		{"one twice, and another", `request.header("X-App") == "1" or request.header("x-app") == "2" and request?.header("Accept") != ""`, []string{"Accept", "X-App"}, false},
		{"a name that is made", `request.header("X-" + "App") == "1"`, nil, true},
		{"a name from a list", `any(["A", "B"], request.header(#) == "1")`, nil, true},
		{"a name of a person", `request.header(identity.user) == "1"`, nil, true},
		{"the request under another name", `any([request], #.header("A") == "1")`, nil, true},
		{"credentials, which are not there to read", `request.header("cookie") == ""`, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, p := range []auth.Policy{
				{Allow: []*auth.Rule{{When: c.when}}}, {Deny: []*auth.Rule{{When: c.when}}}, {Observed: &auth.Policy{Allow: []*auth.Rule{{When: c.when}}}},
			} {
				ready, err := p.Compiled()
				if err != nil {
					t.Fatal(err)
				}
				if names, all := ready.HeadersRead(); all != c.all || !all && !slices.Equal(names, c.names) {
					t.Errorf("got %q, all %v; want %q, %v", names, all, c.names, c.all)
				}
			}
		})
	}
}

// TestHeadersHaveOneName: the language has no way to call the function by another.
func TestHeadersHaveOneName(t *testing.T) {
	for _, when := range []string{`let h = request.header; h("A") == "1"`, `let r = request; r.header("A") == "1"`, `request["header"]("A") == "1"`,
		`(true ? request.header : request.header)("A") == "1"`, `any([request.header], #("A") == "1")`} {
		if _, err := (&auth.Policy{Allow: []*auth.Rule{{When: when}}}).Compiled(); err == nil {
			t.Errorf("%s: it compiles, so what it reads has to be told", when)
		}
	}
}

// TestRulesReadNoCredentials: request.header has "" for what somebody is known by,
// however it is asked.
func TestRulesReadNoCredentials(t *testing.T) {
	h := http.Header{"Cookie": {"s=secret"}, "Authorization": {"Bearer secret"}, "Proxy-Authorization": {"Basic secret"}, "X-App": {"1"}}
	for when, want := range map[string]bool{
		`request.header("X-App") == "1"`:                                                               true,
		`request.header("Cookie") == ""`:                                                               true,
		`request.header("cOOKIE") == ""`:                                                               true,
		`request.header("authorization") == ""`:                                                        true,
		`request.header("Proxy-Authorization") == ""`:                                                  true,
		`request.header("proxy-" + "authorization") == ""`:                                             true,
		`any(["Cookie", "Authorization", "Proxy-Authorization"], request.header(#) contains "secret")`: false,
		`any([request], #.header("Authorization") contains "secret")`:                                  false,
	} {
		p, err := (&auth.Policy{Allow: []*auth.Rule{{When: when}}}).Compiled()
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if _, err := p.Decide(&auth.Question{Identity: &auth.Identity{User: "alice"}, Header: h}); (err == nil) != want {
			t.Errorf("%s: got %v, want %v", when, err, want)
		}
	}
}
