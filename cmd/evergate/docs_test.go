package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/cmd/evergate/internal/door"
	"github.com/evergate/evergate/config"
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
		"user list", "explain", "doctor", "reload", "upgrade", "key new", "import oauth2-proxy", "config show", "healthcheck", "version"} {
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
	drop := unit + ".d"
	if err := os.Mkdir(drop, 0o700); err != nil {
		t.Fatal(err)
	}
	credentials, err := os.ReadFile("../../deploy/systemd/credentials.conf")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(drop, "credentials.conf"), credentials, 0o600); err != nil {
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
		out, err := exec.Command(analyze, args...).CombinedOutput()
		// A key that it does not know is told, and no error. Other units of the machine are not ours to judge.
		if err != nil || args[0] == "verify" && strings.Contains(string(out), filepath.Dir(unit)) {
			t.Errorf("systemd-analyze %v: %v\n%s", args, err, out)
		}
	}
}
