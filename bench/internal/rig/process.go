package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Process is a program that runs.
type Process struct {
	Name string

	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error // of Wait, once done is closed
}

// startWithin is how long a program may take until it listens. With a store of a million
// sessions after a crash it is long.
const startWithin = 5 * time.Minute

// start starts a program whose output goes to a file. It ends with ctx.
func (r *Rig) start(ctx context.Context, name, dir string, env []string, program string, args ...string) (*Process, error) {
	p := &Process{Name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	p.cmd = exec.CommandContext(ctx, program, args...)
	p.cmd.Dir, p.cmd.Env = dir, append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	endWithParent(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	r.mu.Lock()
	r.running = append(r.running, p)
	r.mu.Unlock()
	return p, nil
}

// listens waits until something takes connections at address.
func (p *Process) listens(ctx context.Context, address string) error {
	for end := time.Now().Add(startWithin); time.Now().Before(end); {
		if c, err := net.Dial("tcp", address); err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("%s ended while it started: %w\n%s", p.Name, p.err, p.Said())
		case <-time.After(2 * time.Millisecond):
		}
	}
	p.Kill()
	return fmt.Errorf("%s does not listen on %s:\n%s", p.Name, address, p.Said())
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// CPU is how much of the processors the process has had so far, in user and system mode.
func (p *Process) CPU() (time.Duration, error) {
	d, err := cpuOf(p.Pid())
	if err != nil {
		return 0, fmt.Errorf("the CPU time of %s: %w", p.Name, err)
	}
	return d, nil
}

// Memory is what it has in RAM now.
func (p *Process) Memory() (Memory, error) {
	m, err := memoryOf(p.Pid())
	if err != nil {
		return m, fmt.Errorf("the memory of %s: %w", p.Name, err)
	}
	return m, nil
}

// Stop asks the process to end, and waits for it.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.Name, err)
	}
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.Kill()
		return fmt.Errorf("%s was asked to end a minute ago, and runs:\n%s", p.Name, p.Said())
	}
	if p.err != nil {
		return fmt.Errorf("%s ended: %w\n%s", p.Name, p.err, p.Said())
	}
	return nil
}

// Kill ends it as a crash does.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Said is the end of what it has printed.
func (p *Process) Said() string {
	const most = 4 << 10
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}
