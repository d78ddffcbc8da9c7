package attacks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
)

// mistakesOf puts routes in the place of the one of mistakesBase. The line that has to be named
// holds at.
func mistakesOf(routes, at, says string, warned bool) mistake {
	return mistake{old: "  - upstream: http://127.0.0.1:9000\n", with: routes, at: at, says: says, warned: warned}
}

// mistakesSay is what comes of a config that can be meant.
const mistakesSay = "warned of with the line and what to write instead, at each check and start, and `check --production` fails"

// mistakesRoutes are about what routes open beside each other, and about rules that bite nobody.
var mistakesRoutes = []attack{
	{"G-23", "critical", "a way around a guard: `/app/admin/` by `strip_prefix: /app`, `add_prefix` or `rewrite`, files of a folder inside another, and the plain path where the guard is on the one with a prefix",
		mistakesSay + "; a request that goes around is shown", func(t *testing.T, l *lab) {
			const guard = "  - { match: { path: /admin/ }, allow: [ groups: [admin] ], upstream: \"http://127.0.0.1:9000\" }\n  - { match: { path: /admin }, redirect: /admin/ }\n"
			around := func(keys string) string {
				return guard + "  - { match: { path: /app/ }, " + keys + ", upstream: \"http://localhost:9000\" }\n"
			}
			l.found(nil, mistakesOf(around("public: true, strip_prefix: /app"), "/app/ }", "by this /app/admin/x comes to /admin/x", true),
				mistakesOf(around("strip_prefix: /app"), "/app/ }", "anyone passes here who is signed in", true),
				mistakesOf(around("allow: [ groups: [staff] ], rewrite: { path: ^/app/(.*)$, to: /$1 }"), "/app/ }", "by this /app/admin/x comes to /admin/x", true),
				mistakesOf(around("public: true, strip_prefix: /app, add_prefix: /admin/app"), "/app/ }", "by this /app/x comes to /admin/app/x", true),
				mistakesOf("  - { match: { path: /site/admin/ }, allow: [ groups: [admin] ], upstream: \"http://127.0.0.1:9000\" }\n  - { add_prefix: /site, upstream: \"http://127.0.0.1:9000\" }\n", "add_prefix", "by this /admin/x comes to /site/admin/x", true),
				mistakesOf("  - { match: { path: /members/ }, allow: [ groups: [staff] ], strip_prefix: /members, static: { dir: /srv/www/private } }\n  - { public: true, static: { dir: /srv/www } }\n", "public", "/private/x", true),
				mistakesOf("  - { public: true, upstream: \"http://127.0.0.1:9000\" }\n  - { match: { path: /ops/ }, allow: [ groups: [ops] ], strip_prefix: /ops, add_prefix: /admin, upstream: \"http://127.0.0.1:9000\" }\n", "/ops/", "whoever asks for /admin/x gets there", true))
			l.saw(traces{})
		}},
	{"G-24", "high", "`/admin` guarded as one path, and what lies below it under a wider rule: `/admin/`, `/admin/x`, `/admin.php/x`", mistakesSay, func(t *testing.T, l *lab) {
		for _, path := range []string{"/admin", "/admin.php"} {
			routes := "  - { match: { path: " + path + " }, allow: [ groups: [admin] ], upstream: \"http://127.0.0.1:9000\" }\n  - { public: true, upstream: \"http://127.0.0.1:9000\" }\n"
			l.found(nil, mistakesOf(routes, path, path+"/, which lies below it", true), mistakesOf(strings.Replace(routes, "public: true", "name: everything", 1), path, "anyone passes there who is signed in", true))
		}
		l.saw(traces{})
	}},
	{"G-25", "high", "a route whose rules are all in `mode: observe`, with no `allow` in force", mistakesSay + "; what is in force is said", func(t *testing.T, l *lab) {
		const observed = "rules: { next: { mode: observe, allow: [ groups: [admin] ] } }\n"
		m := mistakesRoute("rules: [next]").named("rules: [next]", "anyone passes who is signed in", true)
		m.with = m.with + observed
		l.found(nil, m, mistake{with: observed + "default: { rules: [next] }\n", at: "default:", says: "anyone passes who is signed in", warned: true})
		l.saw(traces{})
	}},
	{"G-26", "high", "rules that refuse nobody: `deny: [ users: [\"*\"] ]`, `groups: [\"*\"]`, `csrf: { except: [/] }` and a folder around the route; names with a `*` in them; `host: \"*.github.io\"`, an origin with a star, and a dashboard whose rules name nobody",
		"refused with the line; a name with a `*` in it is warned of", func(t *testing.T, l *lab) {
			for _, rule := range []string{`deny: [ users: ["*"] ]`, `deny: [ groups: ["*"] ]`, `allow: [ users: [alice, "*"] ]`} {
				l.found(nil, mistakesRoute(rule).named(rule, "it does not stand for everybody", false))
			}
			l.found(nil, mistakesRoute("csrf: { except: [/] }").named("csrf", "takes in every path of the route", false),
				mistakesRoute("match: { path: /a/b/ }\n    csrf: { except: [/x, /a/] }").named("csrf", "takes in every path of the route", false),
				mistakesRoute(`deny: [ users: ["bob*"] ]`).named("deny", "stands for itself", true),
				mistakesRoute(`match: { host: "*.github.io" }`).named("host", "anybody can have a name below", true),
				mistakesRoute(`csrf: { origins: ["https://*.example.org"] }`).named("csrf", "matches nothing", false))
			for _, rules := range []string{"allow: [ methods: [GET, POST] ]", `allow: [ networks: ["0.0.0.0/0"] ]`, `allow: [ when: "true" ]`, "deny: [ users: [bob] ]"} {
				l.found(nil, mistakesOf("  - { admin: true, match: { path: /operator/ }, "+rules+" }\n", "admin: true", "can see the dashboard", true))
			}
			l.saw(traces{})
		}},
	{"G-27", "high", "an upstream that is the gateway: its `admin.listen` by `127.0.0.1`, `localhost`, `0.0.0.0`, `[::]` and `[::ffff:127.0.0.1]`, also with `host: upstream`, its `listen`, and `public_url`; and `admin.listen` on every address or another one than loopback's",
		mistakesSay, func(t *testing.T, l *lab) {
			for _, host := range []string{"127.0.0.1", "localhost", "LOCALHOST.", "app.localhost", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]"} {
				l.found(nil, mistakesOf("  - { host: upstream, upstream: \"http://"+host+":9444\" }\n", "9444", "own admin.listen", true))
			}
			l.found(nil, mistakesOf("  - upstream: https://localhost:9443\n", "localhost:9443", "own listen", true),
				mistakesOf("  - upstream: https://apps.example.com\n", "- upstream: https://apps", "is public_url", true))
			for _, address := range []string{":9444", "0.0.0.0:9444", "[::]:9444", "192.0.2.7:9444"} {
				l.found(nil, mistake{old: `admin: { listen: "127.0.0.1:9444" }`, with: `admin: { listen: "` + address + `" }`, at: "admin:", says: "without signing in", warned: true})
			}
			l.saw(traces{})
		}},
	{"G-29", "critical", "a public route that answers with the config, a key, the users file or the operator's token: named by an absolute path where the others are relative and the other way round, through a link to a folder, and by a hard link",
		"refused with the line, at `check` and at start", func(t *testing.T, l *lab) {
			dir := t.TempDir()
			evergate(t, dir, map[string]string{"users.yaml": usersFile, "ring.key": session.NewKey(time.Now()).Reveal()}, "version")
			for _, err := range []error{os.MkdirAll(filepath.Join(dir, "data"), 0o700), os.Mkdir(filepath.Join(dir, "www"), 0o700), os.Symlink(".", filepath.Join(dir, "lnk")),
				os.Symlink("..", filepath.Join(dir, "www", "up")), os.Link(filepath.Join(dir, "ring.key"), filepath.Join(dir, "www", "hard"))} {
				if err != nil {
					t.Fatal(err)
				}
			}
			for _, answer := range []string{"respond: { body_file: DIR/ring.key }", "respond: { body_file: lnk/ring.key }", "respond: { body_file: www/up/users.yaml }", "respond: { body_file: DIR/users.yaml }",
				"respond: { body_file: DIR/evergate.yaml }", "respond: { body_file: DIR/data/admin.token }", "respond: { body_file: www/hard }", "static: { dir: DIR }", "static: { dir: lnk/data }", "static: { dir: DIR/www/up }"} {
				config := mistakesOf("  - { public: true, "+strings.ReplaceAll(answer, "DIR", dir)+" }\n", "public: true", "", false).config(t)
				for _, keys := range []string{"ring.key", filepath.Join(dir, "lnk", "ring.key")} {
					files := map[string]string{"evergate.yaml": config + "keys: { files: [" + keys + "] }\n"}
					for _, args := range [][]string{{"check", "evergate.yaml"}, {"serve"}, {"serve", "--config", filepath.Join(dir, "evergate.yaml")}} {
						if code, said := evergate(t, dir, files, args...); code != 1 || !strings.Contains(said, "evergate.yaml:9:") || !strings.Contains(said, "everybody who may use the route would get") {
							t.Errorf("%v of %q: got exit code %d, want 1 at evergate.yaml:9:\n%.800s", args, answer, code, said)
						}
					}
				}
			}
			l.saw(traces{})
		}},
	{"G-28", "critical", "`pass_headers` with the gateway's own names in a spelling that apps fold (`X_Forwarded_User`, `x-forwarded.groups`), and with names that apps take for who somebody is (`Remote-User`, `X_Remote_User`, `X-WEBAUTH-USER`, `X-Auth-Request-Email`, `Tailscale-User-Login`), and the others that clients may not say (`Impersonate-User`, `X-Original-URL`, `X-Access-Token`)",
		"the first are refused with the line, the others warned of", func(t *testing.T, l *lab) {
			for _, name := range []string{"X_Forwarded_User", "x-forwarded.groups", "X-Forwarded_Email", "X_Request_Id"} {
				l.found(nil, mistakesRoute("pass_headers: ["+name+"]").named(name, "clients could say it", false))
			}
			for _, name := range []string{"Remote-User", "X_Remote_User", "X-WEBAUTH-USER", "X-Auth-Request-Email", "Tailscale-User-Login", "X-Consumer-Username"} {
				l.found(nil, mistakesRoute("pass_headers: ["+name+"]").named(name, "believes anybody who sends it", true))
			}
			for name, does := range map[string]string{"Impersonate-User": "act as anybody", "X-Original-URL": "serves another address", "X-Access-Token": "hands it as a token", "X-Real-IP": "wherever"} {
				l.found(nil, mistakesRoute("pass_headers: ["+name+"]").named(name, does, true))
			}
			l.found(nil, mistakesRoute("pass_headers: [X-Forwarded-User]").named("pass_headers", "nothing that a client sends gets through", true))
			l.saw(traces{})
		}},
}
