package attacks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
)

func init() { sections = append(sections, mistakes) }

func TestMistakes(t *testing.T) {
	t.Parallel()
	mistakes.try(t, newLab(t, setup{}))
}

// mistakes are what an operator may write, and what of the gateway may be reached by others than them.
var mistakes = &section{name: "Mistakes in a config, and the operator's listener", test: "TestMistakes", attacks: slices.Concat(mistakesWritten, mistakesRoutes, mistakesOpen)}

// mistakesBase is a config without a fault.
const mistakesBase = `public_url: https://apps.example.com
data_dir: data
listen: 127.0.0.1:9443
admin: { listen: "127.0.0.1:9444" }
trusted_proxies: [127.0.0.1]
identity:
  - local: { users_file: users.yaml }
routes:
  - upstream: http://127.0.0.1:9000
`

// evergate runs a command in dir, where it puts files beside, and returns its exit code and all that it said.
func evergate(t *testing.T, dir string, files map[string]string, args ...string) (code int, said string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(out)
	}
	if err != nil {
		t.Fatalf("evergate %s: %v", strings.Join(args, " "), err)
	}
	return 0, string(out)
}

// mistake is a config with a fault.
type mistake struct {
	old, with string // what of mistakesBase is replaced; without old, with stands at the end
	at        string // in the line that has to be named
	says      string // what has to be said of it
	warned    bool   // it is no fault: check says it, and check --production fails by it
}

func (m mistake) config(t *testing.T) string {
	t.Helper()
	if m.old == "" {
		return mistakesBase + m.with
	}
	if !strings.Contains(mistakesBase, m.old) {
		t.Fatalf("the config has no %q", m.old)
	}
	return strings.Replace(mistakesBase, m.old, m.with, 1)
}

// found has evergate check each of them. Files lie beside the config.
func (l *lab) found(files map[string]string, all ...mistake) {
	l.t.Helper()
	for _, m := range all {
		dir, config := l.t.TempDir(), m.config(l.t)
		beside := map[string]string{"evergate.yaml": config, "users.yaml": usersFile}
		for name, text := range files {
			beside[name] = text
		}
		line := 1 + strings.Count(config[:strings.LastIndex(config, m.at)], "\n")
		place := fmt.Sprintf("evergate.yaml:%d:", line)
		code, said := evergate(l.t, dir, beside, "check", "evergate.yaml")
		want := 1
		if m.warned {
			want = 0
		}
		if code != want || !strings.Contains(said, place) || !strings.Contains(said, m.says) {
			l.t.Errorf("check of %q: got exit code %d, want %d with %q at %s\n%.800s", m.with, code, want, m.says, place, said)
		}
		if !m.warned {
			code, said = evergate(l.t, dir, nil, "serve", "--config", "evergate.yaml")
			if code != 1 || !strings.Contains(said, place) {
				l.t.Errorf("serve of %q: got exit code %d, want 1 at %s\n%.800s", m.with, code, place, said)
			}
		} else if code, said = evergate(l.t, dir, nil, "check", "--production", "evergate.yaml"); code != 1 || !strings.Contains(said, place) {
			l.t.Errorf("check --production of %q: got exit code %d, want 1 at %s\n%.800s", m.with, code, place, said)
		}
	}
}

// mistakesRoute is a route with more in it.
func mistakesRoute(more string) mistake {
	const route = "  - upstream: http://127.0.0.1:9000\n"
	return mistake{old: route, with: route + "    " + more + "\n"}
}

func (m mistake) named(at, says string, warned bool) mistake {
	m.at, m.says, m.warned = at, says, warned
	return m
}

const mistakesOIDC = `  - oidc:
      issuer: https://login.example.com
      client_id: evergate
      client_secret_file: oidc.secret
`

// mistakesWritten are about what a config says.
var mistakesWritten = []attack{
	{"G-01", "high", "a key ring that is short, all zeros, a word, empty, cut off or twice the same key; a secret from a variable that is not set or is empty",
		"the gateway does not start, and `check` says it with the line", func(t *testing.T, l *lab) {
			zeros := "evergate-key-1.1700000000." + strings.Repeat("A", 86)
			good := session.NewKey(time.Now()).Reveal()
			for name, key := range map[string]string{"short": "evergate-key-1.1700000000.c2hvcnQ", "zeros": zeros, "a word": "changeme", "empty": "\n", "cut off": good[:len(good)-4], "twice": good + "\n" + good} {
				dir := t.TempDir()
				config := mistakesBase + "keys: { files: [ring.key] }\n"
				code, said := evergate(t, dir, map[string]string{"evergate.yaml": config, "users.yaml": usersFile, "ring.key": key}, "serve", "--config", "evergate.yaml")
				if code != 1 || !strings.Contains(said, "key") || len(key) > 10 && strings.Contains(said, key) {
					t.Errorf("%s: serve: got exit code %d and %q, want 1, and not the key", name, code, said)
				}
				if code, said = evergate(t, dir, nil, "check", "evergate.yaml"); code != 1 || !strings.Contains(said, "evergate.yaml:10:") {
					t.Errorf("%s: check: got exit code %d and %q, want 1 with the line", name, code, said)
				}
			}
			l.found(nil, mistake{old: "  - local: { users_file: users.yaml }\n", with: strings.Replace(mistakesOIDC, "client_secret_file: oidc.secret", `client_secret: "${ATTACKS_UNSET}"`, 1), at: "client_secret", says: "ATTACKS_UNSET"},
				mistake{old: "  - local: { users_file: users.yaml }\n", with: strings.Replace(mistakesOIDC, "client_secret_file: oidc.secret", `client_secret: "${ATTACKS_UNSET:-}"`, 1), at: "client_secret", says: "the secret is empty"})
			l.saw(traces{})
		}},
	{"G-02", "high", "a key of the ring, a client secret, a TLS key and the users file that everybody on the machine can read, a secret in the config itself, and a config that everybody can change",
		"a key that others can read is no key: no start; the others are warned of with file, line and the command that mends it, and `check --production` fails", func(t *testing.T, l *lab) {
			dir := t.TempDir()
			config := strings.Replace(mistakesBase, "  - local: { users_file: users.yaml }\n", "  - local: { users_file: users.yaml }\n"+mistakesOIDC, 1) +
				"keys: { files: [ring.key] }\ntls: { cert_file: tls.pem, key_file: tls.key }\n"
			files := map[string]string{"evergate.yaml": config, "users.yaml": usersFile, "oidc.secret": "a secret of the client", "ring.key": session.NewKey(time.Now()).Reveal(), "tls.pem": "", "tls.key": ""}
			evergate(t, dir, files, "version")
			for _, name := range []string{"users.yaml", "oidc.secret", "ring.key", "tls.key"} {
				if err := os.Chmod(filepath.Join(dir, name), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			code, said := evergate(t, dir, nil, "check", "--production", "evergate.yaml")
			for _, at := range []string{"evergate.yaml:7:", "evergate.yaml:11:", "evergate.yaml:14:", "evergate.yaml:15:"} {
				if code != 1 || !strings.Contains(said, at) || !strings.Contains(said, "chmod 600") {
					t.Errorf("check: got exit code %d, want 1 and %s\n%s", code, at, said)
				}
			}
			if code, said := evergate(t, dir, nil, "serve", "--config", "evergate.yaml"); code != 1 || !strings.Contains(said, "may be read by others") {
				t.Errorf("serve: got exit code %d and %q, want 1", code, said)
			}
			dir = t.TempDir()
			evergate(t, dir, map[string]string{"evergate.yaml": mistakesBase, "users.yaml": usersFile}, "version")
			if err := os.Chmod(filepath.Join(dir, "evergate.yaml"), 0o666); err != nil {
				t.Fatal(err)
			}
			if code, said := evergate(t, dir, nil, "check", "--production", "evergate.yaml"); code != 1 || !strings.Contains(said, "everybody on this machine can change this file") {
				t.Errorf("a config that everybody can change: got exit code %d and %q, want 1", code, said)
			}
			l.found(nil, mistake{old: "  - local: { users_file: users.yaml }\n", with: strings.Replace(mistakesOIDC, "client_secret_file: oidc.secret", "client_secret: in the open", 1), at: "client_secret", says: "client_secret_file", warned: true})
			l.saw(traces{})
		}},
	{"G-03", "high", "a public_url of plain http, for a name that is not loopback's", "refused with the line: there is no switch for it", func(t *testing.T, l *lab) {
		const url = "public_url: https://apps.example.com"
		l.found(nil, mistake{old: url, with: "public_url: http://apps.example.com", at: "http://apps", says: "loopback"},
			mistake{old: url, with: "public_url: http://localhost.example.com", at: "http://local", says: "loopback"},
			mistake{old: url, with: "public_url: http://apps.example.com\ninsecure: true", at: "insecure", says: "unknown key"})
		l.saw(traces{})
	}},
	{"G-05", "high", "trusted_proxies of everybody, and of a large part of the internet: `0.0.0.0/0`, `::/0`, `0.0.0.0/1`, `128.0.0.0/2`, `2000::/3`", "warned of with the line at each check and start, and `check --production` fails", func(t *testing.T, l *lab) {
		const trusted = "trusted_proxies: [127.0.0.1]"
		for _, all := range []string{"0.0.0.0/0", "::/0", "::ffff:0.0.0.0/0"} {
			m := mistake{old: trusted, with: fmt.Sprintf("trusted_proxies: [%q]", all), at: all, says: "everybody", warned: true}
			if strings.HasPrefix(all, "::ffff") {
				m.says, m.warned = "", false // no range at all
			}
			l.found(nil, m)
		}
		for _, many := range []string{"0.0.0.0/1", "128.0.0.0/2", "2000::/3"} {
			l.found(nil, mistake{old: trusted, with: fmt.Sprintf("trusted_proxies: [%q]", many), at: many, says: "a large part of the internet", warned: true})
		}
		l.saw(traces{})
	}},
	{"G-07", "critical", "rules that name nobody: `allow: []`, `[{}]`, `groups: []`, `[\"\"]`, `emails: [\"\"]`, `[\"*@\"]`, `users:` and nothing, and beside `public`",
		"refused with the line, rather than read as everybody", func(t *testing.T, l *lab) {
			for _, rule := range []string{"allow: []", "allow: [{}]", "allow:", "allow: [groups: []]", `allow: [groups: [""]]`, `allow: [groups: [" "]]`, `allow: [emails: [""]]`, `allow: [emails: ["*@"]]`,
				`allow: [emails: ["*"]]`, "allow: [users: []]", `allow: [users: [""]]`, "allow: [groups: ]", `allow: [claims: {}]`, `allow: [networks: []]`, `allow: [when: ""]`, "rules: []", "rules: [nobody-wrote-it]"} {
				l.found(nil, mistakesRoute(rule).named(rule, "", false))
			}
			l.found(nil, mistakesRoute("public: true\n    allow: [groups: [staff]]").named("allow: [groups", "public", false))
			l.saw(traces{})
		}},
	{"G-09", "medium", "a route that no request reaches, and an entry that allows less than another one",
		"warned of with both lines, and `check --production` fails", func(t *testing.T, l *lab) {
			m := mistakesRoute("allow: [groups: [staff], { groups: [staff], methods: [GET] }]").named("allow:", "allow[0]", true)
			l.found(nil, m)
			methods := "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
			m = mistake{with: "  - match: { path: /x/, methods: [" + methods + "] }\n    upstream: http://127.0.0.1:9000\n  - match: { path: /x/ }\n    upstream: http://127.0.0.1:9000\n", at: "- match: { path: /x/ }", says: "lines 10", warned: true}
			l.found(nil, m)
			l.saw(traces{})
		}},
	{"G-10", "high", "certificates that are not looked at, and an issuer on plain http",
		"the first is warned of with its line at each check and start, and `check --production` fails; the second is refused", func(t *testing.T, l *lab) {
			m := mistake{old: "  - upstream: http://127.0.0.1:9000\n", with: "  - upstream: { targets: [\"https://app.example.com\"], tls: { insecure_skip_verify: true } }\n", at: "insecure_skip_verify", says: "any server on the way", warned: true}
			l.found(nil, m)
			for _, key := range []string{"issuer: http://login.example.com", "issuer: https://login.example.com\n      insecure_skip_verify: true", "issuer: https://login.example.com\n      insecure_issuer: true"} {
				at := key[strings.LastIndex(key, "\n")+1:]
				l.found(map[string]string{"oidc.secret": "x"}, mistake{old: "  - local: { users_file: users.yaml }\n", with: strings.Replace(mistakesOIDC, "issuer: https://login.example.com", key, 1), at: strings.TrimSpace(at), says: ""})
			}
			// The start says it too, with nobody having asked.
			dir := t.TempDir()
			_, said := evergate(t, dir, map[string]string{"evergate.yaml": m.config(t) + "keys: { files: [nothing.key] }\n", "users.yaml": usersFile}, "serve", "--config", "evergate.yaml")
			if !strings.Contains(said, "any server on the way") {
				t.Errorf("serve says %q, want the warning", said)
			}
			l.saw(traces{})
		}},
	{"G-11", "high", "the session cookie for a whole domain: `domain: com`, `.example.com`, and a name without a prefix that browsers hold to one host",
		"refused with the line: there is no such key; a name that on https does not begin with `__Host-` is warned of, and `check --production` fails", func(t *testing.T, l *lab) {
			for _, key := range []string{"domain: com", "domain: .example.com", "path: /x", "same_site: none", "secure: false", "http_only: false"} {
				l.found(nil, mistake{with: "session: { cookie: { " + key + " } }\n", at: key, says: "unknown key"})
			}
			for _, name := range []string{"door", "__Secure-door", "__host-door"} {
				l.found(nil, mistake{with: "session: { cookie: { name: " + name + " } }\n", at: "name: " + name, says: "without __Host- in front", warned: true})
			}
			l.saw(traces{})
		}},
	{"G-12", "medium", "two routes for the same host and path, also spelled otherwise", "refused with the line of the second, and that of the first is named", func(t *testing.T, l *lab) {
		for _, pair := range [][2]string{{"path: /x/", "path: /x/"}, {"host: a.example.com", "host: A.example.COM"}, {"path: /%61/", "path: /a/"}, {"host: a.example.com", "host: a.example.com."}} {
			route := func(match string) string {
				return "  - match: { " + match + " }\n    upstream: http://127.0.0.1:9001\n"
			}
			l.found(nil, mistake{with: route(pair[0]) + route(pair[1]), at: route(pair[1])[2:], says: ""})
		}
		l.saw(traces{})
	}},
	{"G-14", "high", "`access_token.algorithm: HS256`, `none` and their kin", "refused with the line: ES256, RS256 or EdDSA", func(t *testing.T, l *lab) {
		for _, alg := range []string{"HS256", "hs512", "none", "None", `""`, "RS1", "ES256K"} {
			l.found(nil, mistake{with: "access_token: { algorithm: " + alg + " }\n", at: "algorithm", says: "ES256"})
		}
		l.saw(traces{})
	}},
	{"G-22", "medium", "`evergate check` of a file with ten faults, of one that is no YAML, of none, and without a file",
		"exit code 1 with each fault's line at once, and 2 where it was typed wrongly", func(t *testing.T, l *lab) {
			dir := t.TempDir()
			bad := "public_url: http://apps.example.com\ndata_dir: \"\"\nlisten: nowhere\nadmin: { listen: nowhere }\ntrusted_proxies: [everybody]\nidentity: []\nroutes:\n  - upstream: ftp://x\n    allow: []\naccess_token: { algorithm: none, ttl: 1s }\nsession: { store: none }\n"
			code, said := evergate(t, dir, map[string]string{"evergate.yaml": bad, "no.yaml": "a: [\n"}, "check", "evergate.yaml")
			for line := 1; line <= 11; line++ {
				if line == 7 {
					continue
				}
				if !strings.Contains(said, fmt.Sprintf("evergate.yaml:%d:", line)) {
					t.Errorf("line %d is not named", line)
				}
			}
			if code != 1 {
				t.Errorf("got exit code %d, want 1\n%s", code, said)
			}
			for want, args := range map[int][][]string{1: {{"check", "no.yaml"}, {"check", "nothing.yaml"}, {"serve", "--config", "evergate.yaml"}}, 2: {{"check"}, {"check", "--whatever", "evergate.yaml"}}} {
				for _, a := range args {
					if code, said := evergate(t, dir, nil, a...); code != want {
						t.Errorf("evergate %s: got exit code %d, want %d\n%s", strings.Join(a, " "), code, want, said)
					}
				}
			}
			l.saw(traces{})
		}},
}
