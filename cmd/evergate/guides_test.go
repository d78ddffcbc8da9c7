package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/web"
)

// sources are the files of a folder, as one text.
func sources(t *testing.T, glob string) string {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", glob, files, err)
	}
	var all []byte
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return string(all)
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
		if filepath.Base(file) == "kubernetes.md" {
			continue // it has values of the chart, which deploy/check runs
		}
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
			if err == nil {
				err = runTests(t.Context(), cfg)
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

// TestSessionAwareGuide: its script is there, and the events that it
// names are those of the script.
func TestSessionAwareGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/session-aware.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
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

// TestResponsesGuide: its template makes every page, and it names all that a template
// knows.
func TestResponsesGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/responses.md")
	if err != nil {
		t.Fatal(err)
	}
	page := regexp.MustCompile("(?s)```html\n(.*?)```").FindStringSubmatch(string(b))
	if page == nil {
		t.Fatal("there is no template")
	}
	dir := folder(t, map[string]string{"error.html": page[1]})
	own, err := web.LoadTemplates(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := web.NewLook(web.LookConfig{Templates: own}); err != nil {
		t.Error(err)
	}
	for field := range reflect.TypeFor[web.ErrorView]().Fields() {
		if !strings.Contains(string(b), "`."+field.Name+"`") {
			t.Errorf("the guide does not name .%s", field.Name)
		}
	}
}

// TestLegacyGuide: it shows every key of upstream_auth.form, and the answers that it names
// are given.
func TestLegacyGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/legacy-apps.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	form := reflect.TypeFor[config.FormAuth]()
	for i := range form.NumField() {
		if key := form.Field(i).Tag.Get("yaml"); !strings.Contains(text, "`"+key+"`") {
			t.Errorf("the guide does not tell of %s", key)
		}
	}
	code := sources(t, "../../proxy/*.go")
	for _, word := range []string{"no_upstream_user", "upstream_credentials", "signed_in_again", "upstream_sign_in", "upstream.sign_in_failed"} {
		if !strings.Contains(text, "`"+word+"`") || !strings.Contains(code, `"`+word+`"`) {
			t.Errorf("%s is not in both the guide and the code", word)
		}
	}
}

// TestFrontDoorGuide: the events that it names are told.
func TestFrontDoorGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/front-door.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	code := sources(t, "internal/door/*.go")
	events := regexp.MustCompile("`((?:tls|acme|door)\\.[a-z_]+)`").FindAllStringSubmatch(text, -1)
	told := 0
	for _, e := range events {
		if strings.Contains(code, `"event", "`+e[1]+`"`) {
			told++
		} else if e[1] != "tls.redirect_http" {
			t.Errorf("no line of the log has the event %s", e[1])
		}
	}
	if told < 6 {
		t.Errorf("got %d events in the guide, want 6", told)
	}
}

// TestReloadGuide: the events, metrics, commands and tests that it names are there. What it lists
// as needing a restart is compared in TestKeysThatNeedARestart.
func TestReloadGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/reload.md")
	if err != nil {
		t.Fatal(err)
	}
	code := sources(t, "*.go") + sources(t, "../../internal/metrics/*.go")
	names := regexp.MustCompile("`((?:config|handover)\\.[a-z]+|evergate_[a-z_]+)").FindAllStringSubmatch(string(b), -1)
	if len(names) < 6 {
		t.Errorf("got %d events and metrics in the guide, want 6", len(names))
	}
	for _, n := range names {
		if !strings.Contains(code, `"`+n[1]+`"`) {
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
