//go:build unix

package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/evergate/evergate/cmd/evergate/internal/door"
)

const errPipe = syscall.EPIPE

// self is the program as it was called, before anything is put in its place: a link
// that leads to another version by then is followed anew.
var self = func() string {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		path, _ = os.Executable()
	}
	return path
}()

// firstFD is the number of the first file that a process is started with, after its
// standard ones.
const firstFD = 3

// startSuccessor starts the program as this one was started, with the sockets.
func (l *listeners) startSuccessor() (*successor, error) {
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	var names []string
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			_ = f.Close()
		}
	}()
	for _, s := range l.all() {
		f, err := copyOf(s.Listener)
		if err != nil {
			return nil, fmt.Errorf("hand the socket over: %w", err)
		}
		theirs = append(theirs, f)
		name := s.name
		if l.given[s.name] {
			name += "=given"
		}
		names = append(names, name)
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	theirs = append(theirs, theirIn)
	out, theirOut, err := os.Pipe()
	if err != nil {
		_ = in.Close()
		return nil, err
	}
	theirs = append(theirs, theirOut)
	cmd.ExtraFiles = theirs
	cmd.Env = append(os.Environ(), handoverEnv+"="+strings.Join(names, ","))
	if err := cmd.Start(); err != nil {
		_, _ = in.Close(), out.Close()
		return nil, fmt.Errorf("start %s: %w", self, err)
	}
	words := make(chan string)
	go func() { // ends with the process, or with this one
		defer close(words)
		defer out.Close()
		for s := bufio.NewScanner(out); s.Scan(); {
			words <- s.Text()
		}
		_ = cmd.Wait()
	}()
	return &successor{pid: cmd.Process.Pid, in: in, words: words, kill: func() { _ = cmd.Process.Kill() }}, nil
}

// copyOf copies the descriptor of a listener, and leaves the socket non-blocking. The File of
// net.Listener does not: as soon as somebody asks it for its descriptor, as os/exec and
// net.FileListener do, it makes the socket blocking for all who have a copy. Whoever accepts then
// does so in the kernel, and cannot be told to stop before somebody connects.
func copyOf(l net.Listener) (*os.File, error) {
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var dup error
	if err := raw.Control(func(from uintptr) {
		syscall.ForkLock.RLock() // no process that starts meanwhile may get it
		defer syscall.ForkLock.RUnlock()
		if fd, dup = syscall.Dup(int(from)); dup == nil {
			syscall.CloseOnExec(fd)
		}
	}); err != nil {
		return nil, err
	}
	if dup != nil {
		return nil, os.NewSyscallError("dup", dup)
	}
	return os.NewFile(uintptr(fd), l.Addr().String()), nil
}

// inherit takes what the process before this one handed over; nil where there is none.
func inherit() (*predecessor, error) {
	text, ok := os.LookupEnv(handoverEnv)
	if !ok {
		return nil, nil
	}
	_ = os.Unsetenv(handoverEnv)
	p := &predecessor{sockets: door.Sockets{}, own: map[string]bool{}}
	fd := uintptr(firstFD)
	for name := range strings.SplitSeq(text, ",") {
		name, given := strings.CutSuffix(name, "=given")
		f := os.NewFile(fd, name)
		fd++
		l, err := net.FileListener(f) // a copy of the descriptor
		_ = f.Close()
		if err != nil {
			p.sockets.Close()
			return nil, fmt.Errorf("the socket %q of the process before: %w", name, err)
		}
		p.sockets[name], p.own[name] = l, !given
	}
	for _, to := range []**os.File{&p.in, &p.out} {
		syscall.CloseOnExec(int(fd))
		_ = syscall.SetNonblock(int(fd), true) // so that it has deadlines
		*to = os.NewFile(fd, "handover")
		fd++
	}
	return p, nil
}

// notifyUpgrade has SIGUSR2 come to c.
func notifyUpgrade(c chan<- os.Signal) { signal.Notify(c, syscall.SIGUSR2) }

// again copies the listeners, for servers that close theirs.
func (l *listeners) again() (*listeners, error) {
	out := &listeners{}
	for _, s := range l.all() {
		f, err := copyOf(s.Listener)
		if err != nil {
			out.Close()
			return nil, fmt.Errorf("copy the socket %s: %w", s.name, err)
		}
		one, err := net.FileListener(f)
		_ = f.Close()
		if err != nil {
			out.Close()
			return nil, fmt.Errorf("copy the socket %s: %w", s.name, err)
		}
		*out.of(s.name) = one
	}
	return out, nil
}
