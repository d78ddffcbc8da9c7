package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// container is an image that is laid out to be run.
type container struct {
	*box
	root   string
	config v1.Config
}

// command is one in the container, as its user.
func (c *container) command(args []string) *exec.Cmd {
	// Not in the box's process space, for which nsenter would have to stay between us.
	enter := []string{"--target", c.pid, "--mount", "--net", need(c.t, "chroot", "coreutils"), "--userspec=" + c.config.User, "--groups=", c.root}
	cmd := exec.Command("nsenter", append(enter, args...)...)
	cmd.Env = c.config.Env
	return cmd
}

// process is a program that a test started. Its end comes with the test's.
type process struct {
	cmd   *exec.Cmd
	log   bytes.Buffer  // to be read once it ended
	ended chan struct{} // closed once err is set
	err   error
}

func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("%v said:\n%s", cmd.Args, p.log.String())
		}
	})
	return p
}

func (p *process) wantRunning(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
		t.Fatalf("%v ended: %v", p.cmd.Args, p.err)
	default:
	}
}

// stop asks the program to end, which it does with exit code 0.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
		if p.err != nil {
			t.Errorf("after SIGTERM: %v", p.err)
		}
	case <-time.After(time.Minute):
		t.Error("it does not end after SIGTERM")
	}
}

// await waits until f works.
func (c *container) await(f func() error) {
	c.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// loaded is an image as `docker load` would take it.
func loaded(t *testing.T, arch string) v1.Image {
	t.Helper()
	i, err := tarball.ImageFromPath(filepath.Join(folder(t, made), "evergate_1.2.3_linux_"+arch+".docker.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// filesOf are those of an image, the upper layers over the lower.
func filesOf(t *testing.T, i v1.Image) func(yield func(*tar.Header, io.Reader) bool) {
	return func(yield func(*tar.Header, io.Reader) bool) {
		all := mutate.Extract(i)
		defer all.Close()
		for tr := tar.NewReader(all); ; {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !yield(h, tr) {
				return
			}
		}
	}
}

// unpack lays an image out in a folder.
func unpack(t *testing.T, i v1.Image, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "only root can lay out an image, so "+t.Name()+" shows nothing")
	}
	for h, r := range filesOf(t, i) {
		path := filepath.Join(dir, filepath.Clean("/"+h.Name))
		var err error
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = writeFile(path, func(w io.Writer) error { _, err := io.Copy(w, r); return err })
		}
		if err := errors.Join(err, os.Chown(path, h.Uid, h.Gid), os.Chmod(path, os.FileMode(h.Mode).Perm())); err != nil {
			t.Fatal(err)
		}
	}
}
