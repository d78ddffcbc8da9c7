package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv("EVERGATE_SLIM_MAIN") != "" { // the test's binary is the program too
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// slim runs the program in a folder.
func slim(t *testing.T, dir string, args ...string) (said string, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "EVERGATE_SLIM_MAIN=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestExam: the store of Redis passes its exam with the client as it is cut down.
func TestExam(t *testing.T) {
	if raced {
		t.Skip("SKIPPED: it builds and runs tests of its own, without the race detector; make measured runs it")
	}
	said, err := slim(t, "../..", "go", "test", "-count=1", "-v", "-run", "^(TestStore|TestExamineCluster)$", "./session/redis")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if strings.Contains(said, "--- SKIP: TestStore ") {
		if os.Getenv("CI") != "" {
			t.Fatal("without redis-server it shows nothing; make deps installs it")
		}
		fmt.Fprintln(os.Stderr, "SKIPPED: without redis-server TestExam shows nothing; apt-get install redis-server")
		t.Skip(said)
	}
	if !strings.Contains(said, "--- PASS: TestStore ") {
		t.Errorf("it says:\n%s\nwant it to pass TestStore", said)
	}
}

// TestTwice: what the compiler makes in one folder and in another, called as the go command calls
// it, is the same and has the name of neither in it.
func TestTwice(t *testing.T) {
	if raced {
		t.Skip("SKIPPED: the compiler works without the race detector; make measured runs it")
	}
	called, err := calledCommands("go")
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(goSays(t, "list", "-f", "{{join .Deps \" \"}}", builders))
	config := "" // where the packages are that the compiler needs
	for line := range strings.Lines(goSays(t, append([]string{"list", "-export", "-f", "packagefile {{.ImportPath}}={{.Export}}"}, deps...)...)) {
		if !strings.HasSuffix(line, "=\n") { // unsafe has no file
			config += line
		}
	}
	sources := strings.Fields(goSays(t, "list", "-f", "{{.Dir}} {{join .GoFiles \" \"}}", builders))
	compiler := strings.TrimSpace(goSays(t, "tool", "-n", "compile"))
	compile := func() ([]byte, string) {
		dir := t.TempDir()
		archive, importcfg := filepath.Join(dir, "_pkg_.a"), filepath.Join(dir, "importcfg")
		if err := os.WriteFile(importcfg, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{toolWord, compiler, "-o", archive, "-trimpath", sources[0] + "=>" + builders + ";" + dir + "=>", "-p", builders, "-importcfg", importcfg, "-pack", "-c=2", commandsFlag + strings.Join(called, ",")}
		for _, name := range sources[1:] {
			args = append(args, filepath.Join(sources[0], name))
		}
		if said, err := slim(t, ".", args...); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		b, err := os.ReadFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		return b, dir
	}
	first, dir := compile()
	second, _ := compile()
	if !bytes.Equal(first, second) {
		t.Error("the second time something else was compiled")
	}
	for _, folder := range []string{dir, sources[0]} {
		if i := bytes.Index(first, []byte(folder)); i >= 0 {
			t.Errorf("it names a folder of this machine: %q", first[i:min(i+80, len(first))])
		}
	}
}

// goSays runs the go command.
func goSays(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", args...).Output()
	if err != nil {
		t.Fatalf("go %v: %v", args, err)
	}
	return string(out)
}

// TestLines: what is kept is where it was, for whoever reads a panic.
func TestLines(t *testing.T) {
	called, err := calledCommands("go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Get", "Zrangebyscore", "SentinelGetMasterAddrByName", "ScriptLoad"} {
		if !slices.Contains(called, name) {
			t.Errorf("%s is called, and not among %v", name, called)
		}
	}
	name := filepath.Join(strings.TrimSpace(goSays(t, "list", "-f", "{{.Dir}}", builders)), "gen_string.go")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	cut, err := without(name, called)
	if err != nil {
		t.Fatal(err)
	}
	was, is := positions(t, name, text), positions(t, filepath.Join(t.TempDir(), "cut.go"), cut)
	gone := 0
	for d, where := range was {
		command, isCommand := strings.CutPrefix(d, "Builder.")
		switch _, there := is[d]; {
		case there != (!isCommand || slices.Contains(called, command)):
			t.Errorf("%s: is it there? %v", d, there)
		case !there:
			gone++
		case is[d] != where:
			t.Errorf("%s is at %s, want %s", d, is[d], where)
		}
	}
	if gone == 0 || len(is)+gone != len(was) {
		t.Errorf("of %d declarations %d are gone and %d there", len(was), gone, len(is))
	}
}

// positions are where a file's methods begin, by receiver and name.
func positions(t *testing.T, name string, text []byte) map[string]string {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]string{}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil {
			where := set.Position(f.Pos())
			at[f.Recv.List[0].Type.(*ast.Ident).Name+"."+f.Name.Name] = fmt.Sprintf("%s:%d", where.Filename, where.Line)
		}
	}
	return at
}

// TestRefusals: a client that is made in another way is not left whole in silence, nor is a
// flag taken that would do so.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                       "module github.com/evergate/evergate\n\ngo 1.26\n\nrequire github.com/redis/rueidis v1.99.0\n\nreplace github.com/redis/rueidis => ./rueidis\n",
		"session/redis/redis.go":       "package redis\n\nimport \"github.com/redis/rueidis\"\n\nvar Store = rueidis.Client{}.B().Get()\n",
		"rueidis/go.mod":               "module github.com/redis/rueidis\n\ngo 1.26\n",
		"rueidis/rueidis.go":           "package rueidis\n\nimport \"github.com/redis/rueidis/internal/cmds\"\n\ntype Client struct{}\n\nfunc (Client) B() cmds.Commands { return cmds.Commands{} }\n",
		"rueidis/internal/cmds/cmd.go": "package cmds\n\ntype Commands struct{}\n\nfunc (Commands) Get() string { return \"GET\" }\n",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if said, err := exec.CommandContext(t.Context(), "go", "build", "-C", dir, "./...").CombinedOutput(); err != nil {
		t.Fatalf("what is to be refused does not build: %v\n%s", err, said)
	}
	for _, row := range []struct {
		name string
		dir  string
		args []string
		want string
	}{
		{"nothing to do", dir, nil, "Usage:"},
		{"a client with no Builder", dir, []string{"go", "build", "./..."}, "0 commands of 0 are called"},
		{"no client", t.TempDir(), []string{"go", "build", "./..."}, "find the sources of " + builders},
		{"flags for the compiler", "../..", []string{"go", "build", "-gcflags=all=-N", "./session/redis"}, "slim sets that flag itself"},
		{"another tool", "../..", []string{"go", "build", "--toolexec", "time", "./session/redis"}, "slim sets that flag itself"},
	} {
		said, err := slim(t, row.dir, row.args...)
		if err == nil || !strings.Contains(said, row.want) {
			t.Errorf("%s: got %v and %q, want %q", row.name, err, said, row.want)
		}
	}
}
