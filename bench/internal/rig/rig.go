// Package rig has what measurements of the gateway are made with: the real program before
// a real store and a real app, httputil.ReverseProxy beside it, each a process of its own,
// and what these processes take of the machine.
//
//	wrk ─▶ evergate (bolt, redis, cookie) ─▶ upstream
//	   ─▶ bare (httputil.ReverseProxy)   ─▶
package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/evergate/evergate/internal/freeport"
)

// Rig builds programs and starts them. Close ends them all.
type Rig struct {
	// Root is the folder of the repository, and Dir one for what is measured. Evergate is
	// the program that people run.
	Root, Dir, Evergate string

	mu      sync.Mutex // guards the rest
	running []*Process
	closers []func() error
	count   int
}

// New builds the gateway as it is released, and what stands around it. Dir is where files of
// measurements go; "" is where temporary files are.
func New(ctx context.Context, dir string) (*Rig, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	if dir, err = os.MkdirTemp(dir, "evergate-bench-"); err != nil {
		return nil, fmt.Errorf("a folder for what is measured: %w", err)
	}
	r := &Rig{Root: root, Dir: dir, Evergate: filepath.Join(dir, "evergate")}
	slim := []string{"go"} // at first: it builds itself, and then runs the go command as for a release
	for _, one := range []string{"internal/slim", "cmd/evergate", "bench/internal/bare", "bench/internal/upstream"} {
		args := append(slim, "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, filepath.Base(one)), "./"+one)
		slim = []string{filepath.Join(dir, "slim"), "go"}
		build := exec.CommandContext(ctx, args[0], args[1:]...)
		build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if text, err := build.CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("build %s: %w: %s", one, err, text), r.Close())
		}
	}
	return r, nil
}

// Root is the folder of go.mod.
func Root() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", errors.New("this folder is in no Go module: run it inside the repository, as make bench does")
	}
	return filepath.Dir(mod), nil
}

// Close ends what runs, the last first, and removes the folder.
func (r *Rig) Close() error {
	r.mu.Lock()
	running, closers := slices.Clone(r.running), slices.Clone(r.closers)
	r.running, r.closers = nil, nil
	r.mu.Unlock()
	var all error
	for _, p := range slices.Backward(running) {
		p.Kill()
	}
	for _, c := range slices.Backward(closers) {
		all = errors.Join(all, c())
	}
	return errors.Join(all, os.RemoveAll(r.Dir))
}

// folder makes one of its own for a part of the rig.
func (r *Rig) folder(name string) (string, error) {
	r.mu.Lock()
	r.count++
	dir := filepath.Join(r.Dir, fmt.Sprintf("%s-%d", name, r.count))
	r.mu.Unlock()
	return dir, os.Mkdir(dir, 0o700)
}

func (r *Rig) onClose(f func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closers = append(r.closers, f)
}

// freeAddress is one of loopback where nobody listens.
func freeAddress() (string, error) {
	port, err := freeport.Find()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("127.0.0.1:%d", port), nil
}
