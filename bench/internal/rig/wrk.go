package rig

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// WrkOptions are what wrk is started with.
type WrkOptions struct {
	URL string
	// Header is lines "Name: value".
	Header []string
	// Threads and Connections; zero is 1 and 16.
	Threads, Connections int
	// For is how long. Whole seconds.
	For time.Duration
	// Bytes is what each answer has at least, its header included: wrk takes a redirect
	// to a sign-in page for as good an answer as any, but that is shorter. Zero is 1 KiB.
	Bytes float64
}

// Load is what wrk tells.
type Load struct {
	Requests           int
	Took               time.Duration
	Bytes              float64 // that were read, headers included
	P50, P75, P90, P99 time.Duration
	// Refused are answers of 400 and above, and Broken what went wrong with connections.
	Refused, Broken int
}

// PerSecond is the rate.
func (l Load) PerSecond() float64 { return float64(l.Requests) / l.Took.Seconds() }

// HasWrk says whether wrk is installed.
func HasWrk() error {
	if _, err := exec.LookPath("wrk"); err != nil {
		return fmt.Errorf("wrk is not installed: %w; make bench installs it where it may", err)
	}
	return nil
}

// Wrk sends requests as fast as they are answered, over connections that are kept. Where
// one of them was not answered well it is an error.
func Wrk(ctx context.Context, o WrkOptions) (Load, error) {
	if err := HasWrk(); err != nil {
		return Load{}, err
	}
	if o.For < time.Second || o.For%time.Second != 0 {
		return Load{}, fmt.Errorf("wrk counts in whole seconds, and cannot run for %s", o.For)
	}
	threads, conns, bytes := max(o.Threads, 1), o.Connections, o.Bytes
	if conns == 0 {
		conns = 16
	}
	if bytes == 0 {
		bytes = 1 << 10
	}
	args := []string{"--latency", "-t", strconv.Itoa(threads), "-c", strconv.Itoa(conns), "-d", strconv.Itoa(int(o.For.Seconds())), "--timeout", "10s"}
	for _, h := range o.Header {
		args = append(args, "-H", h)
	}
	ctx, cancel := context.WithTimeout(ctx, o.For+30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "wrk", append(args, o.URL)...).CombinedOutput()
	if err != nil {
		return Load{}, errors.Join(ctx.Err(), fmt.Errorf("wrk %s: %w: %s", o.URL, err, out))
	}
	l, err := readWrk(string(out))
	switch {
	case err != nil:
		return l, fmt.Errorf("wrk %s: %w:\n%s", o.URL, err, out)
	case l.Refused+l.Broken > 0 || l.Requests == 0:
		return l, fmt.Errorf("wrk %s: not every request was answered well:\n%s", o.URL, out)
	case l.Bytes/float64(l.Requests) < bytes*.98: // wrk rounds
		return l, fmt.Errorf("wrk %s: got %.0f bytes for each request, want %.0f: is nobody signed in?\n%s", o.URL, l.Bytes/float64(l.Requests), bytes, out)
	}
	return l, nil
}

// readWrk reads what wrk prints.
func readWrk(text string) (l Load, err error) {
	quantiles := map[string]*time.Duration{"50%": &l.P50, "75%": &l.P75, "90%": &l.P90, "99%": &l.P99}
	found := 0
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		f := strings.Fields(s.Text())
		switch {
		case len(f) == 2 && quantiles[f[0]] != nil:
			if *quantiles[f[0]], err = time.ParseDuration(f[1]); err != nil {
				return l, err
			}
			found++
		case len(f) == 6 && f[1] == "requests" && f[2] == "in": // 12345 requests in 2.00s, 14.62MB read
			if l.Requests, err = strconv.Atoi(f[0]); err != nil {
				return l, err
			}
			if l.Took, err = time.ParseDuration(strings.TrimSuffix(f[3], ",")); err != nil {
				return l, err
			}
			if l.Bytes, err = readSize(f[4]); err != nil {
				return l, err
			}
			found++
		case len(f) > 2 && f[0] == "Socket" && f[1] == "errors:": // connect 0, read 0, write 0, timeout 0
			for i := 3; i < len(f); i += 2 {
				n, err := strconv.Atoi(strings.TrimSuffix(f[i], ","))
				if err != nil {
					return l, err
				}
				l.Broken += n
			}
		case len(f) == 5 && f[0] == "Non-2xx":
			if l.Refused, err = strconv.Atoi(f[4]); err != nil {
				return l, err
			}
		}
	}
	if found != 5 {
		return l, errors.New("it did not say how many requests there were, or how long they took")
	}
	return l, nil
}

// readSize reads 14.62MB as wrk means it: by 1024.
func readSize(s string) (float64, error) {
	number := strings.TrimRight(s, "KMGTB")
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, err
	}
	for range strings.Index(" KMGT", orText(strings.TrimSuffix(s[len(number):], "B"), " ")) {
		n *= 1024
	}
	return n, nil
}
