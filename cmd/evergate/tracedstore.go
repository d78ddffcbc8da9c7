package main

import (
	"context"
	"errors"
	"time"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/span"
	"github.com/evergate/evergate/session"
)

// tracedStore has a span for what requests and renewals ask of the store. Outside of
// those, and where nobody traces, it only hands on.
type tracedStore struct {
	session.Store
	system string
}

// traceStore is store with spans; nil stays nil.
func traceStore(store session.Store, cfg *config.Config, inMemory bool) session.Store {
	if store == nil {
		return nil
	}
	system := "bbolt"
	switch {
	case inMemory:
		system = "memory"
	case cfg.Session.Store == "redis":
		system = "redis"
	}
	return &tracedStore{store, system}
}

func (s *tracedStore) start(ctx context.Context, operation string) (context.Context, span.Span) {
	ctx, asks := span.Start(ctx, span.Client, operation)
	if !asks.IsZero() {
		asks.Rename("store " + operation)
		asks.Text(span.DBSystem, s.system)
		asks.Text(span.DBOperation, operation)
	}
	return ctx, asks
}

// end says how it went: that there is nothing, or that somebody was faster, is an answer.
func (s *tracedStore) end(asks span.Span, err error) {
	if asks.IsZero() {
		return
	}
	_, held := errors.AsType[*session.HeldError](err)
	switch {
	case err == nil:
		asks.Text(span.Found, "ok")
	case errors.Is(err, session.ErrNotFound):
		asks.Text(span.Found, "nothing")
	case errors.Is(err, session.ErrConflict):
		asks.Text(span.Found, "conflict")
	case held:
		asks.Text(span.Found, "held")
	default:
		asks.Fail(span.Cause(err))
	}
	asks.End()
}

func (s *tracedStore) Get(ctx context.Context, key session.Key, atLeast uint64) (session.Record, error) {
	ctx, asks := s.start(ctx, "get")
	rec, err := s.Store.Get(ctx, key, atLeast)
	s.end(asks, err)
	return rec, err
}

func (s *tracedStore) Put(ctx context.Context, key session.Key, prev uint64, rec session.Record) error {
	ctx, asks := s.start(ctx, "put")
	err := s.Store.Put(ctx, key, prev, rec)
	s.end(asks, err)
	return err
}

func (s *tracedStore) Delete(ctx context.Context, key session.Key) error {
	ctx, asks := s.start(ctx, "delete")
	err := s.Store.Delete(ctx, key)
	s.end(asks, err)
	return err
}

func (s *tracedStore) Find(ctx context.Context, tag session.Tag) ([]session.Key, error) {
	ctx, asks := s.start(ctx, "find")
	keys, err := s.Store.Find(ctx, tag)
	s.end(asks, err)
	return keys, err
}

func (s *tracedStore) Lease(ctx context.Context, key session.Key, holder session.Holder, ttl time.Duration) (session.Leased, error) {
	ctx, asks := s.start(ctx, "lease")
	leased, err := s.Store.Lease(ctx, key, holder, ttl)
	s.end(asks, err)
	return leased, err
}

func (s *tracedStore) Release(ctx context.Context, key session.Key, holder session.Holder) error {
	ctx, asks := s.start(ctx, "release")
	err := s.Store.Release(ctx, key, holder)
	s.end(asks, err)
	return err
}
