package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReproducible makes the release once more: of another clone in another folder, by
// somebody with another umask, clock and language, whose folder is full of changes. Every
// file is the same.
func TestReproducible(t *testing.T) {
	first := read(t, filepath.Join(folder(t, made), "SHA256SUMS"))
	clone := filepath.Join(t.TempDir(), "somewhere", "else", "quite deep")
	if err := os.MkdirAll(clone, 0o700); err != nil {
		t.Fatal(err)
	}
	commit, err := git(t.Context(), "..", "rev-parse", now())
	if err != nil {
		t.Fatal(err)
	}
	origin, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"init", "-q", "."},
		{"-c", "protocol.file.allow=always", "fetch", "-q", "--depth=1", "--no-tags", "file://" + origin, commit},
		{"checkout", "-q", commit},
	} {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", clone}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=uploadpack.allowAnySHA1InWant", "GIT_CONFIG_VALUE_0=true")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
	}
	for name, text := range map[string]string{"README.md": "mine\n", "cmd/evergate/mine.go": "package main\n\nfunc init() { println(\"mine\") }\n"} {
		if err := os.WriteFile(filepath.Join(clone, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "again")
	env := []string{"TZ=Pacific/Chatham", "LC_ALL=C", "GOFLAGS=-race", "CGO_ENABLED=1", "SOURCE_DATE_EPOCH=1", "TMPDIR=" + t.TempDir(), "GOAMD64=v3"}
	if full() {
		env = append(env, "GOCACHE="+t.TempDir()) // nothing that was built before
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `umask 077; exec "$@"`, "sh", self,
		"-repo", clone, "-version", testVersion, "-out", out, "-targets", testTargets())
	cmd.Env = append(append(os.Environ(), "EVERGATE_RELEASE_MAIN=1"), env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	second := read(t, filepath.Join(out, "SHA256SUMS"))
	if first == second {
		return
	}
	for line := range strings.Lines(first) {
		if !strings.Contains(second, line) {
			t.Errorf("another build of the same commit has another %s", strings.TrimSpace(line))
		}
	}
	t.Errorf("got\n%s\nand then\n%s", first, second)
}

// TestRefusals: what a release is not made of, and that nothing is left behind then.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	repo := filepath.Join(dir, "repo")
	for _, args := range [][]string{
		{"init", "-q", repo},
		{"-C", repo, "commit", "-q", "--allow-empty", "-m", "first"},
		{"-C", repo, "tag", "v1.0.0"},
		{"-C", repo, "commit", "-q", "--allow-empty", "-m", "second"},
	} {
		out, err := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=Test", "-c", "user.email=test@example.com"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	there := filepath.Join(dir, "there")
	if err := os.Mkdir(there, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"no version", nil, `the version "" is not one like 1.2.3`},
		{"a version with a v", []string{"-version", "v1.2.3"}, "is not one like 1.2.3"},
		{"half a version", []string{"-version", "1.2"}, "is not one like 1.2.3"},
		{"an unknown platform", []string{"-version", "1.2.3", "-targets", "plan9/amd64"}, `"plan9/amd64" is none of linux/amd64`},
		{"an unknown kind", []string{"-version", "1.2.3", "-only", "msi"}, `"msi" is none of archive`},
		{"a word too many", []string{"-version", "1.2.3", "now"}, `"now" was not understood`},
		{"a folder that is there", []string{"-version", "1.2.3", "-out", there}, "a release is not overwritten"},
		{"another commit than the tag's", []string{"-version", "1.0.0", "-repo", repo}, "the tag v1.0.0 is at commit"},
		{"no such commit", []string{"-version", "1.2.3", "-repo", repo, "-commit", "nothing"}, "rev-parse"},
		{"a commit that is no Evergate", []string{"-version", "1.2.3", "-repo", repo}, "release:"},
	} {
		out := filepath.Join(dir, "dist", "out")
		err := program(nil, append([]string{"-repo", repo, "-out", out}, row.args...)...)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %q", row.name, err, row.want)
		}
		if left, _ := os.ReadDir(filepath.Dir(out)); len(left) > 0 {
			t.Errorf("%s: %v was left behind", row.name, left)
		}
	}
}
