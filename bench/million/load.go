package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/bench/internal/report"
)

// each sends one request with each cookie.
func (g *gateway) each(ctx context.Context, cookies []*http.Cookie, conns int) (report.Latencies, error) {
	var next atomic.Int64
	return g.requests(ctx, conns, func() *http.Cookie {
		if i := int(next.Add(1)) - 1; i < len(cookies) {
			return cookies[i]
		}
		return nil
	})
}

// random sends requests with cookies at random for a while.
func (g *gateway) random(ctx context.Context, cookies []*http.Cookie, conns int, d time.Duration) (report.Latencies, error) {
	end := time.Now().Add(d)
	return g.requests(ctx, conns, func() *http.Cookie {
		if time.Now().After(end) {
			return nil
		}
		return cookies[rand.IntN(len(cookies))]
	})
}

// requests sends one request after the other over each of conns connections,
// until pick gives no cookie.
func (g *gateway) requests(ctx context.Context, conns int, pick func() *http.Cookie) (report.Latencies, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex // guards all, failed
	var all report.Latencies
	var failed error
	for range conns {
		wg.Go(func() {
			transport := &http.Transport{MaxIdleConnsPerHost: 1}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: time.Minute}
			var own report.Latencies
			var err error
			for c := pick(); c != nil && err == nil; c = pick() {
				began := time.Now()
				err = g.get(ctx, client, c)
				own = append(own, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			all, failed = append(all, own...), errors.Join(failed, err)
		})
	}
	wg.Wait()
	if failed != nil {
		return nil, fmt.Errorf("%w\n%s", failed, g.said())
	}
	slices.Sort(all)
	return all, nil
}

// memory is what a process has in RAM, in bytes.
type memory struct {
	rss int64
	own int64 // anonymous: the rest is pages of files, which the kernel takes back when it needs them
}

// memoryOf reads the memory of a process where Linux shows it, else nothing.
func memoryOf(pid int) (m memory) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return m
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		name, rest, _ := strings.Cut(s.Text(), ":")
		var kib int64
		if _, err := fmt.Sscan(rest, &kib); err != nil {
			continue
		}
		switch name {
		case "Rss":
			m.rss = kib << 10
		case "Anonymous":
			m.own = kib << 10
		}
	}
	return m
}
