package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/cmd/evergate/internal/door"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/web"
)

// TestREADME checks what the README shows: its config is sound, its commands
// exist, its links lead somewhere.
func TestREADME(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(blocks) == 0 {
		t.Fatal("there is no config in the README")
	}
	for _, block := range blocks {
		cfg, err := config.Parse("README.md", []byte(block[1]), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Errorf("the config in the README: %v", err)
		} else if err := check(cfg); err != nil {
			t.Errorf("the config in the README: %v", err)
		}
	}
	commands := regexp.MustCompile(`(?:\./|\./cmd/|\x60)evergate ([a-z]+)`).FindAllStringSubmatch(text, -1)
	if len(commands) < 5 {
		t.Errorf("got %d commands in the README, want 5", len(commands))
	}
	for _, c := range commands {
		var out strings.Builder
		if code := run([]string{c[1], "--help"}, nil, &out, &out); code != exitOK || !strings.Contains(out.String(), "evergate "+c[1]) {
			t.Errorf("evergate %s: got exit code %d, %s", c[1], code, out.String())
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat("../../" + link[1]); err != nil {
			t.Errorf("the link to %s: %v", link[1], err)
		}
	}
}

// TestProviderGuides: the config of each guide is sound, and its redirect URIs are
// those that the gateway has.
func TestProviderGuides(t *testing.T) {
	files, err := filepath.Glob("../../docs/providers/*.md")
	if err != nil || len(files) < 7 {
		t.Fatalf("got %d guides, %v, want 7", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(text)
		if block == nil {
			t.Errorf("%s: there is no config", file)
			continue
		}
		cfg, err := config.Parse(file, []byte(block[1]), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		o := cfg.Providers()[0]
		if want := cfg.PublicURL.String() + "/.evergate/callback/" + o.Name; !strings.Contains(text, want) || o.Kind+".md" != filepath.Base(file) {
			t.Errorf("%s: kind %s; want %s in it", file, o.Kind, want)
		}
		if !strings.Contains(text, "init oidc "+o.Issuer+" ") {
			t.Errorf("%s probes another issuer than it configures", file)
		}
	}
}

// TestRedisGuide: its configs are sound, and the ACL rule is the one that is tested.
func TestRedisGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(blocks) != 4 {
		t.Errorf("got %d configs, want 4: one server, Sentinels, a Cluster, and TLS", len(blocks))
	}
	const rest = "public_url: https://apps.example.com\nidentity: [{ local: { users_file: users.yaml } }]\nroutes: [{ upstream: \"http://127.0.0.1:9000\" }]\n"
	for _, block := range blocks {
		cfg, err := config.Parse("redis.md", []byte(rest+block[1]), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Errorf("%v in\n%s", err, block[1])
		} else if cfg.Session.Store != "redis" {
			t.Errorf("got store %s in\n%s", cfg.Session.Store, block[1])
		}
	}
	rule := regexp.MustCompile(`-@all .*`).FindString(text)
	tested, err := os.ReadFile("../../session/redis/redis_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if rule == "" || !strings.Contains(string(tested), rule+`"`) {
		t.Errorf("the ACL rule %q is not the one that session/redis tests", rule)
	}
}

// TestGuides: every config in the guides is sound. What a guide leaves out for it is not
// about that is filled in.
func TestGuides(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) < 5 {
		t.Fatalf("got %d guides, %v", len(files), err)
	}
	seen := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(b), -1) {
			seen++
			text := block[1]
			identity := "{ local: { users_file: users.yaml } }"
			if strings.Contains(text, "store: cookie") {
				identity = "{ oidc: { issuer: \"https://login.example.com\", client_id: evergate, client_secret_file: s } }"
			}
			for _, rest := range []string{"public_url: https://apps.example.com", "identity: [" + identity + "]", "routes: [{ upstream: \"http://127.0.0.1:9000\" }]"} {
				if key, _, _ := strings.Cut(rest, " "); !strings.Contains("\n"+text, "\n"+key) {
					text = rest + "\n" + text
				}
			}
			cfg, err := config.Parse(filepath.Base(file), []byte(text), func(string) (string, bool) { return "", false })
			if err == nil {
				err = check(cfg)
			}
			if err != nil {
				t.Errorf("%s: %v in\n%s", file, err, text)
			}
		}
	}
	if seen < 15 {
		t.Errorf("got %d configs in the guides, want 15", seen)
	}
}

// TestSessionAwareGuide: its config is sound, its script is there, and the events that it
// names are those of the script.
func TestSessionAwareGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/session-aware.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(blocks) != 1 {
		t.Errorf("got %d configs, want 1", len(blocks))
	}
	const rest = "public_url: https://apps.example.com\nidentity: [{ local: { users_file: users.yaml } }]\n"
	for _, block := range blocks {
		cfg, err := config.Parse("session-aware.md", []byte(rest+block[1]), func(string) (string, bool) { return "", false })
		if err == nil {
			err = check(cfg)
		}
		if err != nil {
			t.Errorf("%v in\n%s", err, block[1])
		}
	}
	script, err := os.ReadFile("../../auth/pages/session.js")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`event\("([a-z]+)"`).FindAllStringSubmatch(string(script), -1)
	if len(said) != 4 {
		t.Errorf("got %d events in the script, want 4", len(said))
	}
	for _, e := range said {
		if !strings.Contains(text, "`evergate:"+e[1]+"`") {
			t.Errorf("the event %s is not in the guide", e[1])
		}
	}
	for _, attribute := range regexp.MustCompile(`data-([a-z]+)`).FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`opts\.` + attribute[1] + `|"` + attribute[1] + `" in opts`).Match(script) {
			t.Errorf("the script knows no data-%s", attribute[1])
		}
	}
}

// TestResponsesGuide: its configs are sound, its template makes every page, and it
// names all that a template knows.
func TestResponsesGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/responses.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(b), -1)
	if len(blocks) != 3 {
		t.Errorf("got %d configs, want 3: answers, pages, and compression", len(blocks))
	}
	const rest = "public_url: https://apps.example.com\nidentity: [{ local: { users_file: users.yaml } }]\n"
	for _, block := range blocks {
		cfg, err := config.Parse("responses.md", []byte(rest+block[1]), func(string) (string, bool) { return "", false })
		if err == nil {
			err = check(cfg)
		}
		if err != nil {
			t.Errorf("%v in\n%s", err, block[1])
		}
	}
	page := regexp.MustCompile("(?s)```html\n(.*?)```").FindStringSubmatch(string(b))
	if page == nil {
		t.Fatal("there is no template")
	}
	dir := folder(t, map[string]string{"error.html": page[1]})
	if _, err := web.LoadErrorPages(dir); err != nil {
		t.Error(err)
	}
	for field := range reflect.TypeFor[web.ErrorView]().Fields() {
		if !strings.Contains(string(b), "`."+field.Name+"`") {
			t.Errorf("the guide does not name .%s", field.Name)
		}
	}
}

// TestLegacyGuide: its configs are sound, it shows every key of upstream_auth.form, and
// the answers that it names are given.
func TestLegacyGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/legacy-apps.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(blocks) != 4 {
		t.Errorf("got %d configs, want 4: a header, Basic, keys, and forms", len(blocks))
	}
	const rest = "public_url: https://apps.example.com\nidentity: [{ local: { users_file: users.yaml } }]\n"
	for _, block := range blocks {
		cfg, err := config.Parse("legacy-apps.md", []byte(rest+block[1]), func(string) (string, bool) { return "", false })
		if err == nil {
			err = check(cfg)
		}
		if err != nil {
			t.Errorf("%v in\n%s", err, block[1])
		}
	}
	form := reflect.TypeFor[config.FormAuth]()
	for i := range form.NumField() {
		if key := form.Field(i).Tag.Get("yaml"); !strings.Contains(text, "`"+key+"`") {
			t.Errorf("the guide does not tell of %s", key)
		}
	}
	var code strings.Builder
	files, err := filepath.Glob("../../proxy/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(b)
	}
	for _, word := range []string{"no_upstream_user", "upstream_credentials", "signed_in_again", "upstream_sign_in", "upstream.sign_in_failed"} {
		if !strings.Contains(text, "`"+word+"`") || !strings.Contains(code.String(), `"`+word+`"`) {
			t.Errorf("%s is not in both the guide and the code", word)
		}
	}
}

// TestFrontDoorGuide: its configs are sound, and the events that it names are told.
func TestFrontDoorGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/front-door.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	const rest = "public_url: https://apps.example.com\nidentity: [{ local: { users_file: users.yaml } }]\nroutes: [{ upstream: \"http://127.0.0.1:9000\" }]\n"
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(blocks) != 5 {
		t.Errorf("got %d configs, want 5", len(blocks))
	}
	for _, block := range blocks {
		if _, err := config.Parse("front-door.md", []byte(rest+block[1]), func(string) (string, bool) { return "", false }); err != nil {
			t.Errorf("%v in\n%s", err, block[1])
		}
	}
	var code strings.Builder
	files, err := filepath.Glob("internal/door/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(b)
	}
	events := regexp.MustCompile("`((?:tls|acme|door)\\.[a-z_]+)`").FindAllStringSubmatch(text, -1)
	told := 0
	for _, e := range events {
		if strings.Contains(code.String(), `"event", "`+e[1]+`"`) {
			told++
		} else if e[1] != "tls.redirect_http" {
			t.Errorf("no line of the log has the event %s", e[1])
		}
	}
	if told < 6 {
		t.Errorf("got %d events in the guide, want 6", told)
	}
}

// TestExampleConfigIsSound: `evergate check` has nothing to say against it.
func TestExampleConfigIsSound(t *testing.T) {
	var out strings.Builder
	if code := run([]string{"check", "../../config.example.yaml"}, nil, &out, &out); code != exitOK || !strings.Contains(out.String(), "0 warnings") {
		t.Errorf("got exit code %d, %s", code, out.String())
	}
}

// TestHelpStartsWithExamples: every command shows how it is typed.
func TestHelpStartsWithExamples(t *testing.T) {
	for _, args := range []string{"demo", "dev", "init", "init oidc", "serve", "check", "user add", "user passwd", "user disable",
		"user list", "reload", "upgrade", "key new", "config show", "healthcheck", "version"} {
		var out strings.Builder
		code := run(append(strings.Fields(args), "--help"), nil, &out, &out)
		if code != exitOK || !strings.HasPrefix(out.String(), "Examples:\n  ") ||
			!strings.Contains(strings.SplitN(out.String(), "\n\n", 2)[0], "evergate "+args) {
			t.Errorf("%s: got exit code %d and no example first in\n%s", args, code, out.String())
		}
	}
}

// TestSystemdUnit has systemd's own programs look at the unit.
func TestSystemdUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		const why = "systemd-analyze is not installed, so the unit is not looked at; apt-get install systemd"
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		t.Skip("SKIPPED: " + why)
	}
	b, err := os.ReadFile("../../deploy/systemd/evergate.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "evergate.service")
	// The program is not installed where tests run; all else is as shipped.
	text := strings.ReplaceAll(string(b), "/usr/local/bin/evergate", "/bin/true")
	if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	verify := []string{"verify", unit}
	for _, socket := range []string{"evergate.socket", "evergate-redirect.socket"} {
		text, err := os.ReadFile("../../deploy/systemd/" + socket)
		if err != nil {
			t.Fatal(err)
		}
		name := regexp.MustCompile(`FileDescriptorName=(.*)`).FindStringSubmatch(string(text))
		if name == nil || name[1] != door.Public && name[1] != door.Redirect {
			t.Errorf("%s: got the name %v, want one that the gateway knows", socket, name)
		}
		file := filepath.Join(filepath.Dir(unit), socket)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		verify = append(verify, file)
	}
	for _, args := range [][]string{verify, {"security", "--offline=true", "--threshold=20", unit}} {
		if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil {
			t.Errorf("systemd-analyze %v: %v\n%s", args, err, out)
		}
	}
}

// TestReloadGuide: the events, metrics, commands and tests that it names are there. What it lists
// as needing a restart is compared in TestKeysThatNeedARestart.
func TestReloadGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/reload.md")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, pattern := range []string{"*.go", "../../internal/metrics/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(b)
		}
	}
	names := regexp.MustCompile("`((?:config|handover)\\.[a-z]+|evergate_[a-z_]+)").FindAllStringSubmatch(string(b), -1)
	if len(names) < 6 {
		t.Errorf("got %d events and metrics in the guide, want 6", len(names))
	}
	for _, n := range names {
		if !strings.Contains(code.String(), `"`+n[1]+`"`) {
			t.Errorf("nothing here says %s", n[1])
		}
	}
	for _, test := range regexp.MustCompile("`(?:proxy/|session/|internal/web/)?[a-z_]+_test\\.go`").FindAllString(string(b), -1) {
		name := strings.Trim(test, "`")
		if _, err := os.Stat(name); err != nil {
			if _, err := os.Stat("../../" + name); err != nil {
				t.Errorf("the test %s: %v", name, err)
			}
		}
	}
}
