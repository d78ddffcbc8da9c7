package rig

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Server is a process that listens.
type Server struct {
	*Process
	Address string // host:port
	URL     string
}

func (r *Rig) serve(ctx context.Context, name string, env []string, program string, args func(address string) []string) (*Server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	dir, err := r.folder(name)
	if err != nil {
		return nil, err
	}
	p, err := r.start(ctx, name, dir, env, program, args(address)...)
	if err != nil {
		return nil, err
	}
	return &Server{p, address, "http://" + address}, p.listens(ctx, address)
}

// Upstream starts the app; bench/internal/upstream tells what it answers.
func (r *Rig) Upstream(ctx context.Context) (*Server, error) {
	return r.serve(ctx, "upstream", nil, filepath.Join(r.Dir, "upstream"), func(a string) []string { return []string{a} })
}

// Bare starts httputil.ReverseProxy before a target.
func (r *Rig) Bare(ctx context.Context, target string) (*Server, error) {
	return r.serve(ctx, "bare", nil, filepath.Join(r.Dir, "bare"), func(a string) []string { return []string{a, target} })
}

// Redis is a redis-server that keeps nothing on disk.
type Redis struct{ *Server }

// Redis starts one.
func (r *Rig) Redis(ctx context.Context) (*Redis, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("redis-server is not installed: %w; make bench installs it where it may", err)
	}
	s, err := r.serve(ctx, "redis", nil, path, func(a string) []string {
		host, port, _ := net.SplitHostPort(a)
		return []string{"--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--daemonize", "no"}
	})
	if err != nil {
		return nil, err
	}
	return &Redis{s}, nil
}

// Commands is how often it was sent each command so far, those within scripts included.
func (r *Redis) Commands(ctx context.Context) (map[string]int64, error) {
	text, err := r.info(ctx, "commandstats")
	if err != nil {
		return nil, fmt.Errorf("redis: INFO commandstats: %w", err)
	}
	return readCommandStats(text), nil
}

// info asks by RESP's inline form: one line, answered by one string with its length.
func (r *Redis) info(ctx context.Context, section string) (string, error) {
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", r.Address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c, "INFO %s\r\n", section); err != nil {
		return "", err
	}
	answer := bufio.NewReader(c)
	line, err := answer.ReadString('\n')
	if err != nil {
		return "", err
	}
	size, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "$")))
	if err != nil || size < 0 || size > 1<<20 {
		return "", fmt.Errorf("got %q, want a length", line)
	}
	text := make([]byte, size)
	_, err = io.ReadFull(answer, text)
	return string(text), err
}

// readCommandStats reads lines of the form cmdstat_get:calls=21,usec=175,...
func readCommandStats(text string) map[string]int64 {
	all := map[string]int64{}
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ":calls=")
		calls, _, _ := strings.Cut(rest, ",")
		n, err := strconv.ParseInt(calls, 10, 64)
		if name, isCommand := strings.CutPrefix(name, "cmdstat_"); ok && isCommand && err == nil {
			all[name] = n
		}
	}
	return all
}
