package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
)

// measureSweep lets n sessions expire at once and writes others meanwhile, one
// after the other: as long as none is swept, and while they are.
func measureSweep(ctx context.Context, path string, n int) (string, error) {
	s, err := bolt.Open(path, nil)
	if err != nil {
		return "", err
	}
	defer s.Close()
	now, err := s.Now(ctx)
	if err != nil {
		return "", err
	}
	expires := now.Add(time.Hour)
	if err := putMany(ctx, s, n, now); err != nil {
		return "", err
	}
	var quiet, sweeping latencies
	var took time.Duration
	base := s.Swept() // the store sweeps each minute; it may have begun
	var began time.Time
	for {
		at := time.Now()
		if err := put(ctx, s, expires); err != nil {
			return "", err
		}
		swept := s.Swept()
		if swept == base {
			quiet = append(quiet, time.Since(at))
			continue
		}
		if began.IsZero() {
			began = at
		}
		sweeping = append(sweeping, time.Since(at))
		if took = time.Since(began); swept >= uint64(n) {
			break
		}
	}
	slices.Sort(quiet)
	slices.Sort(sweeping)
	var b strings.Builder
	fmt.Fprintf(&b, "| one write at a time | writes | p50 | p95 | p99 | longest |\n|---|--:|--:|--:|--:|--:|\n")
	for _, row := range []struct {
		name string
		l    latencies
	}{
		{"while nothing is swept", quiet},
		{fmt.Sprintf("while %s expired sessions are swept (%s)", count(n), took.Round(100*time.Millisecond)), sweeping},
	} {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", row.name, count(len(row.l)),
			milli(row.l.at(.5)), milli(row.l.at(.95)), milli(row.l.at(.99)), milli(row.l.at(1)))
	}
	return b.String(), nil
}

func put(ctx context.Context, s *bolt.Store, expires time.Time) error {
	rec := session.Record{Version: 1, Expires: expires, Tags: make([]session.Tag, 1), Data: make([]byte, 1100)}
	var key session.Key
	_, _ = rand.Read(key[:])
	_, _ = rand.Read(rec.Tags[0][:])
	return s.Put(ctx, key, 0, rec)
}

func putMany(ctx context.Context, s *bolt.Store, n int, expires time.Time) error {
	var wg sync.WaitGroup
	var next atomic.Int64
	failed := make(chan error, writers)
	for range writers {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				if err := put(ctx, s, expires); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}
