package config_test

import (
	"strings"
	"testing"
)

// appRoutes are routes to one app, unless a row says another: "/path/ | keys".
func appRoutes(rows ...string) string {
	var b strings.Builder
	b.WriteString(head0 + "routes:\n")
	for _, row := range rows {
		match, keys, _ := strings.Cut(row, " | ")
		if !strings.Contains(keys, "upstream:") && !strings.Contains(keys, "static:") && !strings.Contains(keys, "redirect:") {
			keys += ", upstream: http://127.0.0.1:9000"
		}
		b.WriteString("  - { match: { " + match + " }, " + strings.TrimPrefix(keys, ", ") + " }\n")
	}
	return b.String()
}

// TestWaysAroundAGuard: a path that a route makes of another leads to what is guarded more
// tightly under its own name. Each warning shows a request that does.
func TestWaysAroundAGuard(t *testing.T) {
	const guard = "path: /admin/ | allow: [ groups: [admin] ]"
	for _, row := range []struct {
		name, text, want string
	}{
		{"a prefix is taken off, and the route is public", appRoutes(guard, "path: /app/ | public: true, strip_prefix: /app"),
			"5:59: routes[1].strip_prefix: warning: by this /app/admin/x comes to /admin/x of http://127.0.0.1:9000, which routes[0] on line 4 guards: everybody passes here. Add a route for /app/admin/x with the rules of that one"},
		{"anyone who is signed in", appRoutes(guard, "path: /app/ | strip_prefix: /app"), "anyone passes here who is signed in"},
		{"another group", appRoutes(guard, "path: /app/ | allow: [ groups: [staff] ], strip_prefix: /app"), "routes[1].allow[0] lets people pass here who may not otherwise"},
		{"a wider list of groups", appRoutes(guard, "path: /app/ | allow: [ groups: [staff, admin] ], strip_prefix: /app"), "routes[1].allow[0] lets people pass here"},
		{"the same group", appRoutes(guard, "path: /app/ | allow: [ groups: [admin] ], strip_prefix: /app"), ""},
		{"more is asked", appRoutes(guard, "path: /app/ | allow: [ { groups: [admin], acr: [mfa] } ], strip_prefix: /app"), ""},
		{"the guarded part has a route of its own there", appRoutes(guard, "path: /app/ | public: true, strip_prefix: /app", "path: /app/admin/ | allow: [ groups: [admin] ], strip_prefix: /app", "path: /app/admin | allow: [ groups: [admin] ], strip_prefix: /app"), ""},
		{"another app", appRoutes(guard, "path: /app/ | public: true, strip_prefix: /app, upstream: http://127.0.0.1:9001"), ""},
		{"the same app by another name", appRoutes(guard, "path: /app/ | public: true, strip_prefix: /app, upstream: http://localhost:9000"), "comes to /admin/x of"},
		{"one of several targets", appRoutes(guard, "path: /app/ | public: true, strip_prefix: /app, upstream: { targets: [http://127.0.0.1:9001, http://127.0.0.1:9000] }"), "comes to /admin/x of"},
		{"another part of the app", appRoutes(guard, "path: /app/ | public: true, strip_prefix: /app, add_prefix: /site"), ""},
		{"a prefix is put in front", appRoutes("path: /site/admin/ | allow: [ groups: [admin] ]", "path: / | add_prefix: /site"), "routes[1].add_prefix: warning: by this /admin/x comes to /site/admin/x"},
		{"an expression", appRoutes(guard, "path: /old/ | public: true, rewrite: { path: ^/old/(.*)$, to: /$1 }"), "routes[1].rewrite: warning: by this /old/admin/x comes to /admin/x"},
		{"an expression with more in front", appRoutes(guard, "path: /old/ | public: true, rewrite: { path: ^/old/v2/(.*)$, to: /$1 }"), "/old/v2/admin/x comes to"},
		{"an expression that drops a segment", appRoutes(guard, "'path': /old/ | public: true, rewrite: { path: '^/old/[^/]+/(.*)$', to: /$1 }"), "/old/x/admin/x comes to"},
		{"an expression for one path", appRoutes("path: /metrics | allow: [ groups: [ops] ]", "path: /numbers | public: true, rewrite: { path: ^/numbers$, to: /metrics }"), "by this /numbers comes to /metrics"},
		{"an expression that leads elsewhere", appRoutes(guard, "path: /old/ | public: true, rewrite: { path: ^/old/(.*)$, to: /new/$1 }"), ""},
		{"the guard has the prefix, and the plain path is open", appRoutes("path: / | public: true", "path: /ops/ | allow: [ groups: [ops] ], strip_prefix: /ops, add_prefix: /admin"),
			"routes[1].strip_prefix: warning: this route guards /admin/x of http://127.0.0.1:9000, and whoever asks for /admin/x gets there by routes[0] on line 4: everybody passes there"},
		{"the same, and the plain path is guarded", appRoutes(guard, "path: / | public: true", "path: /admin | allow: [ groups: [admin] ]", "path: /ops/ | allow: [ groups: [admin] ], strip_prefix: /ops, add_prefix: /admin"), ""},
		{"a host of its own", appRoutes("host: wiki.example.com, path: /admin/ | allow: [ groups: [admin] ]", "host: wiki.example.com, path: /app/ | public: true, strip_prefix: /app"), "by this https://wiki.example.com/app/admin/x comes to"},
		{"another host, of which the app may be told", appRoutes("host: a.example.com, path: /admin/ | allow: [ groups: [admin] ]", "host: b.example.com, path: /app/ | public: true, strip_prefix: /app"), ""},
		{"another host, and the app is told of none", appRoutes("host: a.example.com, path: /admin/ | allow: [ groups: [admin] ], host: upstream", "host: b.example.com, path: /app/ | public: true, strip_prefix: /app, host: upstream"), "by this https://b.example.com/app/admin/x comes to"},
		{"a route for every host", appRoutes("host: a.example.com, path: /admin/ | allow: [ groups: [admin] ]", "path: /app/ | public: true, strip_prefix: /app"), "by this https://a.example.com/app/admin/x comes to"},
		{"somebody is refused", appRoutes("path: /admin/ | deny: [ groups: [guests] ]", "path: /app/ | strip_prefix: /app"), "routes[0].deny[0] refuses nobody here"},
		{"somebody is refused on both", appRoutes("path: /admin/ | deny: [ groups: [guests] ]", "path: /app/ | strip_prefix: /app, deny: [ groups: [guests, partners] ]"), ""},
		{"for a method alone", appRoutes("path: /admin/, methods: [POST] | allow: [ groups: [admin] ]", "path: /app/, methods: [GET] | public: true, strip_prefix: /app"), ""},
		{"for another method than the guard's entry", appRoutes("path: /admin/, methods: [GET] | allow: [ { groups: [admin] }, { groups: [staff], methods: [GET] } ]", "path: /app/ | allow: [ groups: [staff] ], strip_prefix: /app"), ""},
		{"files of one folder", appRoutes("path: /private/ | allow: [ groups: [staff] ], static: { dir: /srv/www }", "path: /files/ | public: true, strip_prefix: /files, static: { dir: /srv/www }"), "by this /files/private/x comes to /srv/www/private/x of the files in /srv/www"},
		{"files of a folder inside", appRoutes("path: /members/ | allow: [ groups: [staff] ], strip_prefix: /members, static: { dir: /srv/www/private }", "path: / | public: true, static: { dir: /srv/www }"), "by this /private/x comes to /srv/www/private/x"},
		{"files beside each other", appRoutes("path: /members/ | allow: [ groups: [staff] ], strip_prefix: /members, static: { dir: /srv/members }", "path: / | public: true, static: { dir: /srv/www }"), ""},
		{"a part of what is guarded", appRoutes(guard, "path: /img/ | public: true, strip_prefix: /img, add_prefix: /admin/img"), "routes[1].strip_prefix: warning: by this /img/x comes to /admin/img/x of http://127.0.0.1:9000, which routes[0] on line 4 guards: everybody passes here"},
		{"one path of what is guarded", appRoutes(guard, "path: /numbers | public: true, rewrite: { path: /numbers, to: /admin/numbers }"), "by this /numbers comes to /admin/numbers"},
		{"a part of it that is open under its own name too", appRoutes(guard, "path: /img/ | public: true, strip_prefix: /img, add_prefix: /admin/img", "path: /admin/img/ | public: true"), ""},
		{"a part of an app that is guarded as a whole", appRoutes("path: / | allow: [ groups: [staff] ]", "path: /img/ | public: true, strip_prefix: /img, add_prefix: /assets/img"), ""},
		{"all of an app that is guarded as a whole", appRoutes("path: / | allow: [ groups: [staff] ]", "path: /open/ | public: true, strip_prefix: /open"), "by this /open/x comes to /x"},
		{"a redirect comes back", appRoutes(guard, "path: /app/ | public: true, redirect: '/admin/{rest}'"), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := onlyOf(warned(t, t.TempDir(), row.text), "strip_prefix", "add_prefix", "rewrite", "static")
			if !strings.Contains(got, row.want) || row.want == "" && got != "" || strings.Count(got, "\n") > 1 {
				t.Errorf("got %q, want %q, once\n%s", got, row.want, row.text)
			}
		})
	}
}

// TestPathsGuardedAlone: what lies below an exact path is not guarded by its route.
func TestPathsGuardedAlone(t *testing.T) {
	for _, row := range []struct {
		name, text, want string
	}{
		{"the rest is public", appRoutes("path: /admin | allow: [ groups: [admin] ]", "path: / | public: true"),
			"4:22: routes[0].match.path: warning: it is this path alone: /admin/, which lies below it, goes to the same place by routes[1] on line 5, and everybody passes there. Add a route for /admin/ with the rules of this one"},
		{"the rest is for anyone", appRoutes("path: /admin.php | allow: [ groups: [admin] ]", "path: / | name: all"), "/admin.php/, which lies below it"},
		{"a route for everything", head0 + "routes:\n  - { match: { path: /admin }, allow: [ groups: [admin] ], upstream: http://127.0.0.1:9000 }\n  - upstream: http://127.0.0.1:9000\n", "anyone passes there who is signed in"},
		{"the rest has the same rule", appRoutes("path: /admin | allow: [ groups: [admin] ]", "path: / | allow: [ groups: [admin] ]"), ""},
		{"the rest has a tighter rule", appRoutes("path: /status | public: true", "path: / | allow: [ groups: [admin] ]"), ""},
		{"there is a route for what lies below", appRoutes("path: /admin | allow: [ groups: [admin] ]", "path: /admin/ | allow: [ groups: [admin] ]", "path: / | public: true"), ""},
		{"there is one, and it lets more people pass", appRoutes("path: /admin | allow: [ groups: [admin] ]", "path: /admin/ | allow: [ groups: [staff, admin] ]", "path: / | public: true"), ""},
		{"there is one for a part of it", appRoutes("path: /admin | allow: [ groups: [admin] ]", "path: /admin/users/ | allow: [ groups: [admin] ]", "path: / | public: true"), "/admin/, which lies below it"},
		{"a route for the slash alone is none for the rest", appRoutes("path: /a/admin | allow: [ groups: [admin] ]", "path: /a/*/x | public: true", "path: /a/ | allow: [ groups: [admin] ]"), "/a/admin/x, which lies below it"},
		{"the rest is another app", appRoutes("path: /admin | allow: [ groups: [admin] ]", "path: / | public: true, upstream: http://127.0.0.1:9001"), ""},
		{"the rest goes elsewhere in the app", appRoutes("path: /admin | allow: [ groups: [admin] ]", "path: / | public: true, add_prefix: /site"), ""},
		{"both are moved alike", appRoutes("path: /admin | allow: [ groups: [admin] ], add_prefix: /site", "path: / | public: true, add_prefix: /site"), "/admin/, which lies below it"},
		{"a redirect shows nothing", appRoutes("path: /admin | allow: [ groups: [admin] ], redirect: /x", "path: / | public: true"), ""},
		{"nothing is below", appRoutes("path: /admin | allow: [ groups: [admin] ]", "path: /a | public: true"), ""},
		{"a host of its own", appRoutes("host: a.example.com, path: /admin | allow: [ groups: [admin] ]", "path: / | public: true"), "https://a.example.com/admin/, which lies below it"},
		{"for a method", appRoutes("path: /orders, methods: [POST] | allow: [ groups: [admin] ]", "path: /, methods: [GET] | public: true"), ""},
		{"by what the proxy in front has", "forward_auth: { listen: '127.0.0.1:9091', dialect: nginx }\ntrusted_proxies: [127.0.0.1]\n" + head0 + "routes:\n  - { match: { path: /admin }, allow: [ groups: [admin] ] }\n  - { match: { path: / }, public: true }\n", "/admin/, which lies below it"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := ""
			for line := range strings.Lines(warned(t, t.TempDir(), row.text) + "\n") {
				if strings.Contains(line, "it is this path alone") {
					got += line
				}
			}
			if !strings.Contains(got, row.want) || row.want == "" && got != "" || strings.Count(got, "\n") > 1 {
				t.Errorf("got %q, want %q, once\n%s", got, row.want, row.text)
			}
		})
	}
}
