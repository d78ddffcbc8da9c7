package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompare compares two commits of a module of its own, the second of which is slower.
func TestCompare(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("SKIPPED: git is not installed")
	}
	if testing.Short() {
		t.Skip("SKIPPED: it builds and runs benchmarks and benchstat; run without -short")
	}
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		c := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, out)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bench := func(pause string) string {
		return "package work\n\nimport (\n\t\"testing\"\n\t\"time\"\n)\n\nfunc BenchmarkWork(b *testing.B) {\n\tfor b.Loop() {\n\t\ttime.Sleep(" + pause + ")\n\t}\n}\n"
	}
	write("go.mod", "module example.com/work\n\ngo 1.26\n")
	write("work/work_test.go", bench("time.Millisecond"))
	git("init", "--quiet")
	git("add", ".")
	git("commit", "--quiet", "-m", "before")
	write("work/work_test.go", bench("25*time.Millisecond"))
	write("more/more_test.go", bench("time.Millisecond")) // is not there before
	var out, talk bytes.Buffer
	if err := run(t.Context(), options{base: "HEAD", packages: []string{"work", "more"}, bench: ".", time: "5x", count: 12, dir: dir}, &out, &talk); err != nil {
		t.Fatalf("%v\n%s", err, &talk)
	}
	var row string
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "Work") && strings.Contains(line, "p=") && row == "" {
			row = line
		}
	}
	// 25 times as long, of twelve each: a few that a busy machine held up change nothing.
	if f := strings.Fields(row); len(f) < 6 || !strings.Contains(row, "+") {
		t.Errorf("got\n%s\nwant a row that says how much slower it is", &out)
	}
	if list, err := exec.Command("git", "-C", dir, "worktree", "list").Output(); err != nil || bytes.Count(list, []byte("\n")) != 1 {
		t.Errorf("worktrees are left: %s %v", list, err)
	}
	if err := run(t.Context(), options{base: "no-such-commit", packages: []string{"work"}, count: 1, dir: dir}, &out, &talk); err == nil || !strings.Contains(err.Error(), "no-such-commit") {
		t.Errorf("a commit that is not there: got %v", err)
	}
}
