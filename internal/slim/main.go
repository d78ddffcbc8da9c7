// Slim runs the go command so that the program it builds has only those commands of Redis that
// somebody calls:
//
//	go run ./internal/slim go build -trimpath ./cmd/evergate
//
// The linker leaves out methods that nobody calls, unless the program may call any of them by
// name, as templates and expressions do. Then every exported method stays that reflection can
// reach, and rueidis hands out a Builder with one for each command of Redis and a type for each
// word that may follow: a quarter of the program. So the compiler is given the package of Builder
// without the methods that nothing names. The module in the cache stays as it is.
package main

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	builders = "github.com/redis/rueidis/internal/cmds"
	// commandsFlag is for the compiler of that package alone, which does not get to see it. The
	// go command tells by it what it has compiled like this, and keeps that apart.
	commandsFlag = "-commands="
	// toolWord is in front where the go command runs this program in the place of a tool.
	toolWord = "-tool"
)

// callers are who builds commands: the client itself, and the one package of ours that may import it.
var callers = []string{"github.com/redis/rueidis", "github.com/evergate/evergate/session/redis"}

// self is this file, for commandsFlag to change when it does.
//
//go:embed main.go
var self []byte

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) > 1 && args[0] == toolWord:
		err = runTool(args[1], args[2:])
	case len(args) > 1:
		err = runGo(args[0], args[1], args[2:])
	default:
		fmt.Fprintln(os.Stderr, "Usage:  slim go build|test|... [arguments]")
		os.Exit(2)
	}
	if e, ok := err.(*exec.ExitError); ok { // of the very command, which has said why
		os.Exit(max(e.ExitCode(), 1))
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "slim:", err)
		os.Exit(1)
	}
}

// runGo runs a command of Go, which runs this program in the place of its tools.
func runGo(goCommand, verb string, args []string) error {
	for _, arg := range args {
		if name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "="); name != arg && (name == "gcflags" || name == "toolexec") {
			return fmt.Errorf("%s: slim sets that flag itself, and another would undo it; leave it out, or run go %s without slim", arg, verb)
		}
	}
	me, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	called, err := calledCommands(goCommand)
	if err != nil {
		return fmt.Errorf("find the commands that are called: %w", err)
	}
	version := sha256.Sum256(self)
	flag := fmt.Sprintf("%s=%s%x,%s", builders, commandsFlag, version[:4], strings.Join(called, ","))
	return run(goCommand, append([]string{verb, "-toolexec", "'" + me + "' " + toolWord, "-gcflags", flag}, args...))
}

// calledCommands are the methods of Builder whose names the callers select from anything. A name
// that they select from something else stays for nothing; one that were missed would not compile.
func calledCommands(goCommand string) (called []string, err error) {
	all, found := map[string]bool{}, map[string]bool{}
	for _, pkg := range append([]string{builders}, callers...) {
		files, err := parsed(goCommand, pkg)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			ast.Inspect(file, func(n ast.Node) bool {
				if d, ok := n.(*ast.FuncDecl); ok && pkg == builders && command(d) != "" {
					all[d.Name.Name] = true
				} else if s, ok := n.(*ast.SelectorExpr); ok && pkg != builders && all[s.Sel.Name] {
					found[s.Sel.Name] = true
				}
				return true
			})
		}
	}
	if len(found) == 0 || len(found) > len(all)/2 {
		return nil, fmt.Errorf("cut down %s: %d commands of %d are called, so this version is made in another way; look at it, and mend internal/slim", builders, len(found), len(all))
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// parsed are the files of a package that are no tests, for all platforms.
func parsed(goCommand, pkg string) (files []*ast.File, err error) {
	list := exec.Command(goCommand, "list", "-f", "{{.Dir}}", pkg)
	list.Stderr = os.Stderr
	dir, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("find the sources of %s: %w", pkg, err)
	}
	names, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*.go"))
	for _, name := range names {
		if !strings.HasSuffix(name, "_test.go") && err == nil {
			var file *ast.File
			file, err = parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			files = append(files, file)
		}
	}
	return files, err
}

// command is the name of the method of Builder that d declares, if it does.
func command(d ast.Decl) string {
	if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil && f.Name.IsExported() {
		if receiver, ok := f.Recv.List[0].Type.(*ast.Ident); ok && receiver.Name == "Builder" {
			return f.Name.Name
		}
	}
	return ""
}

// runTool runs a tool of Go. The compiler of Builder's package gets other files.
func runTool(tool string, args []string) error {
	i := slices.IndexFunc(args, func(arg string) bool { return strings.HasPrefix(arg, commandsFlag) })
	if i < 0 {
		return run(tool, args)
	}
	keep := strings.Split(strings.TrimPrefix(args[i], commandsFlag), ",")
	args = slices.Delete(slices.Clone(args), i, i+1)
	if len(args) < 2 || args[0] != "-o" {
		return fmt.Errorf("compile %s: this go command does not begin with -o but with %q; mend internal/slim", builders, args[:min(len(args), 2)])
	}
	// The go command has the compiler leave out the folder that it writes to, and removes it.
	dir := filepath.Join(filepath.Dir(args[1]), "slim")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make a folder for the sources of %s: %w", builders, err)
	}
	for i, arg := range args {
		if strings.HasSuffix(arg, ".go") {
			text, err := without(arg, keep)
			if err == nil {
				args[i] = filepath.Join(dir, filepath.Base(arg))
				err = os.WriteFile(args[i], text, 0o600)
			}
			if err != nil {
				return fmt.Errorf("cut down %s: %w", arg, err)
			}
		}
	}
	return run(tool, args)
}

// without is the text of a file less the commands that are not kept. What remains is in the
// lines and, by the directive in front, in the file that it was in.
func without(name string, keep []string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range file.Decls {
		if name := command(d); name != "" && !slices.Contains(keep, name) {
			for i := d.Pos() - file.FileStart; i < d.End()-file.FileStart; i++ {
				if text[i] != '\n' {
					text[i] = ' '
				}
			}
		}
	}
	return fmt.Appendf(nil, "//line %s:1\n%s", name, text), nil
}

func run(program string, args []string) error {
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
