package check

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// container is the image as a plain process: in a root file system of its own, as the user
// that a container has, who may write nowhere but in volumes.
type container struct {
	t    *testing.T
	root string
	env  []string
}

func newContainer(t *testing.T) *container {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "only root may change the root folder of a process, so "+t.Name()+" shows nothing")
	}
	root, err := os.MkdirTemp(filepath.Dir(built(t)), "container-")
	if err == nil {
		err = os.Chmod(root, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	c := &container{t: t, root: root}
	if err := copyTree(built(t), c.root, ""); err != nil {
		t.Fatal(err)
	}
	c.env = []string{"ZONEINFO=/usr/share/zoneinfo.zip"}
	c.volume("/var/lib/evergate", 0o700, nobody)
	c.write("/etc/resolv.conf", "", 0o644, 0) // nobody is asked
	return c
}

// resolve gives a name an address, as the network of containers would.
func (c *container) resolve(name, address string) {
	c.t.Helper()
	hosts := filepath.Join(c.root, "etc/hosts")
	old, err := os.ReadFile(hosts)
	if err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(hosts, fmt.Appendf(old, "%s %s\n", address, name), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// volume makes a folder with that owner and mode.
func (c *container) volume(path string, mode fs.FileMode, owner int) {
	c.t.Helper()
	dir := filepath.Join(c.root, path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		c.t.Fatal(err)
	}
	c.own(dir, mode, owner)
}

// write makes a file with that owner and mode.
func (c *container) write(path, text string, mode fs.FileMode, owner int) {
	c.t.Helper()
	file := filepath.Join(c.root, path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.own(file, mode, owner)
}

// own sets owner and mode; files of root are of the container's group, as in volumes of a Pod.
func (c *container) own(path string, mode fs.FileMode, owner int) {
	c.t.Helper()
	if err := os.Chown(path, owner, nobody); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		c.t.Fatal(err)
	}
}

func (c *container) command(args ...string) *exec.Cmd {
	cmd := exec.Command("/usr/bin/evergate", args...)
	cmd.Dir, cmd.Env = "/", c.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: c.root, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

// run runs one command to its end.
func (c *container) run(stdin string, args ...string) (string, error) {
	c.t.Helper()
	cmd := c.command(args...)
	cmd.Stdin = strings.NewReader(stdin)
	return output(cmd)
}

// serve starts the gateway as the image does; it ends with the test.
func (c *container) serve() *process {
	c.t.Helper()
	p := start(c.t, c.command("serve", "--config", "/etc/evergate/evergate.yaml"))
	p.within(c.t, "the container is healthy", func() error {
		_, err := c.run("", "healthcheck", "--config", "/etc/evergate/evergate.yaml")
		return err
	})
	return p
}

// process is a program that a test started, and ends by its id.
type process struct {
	cmd   *exec.Cmd
	said  said
	ended chan struct{} // closed once err is set
	err   error
}

// said collects what a program writes while it runs.
type said struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.said, &p.said
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	go func() { p.err = cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended:
			if p.err != nil {
				t.Errorf("%s: ended by %v, want exit code 0 after SIGTERM", cmd.Path, p.err)
			}
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-p.ended
			t.Errorf("%s: still ran 20 s after SIGTERM", cmd.Path)
		}
		if t.Failed() {
			t.Logf("%s said\n%s", strings.Join(cmd.Args, " "), p.said.String())
		}
	})
	return p
}

// within waits until try succeeds; the program must not end meanwhile.
func (p *process) within(t *testing.T, what string, try func() error) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-p.ended:
			t.Fatalf("%s ended before %s: %v\n%s", p.cmd.Path, what, p.err, p.said.String())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("%s, within a minute: %v", what, err)
		}
	}
}

// loopback returns an address of this machine that no other test uses, so that everything
// can have the port that it has in its config.
func loopback() string {
	return fmt.Sprintf("127.%d.%d.%d", 16+rand.IntN(200), rand.IntN(256), 1+rand.IntN(254))
}
