package redis_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/redis"
	"github.com/evergate/evergate/session/redis/redistest"
)

// TestOneWhoHangsUpFailsNobodyElse: reads of one session share an answer.
func TestOneWhoHangsUpFailsNobodyElse(t *testing.T) {
	server := redistest.Start(t)
	a, b := open(t, redis.Options{Addresses: []string{server.Address()}}), open(t, redis.Options{Addresses: []string{server.Address()}})
	k, other := session.Key{1}, session.Key{2}
	for _, key := range []session.Key{k, other} {
		if err := a.Put(t.Context(), key, 0, record(t, a, 1)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 200 { // all connections are there
		_, _ = b.Get(t.Context(), session.Key{9, byte(i)}, 0)
	}
	server.CLI("client", "pause", "300", "ALL")
	gone, hangUp := context.WithCancel(context.Background())
	var first sync.WaitGroup
	defer first.Wait()
	first.Go(func() { _, _ = b.Get(gone, k, 0) })
	time.Sleep(50 * time.Millisecond)
	answer := make(chan error)
	go func() {
		_, err := b.Get(context.Background(), k, 0)
		answer <- err
	}()
	time.Sleep(50 * time.Millisecond)
	hangUp()
	if err := <-answer; err != nil {
		t.Errorf("somebody else who reads it: %v", err)
	}
	if _, err := b.Get(context.Background(), other, 0); err != nil {
		t.Errorf("another session: %v", err)
	}
}

// hasty hangs up soon after somebody asked whether they have.
type hasty struct {
	context.Context
	hangUp context.CancelFunc
	once   sync.Once
}

func (h *hasty) Err() error {
	h.once.Do(func() { time.AfterFunc(50*time.Millisecond, h.hangUp) })
	return h.Context.Err()
}

// TestPutOfSomebodyWhoHangsUpIsBroughtToAnEnd: half of it may be done.
func TestPutOfSomebodyWhoHangsUpIsBroughtToAnEnd(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, redis.Options{Addresses: []string{server.Address()}})
	for i := range 200 {
		_ = s.Put(t.Context(), session.Key{9, byte(i)}, 0, record(t, s, 1))
	}
	server.CLI("client", "pause", "300", "ALL")
	ctx, hangUp := context.WithCancel(context.Background())
	defer hangUp()
	err := s.Put(&hasty{Context: ctx, hangUp: hangUp}, session.Key{1}, 0, record(t, s, 1))
	if _, missing := s.Get(t.Context(), session.Key{1}, 0); err != nil || missing != nil {
		t.Errorf("put: got %v, and then %v; want it written, and said so", err, missing)
	}
}
