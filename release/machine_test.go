package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// box is a piece of this machine with processes, mounts and a network of its own. What
// goes on in there is gone with it. Its ports are nobody else's, so things can run with
// the addresses that they are shipped with.
type box struct {
	t   *testing.T
	pid string // of its first process, as seen from outside
}

// newBox runs a script as the first process of a box, once its loopback interface is up.
// Its $1, $2, … are args.
func newBox(t *testing.T, script string, args ...string) *box {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "only root can try packages out in a copy of this machine, so "+t.Name()+" shows nothing")
	}
	need(t, "unshare", "util-linux")
	cmd := exec.Command("unshare", append([]string{"--mount", "--net", "--pid", "--fork", "--uts", "--ipc", "--cgroup", "--kill-child=KILL",
		"sh", "-euc", "echo up; read _; " + script, "sh"}, args...)...)
	var log bytes.Buffer
	cmd.Stderr = &log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()          // and with it the first process in there, and so all of them
		_, _ = io.Copy(io.Discard, out) // it says no more; log has another writer until Wait
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the box of its own said:\n%s", log.String())
		}
	})
	first := make([]byte, 3)
	if _, err := io.ReadFull(out, first); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		missing(t, fmt.Sprintf("this machine cannot be divided (%v: %s), so %s shows nothing", err, bytes.TrimSpace(log.Bytes()), t.Name()))
	}
	id := strconv.Itoa(cmd.Process.Pid)
	b := &box{t, strings.TrimSpace(read(t, "/proc/"+id+"/task/"+id+"/children"))}
	if err := b.on(raiseLoopback); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "go\n"); err != nil {
		t.Fatal(err)
	}
	return b
}

// machine is a copy of this machine that has started: Debian with systemd, and what is
// written there is written nowhere else.
type machine struct {
	*box
	upper string // what was written there, as seen from the box less its root
}

// boot starts systemd over a copy of the root file system. Only what a test asks for runs
// there: no unit of this machine is enabled, and what starts early on real machines, which
// sets clocks and kernels, is left out.
const boot = `
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --bind /dev dev
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
rm -rf etc/fstab etc/rc?.d etc/systemd/system/*.wants usr/lib/systemd/system/*.wants usr/lib/systemd/system-generators
printf "[Unit]\nWants=systemd-journald.service\n" >etc/systemd/system/test.target
mkdir -p etc/systemd/journald.conf.d
printf "[Journal]\nStorage=volatile\nAudit=no\nReadKMsg=no\n" >etc/systemd/journald.conf.d/test.conf
export container=test
exec chroot . /lib/systemd/systemd --system --unit=test.target --log-target=journal --show-status=0 >&2
`

func newMachine(t *testing.T) *machine {
	t.Helper()
	need(t, "systemctl", "systemd")
	if _, err := os.Lstat("/etc/evergate"); err == nil {
		missing(t, "Evergate is installed on this machine, so "+t.Name()+" shows nothing")
	}
	dir := t.TempDir()
	leaf := ownCgroup(t)
	m := &machine{newBox(t, `echo $$ >"$2/cgroup.procs"; exec unshare --cgroup sh -euc '`+boot+`' sh "$1"`, dir, leaf), filepath.Join(dir, "upper")}
	deadline := time.Now().Add(time.Minute)
	for {
		out, err := m.try("systemctl is-system-running")
		if err == nil {
			return m
		}
		if time.Now().After(deadline) {
			t.Fatalf("the machine does not start: %v\n%s", err, out)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// ownCgroup makes a group for the machine, below which it makes its own.
func ownCgroup(t *testing.T) string {
	t.Helper()
	mounts := read(t, "/proc/self/mounts")
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if f[2] != "cgroup2" {
			continue
		}
		dir, err := os.MkdirTemp(f[1], "evergate-test-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			// The deepest first; the kernel frees what ended processes leave in a moment.
			var all []string
			_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					all = append(all, path)
				}
				return nil
			})
			for i := len(all) - 1; i >= 0; i-- {
				err := os.Remove(all[i])
				for n := 0; err != nil && n < 100; n++ {
					time.Sleep(20 * time.Millisecond)
					err = os.Remove(all[i])
				}
				if err != nil {
					t.Errorf("clean up: %v", err)
				}
			}
		})
		return dir
	}
	missing(t, "there are no cgroups of version 2 here, so "+t.Name()+" shows nothing")
	return ""
}

// inside is a command in the box.
func (b *box) inside(stdin string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(b.t.Context(), "nsenter", append([]string{"--target", b.pid, "--all", "--root", "--wd"}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	cmd.Stdin = strings.NewReader(stdin)
	return cmd
}

// try runs a script in the box, and returns what it said.
func (b *box) try(script string) (string, error) {
	out, err := b.inside("", "sh", "-euc", script).CombinedOutput()
	return string(out), err
}

// run runs a script in the box, which has to work.
func (b *box) run(script string) string {
	b.t.Helper()
	out, err := b.try(script)
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// file is the path of one in the box, as seen from outside.
func (b *box) file(path string) string { return "/proc/" + b.pid + "/root" + path }

// put copies a file into the box, to a path in there.
func (b *box) put(from, to string) {
	b.t.Helper()
	if err := os.WriteFile(b.file(to), []byte(read(b.t, from)), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// exists reports whether there is something at a path in the box.
func (b *box) exists(path string) bool {
	_, err := os.Lstat(b.file(path))
	return !errors.Is(err, os.ErrNotExist)
}

// on runs f on a thread that is in the network of the box.
func (b *box) on(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with f
		done <- inNetworkOf(b.pid, f)
	}()
	return <-done
}
