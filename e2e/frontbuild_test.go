package e2e

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// buildDir is where TestMain keeps what is built.
var buildDir string

// front is a front proxy whose program is made of its released modules.
type front struct {
	once sync.Once
	path string // of the program
	// missing is why it could not be had, err why it was not built of what is there.
	missing, err error
}

var caddyProgram, traefikProgram front

// buildCaddy returns a Caddy with the modules of fronts/caddy. What makes certificates of
// its own and what exports metrics is left out: it is half of what would be compiled.
func buildCaddy(t *testing.T) string {
	t.Helper()
	return caddyProgram.program(t, "Caddy", func(f *front) {
		f.build("fronts/caddy", "caddy", ".", map[string]string{"caddy": "github.com/caddyserver/caddy/v2"})
	})
}

// buildTraefik returns the traefik of the release in fronts/traefik/go.mod with the file
// provider alone: all its other providers (for Docker, Kubernetes, Consul and more), those
// of lego for DNS, and the plugins' interpreters are left out, for they are four fifths of
// what would have to be fetched and compiled.
func buildTraefik(t *testing.T) string {
	t.Helper()
	return traefikProgram.program(t, "Traefik", func(f *front) {
		f.build("fronts/traefik", "traefik", "github.com/traefik/traefik/v3/cmd/traefik",
			map[string]string{"traefik": "github.com/traefik/traefik/v3", "lego": "github.com/go-acme/lego/v5"})
	})
}

// build builds a program of the module in dir, of copies of modules from which something
// is left out. What that is stands in dir/_without, in a folder for each: a file there takes
// the place of that in the module, and all.go that of the whole package.
func (f *front) build(dir, name, program string, modules map[string]string) {
	sources := filepath.Join(buildDir, name+"-sources")
	modfile := filepath.Join(sources, "go.mod")
	if f.err = os.MkdirAll(sources, 0o755); f.err != nil {
		return
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		if f.err = copyFile(filepath.Join(dir, file), filepath.Join(sources, file)); f.err != nil {
			return
		}
	}
	edit := []string{"mod", "edit"}
	for name, module := range modules {
		if _, f.missing = goIn(dir, "mod", "download", module); f.missing != nil {
			return
		}
		at, err := goIn(dir, "list", "-m", "-f", "{{.Dir}}", module)
		if f.err = err; err != nil {
			return
		}
		to := filepath.Join(sources, name)
		if f.err = copyWithout(to, strings.TrimSpace(at), filepath.Join(dir, "_without", name)); f.err != nil {
			return
		}
		edit = append(edit, "-replace="+module+"="+to)
	}
	if _, f.err = goIn(dir, append(edit, modfile)...); f.err != nil {
		return
	}
	if _, f.missing = goIn(dir, "list", "-modfile="+modfile, "-deps", program); f.missing != nil {
		return
	}
	f.path = filepath.Join(buildDir, name)
	_, f.err = goIn(dir, "build", "-modfile="+modfile, "-trimpath", "-ldflags=-s -w", "-o", f.path, program)
}

// program builds it once, and skips or fails the test where that did not work.
func (f *front) program(t *testing.T, name string, build func(*front)) string {
	t.Helper()
	f.once.Do(func() { build(f) })
	if f.missing != nil {
		missing(t, name+" cannot be fetched, so "+t.Name()+" shows nothing: "+f.missing.Error())
	}
	if f.err != nil {
		t.Fatalf("build %s: %v", name, f.err)
	}
	return f.path
}

// goIn runs the go command in a folder. Nothing is compiled by C.
func goIn(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		said := stderr.String()
		return "", errors.New("go " + strings.Join(args, " ") + ": " + err.Error() + "\n" + said[max(0, len(said)-2000):])
	}
	return string(out), nil
}

// copyWithout copies the module at from, but for its tests and what does not get into a
// program, with the files below without in place of its own.
func copyWithout(to, from, without string) error {
	own := map[string]bool{} // packages that stand whole in without
	if err := filepath.WalkDir(without, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "all.go" {
			rel, relErr := filepath.Rel(without, filepath.Dir(path))
			own[rel], err = true, relErr
		}
		return err
	}); err != nil {
		return err
	}
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch d.Name() {
		case "integration", "docs", "testdata", "fixtures", "script", "contrib":
			if d.IsDir() {
				return filepath.SkipDir
			}
		}
		if d.IsDir() || strings.HasSuffix(path, "_test.go") || own[filepath.Dir(rel)] {
			return nil
		}
		return copyFile(path, filepath.Join(to, rel))
	})
	if err != nil {
		return err
	}
	return filepath.WalkDir(without, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(without, path)
		if err != nil {
			return err
		}
		return copyFile(path, filepath.Join(to, rel))
	})
}

// copyFile copies the content of a file, and makes the folder that it goes to.
func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, b, 0o644))
}
