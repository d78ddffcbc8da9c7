package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// target is a platform, in Go's words.
type target struct{ os, arch string }

func (t target) String() string { return t.os + "/" + t.arch }

var allTargets = []target{
	{"linux", "amd64"}, {"linux", "arm64"},
	{"darwin", "amd64"}, {"darwin", "arm64"},
	{"windows", "amd64"}, {"windows", "arm64"},
}

func targetNames() (names []string) {
	for _, t := range allTargets {
		names = append(names, t.String())
	}
	return names
}

func targetOf(name string) (target, bool) {
	i := slices.Index(targetNames(), name)
	if i < 0 {
		return target{}, false
	}
	return allTargets[i], true
}

// binary is the program, built for a target.
type binary struct {
	target
	path   string
	linked []module // what it is made of besides itself, by path
	// licenses are the texts of those modules and of Go, as they have to come with it.
	licenses []byte
}

// program is what the program is called on its platform.
func (b binary) program() string {
	if b.os == "windows" {
		return "evergate.exe"
	}
	return "evergate"
}

// name is what a file of the release about the binary is called, less its ending.
func (w *work) name(b binary) string {
	return fmt.Sprintf("evergate_%s_%s_%s", w.version, b.os, b.arch)
}

// build builds the program for t.
func (w *work) build(ctx context.Context, t target) (binary, error) {
	b := binary{target: t}
	var err error
	if b.path, err = w.compile(ctx, t); err != nil {
		return b, err
	}
	info, err := buildinfo.ReadFile(b.path)
	if err != nil {
		return b, fmt.Errorf("read what is linked into the build for %s: %w", t, err)
	}
	if b.linked, err = w.modules(ctx, info); err != nil {
		return b, err
	}
	b.licenses, err = w.licenseTexts(ctx, b.linked)
	return b, err
}

// compile returns where the program is that was built for t, and builds it if it was not yet.
func (w *work) compile(ctx context.Context, t target) (string, error) {
	path := filepath.Join(w.scratch, "bin", t.os+"-"+t.arch, binary{target: t}.program())
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	slim, err := w.slim(ctx)
	if err != nil {
		return "", err
	}
	cmd := w.goCommand(ctx, t, "build", "-trimpath", "-buildvcs=false", "-ldflags", w.ldflags(), "-o", path, "./cmd/evergate")
	cmd.Path, cmd.Args = slim, append([]string{slim}, cmd.Args...)
	if _, err := output(cmd); err != nil {
		return "", fmt.Errorf("build for %s: %w", t, err)
	}
	return path, nil
}

// slim is the commit's program that runs the go command and leaves commands of Redis out that
// nobody calls. It is built for where it runs, if it was not yet.
func (w *work) slim(ctx context.Context) (string, error) {
	here := target{runtime.GOOS, runtime.GOARCH}
	path := filepath.Join(w.scratch, "bin", "slim")
	if here.os == "windows" {
		path += ".exe"
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if _, err := output(w.goCommand(ctx, here, "build", "-trimpath", "-buildvcs=false", "-o", path, "./internal/slim")); err != nil {
		return "", fmt.Errorf("build what runs the go command: %w", err)
	}
	return path, nil
}

// ldflags leave out what debuggers need, and tell the program what it is.
func (w *work) ldflags() string {
	return fmt.Sprintf("-s -w -X main.version=%s -X main.commit=%s -X main.committed=%s", w.version, w.source.commit, w.source.stamp())
}

// goCommand is a command of Go in the sources, for a target. Whatever else would change
// what comes out of it is set here, and not by the environment.
func (w *work) goCommand(ctx context.Context, t target, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = w.source.dir
	cmd.Env = append(os.Environ(), "GOOS="+t.os, "GOARCH="+t.arch, "GOAMD64=v1", "GOARM64=v8.0",
		"CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GODEBUG=", "GOFIPS140=off")
	return cmd
}

// completions are what the program prints for shells to complete its commands by. They
// are the same on every platform, so the one that runs here is asked.
func (w *work) completions(ctx context.Context) (map[string][]byte, error) {
	if !w.wants(kindDeb) && !w.wants(kindRPM) {
		return nil, nil
	}
	here, err := w.compile(ctx, target{runtime.GOOS, runtime.GOARCH})
	if err != nil {
		return nil, err
	}
	shells := map[string][]byte{}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		out, err := output(exec.CommandContext(ctx, here, "completion", shell))
		if err != nil {
			return nil, fmt.Errorf("have the program complete for %s: %w", shell, err)
		}
		if !strings.Contains(out, "evergate") {
			return nil, fmt.Errorf("have the program complete for %s: it printed nothing of use", shell)
		}
		shells[shell] = []byte(out)
	}
	return shells, nil
}
