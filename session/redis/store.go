package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/evergate/evergate/session"
)

// Get implements session.Store. The copy at hand is used unless something newer
// is known of.
func (s *Store) Get(ctx context.Context, key session.Key, atLeast uint64) (session.Record, error) {
	if s.isDown() {
		return session.Record{}, s.outage("read a session", errDown)
	}
	if err := ctx.Err(); err != nil {
		return session.Record{}, err
	}
	// What the client would answer from its own memory is answered here, without a command
	// being made for it. Who reads it hands on what has its place: if the server says meanwhile
	// that the record has changed, that is another.
	here := time.Now()
	at, known := s.clock.at(here)
	copied, found, was := s.copies.Find(key, here)
	if known && found && copied.Version >= atLeast {
		if !at.Before(copied.Expires) {
			return session.Record{}, session.ErrNotFound
		}
		copied.Now = at
		return copied, nil
	}
	c, ctx, cancel, err := s.begin(ctx)
	if err != nil {
		return session.Record{}, err
	}
	defer cancel()
	now, err := s.now(ctx, c)
	if err != nil {
		return session.Record{}, err
	}
	name := s.keys.record(key)
	if atLeast == session.Newest { // what another connection is being told may be older
		return s.read(ctx, c.Do(ctx, c.B().Get().Key(name).Build()), now)
	}
	answer := c.DoCache(ctx, c.B().Get().Key(name).Cache(), cacheTime)
	rec, err := s.read(ctx, answer, now)
	if rec.Version < atLeast && answer.IsCacheHit() && answer.NonRedisError() == nil {
		return s.read(ctx, c.Do(ctx, c.B().Get().Key(name).Build()), now)
	}
	if until := answer.CachePXAT(); err == nil && until > 0 {
		s.copies.Took(key, rec, time.UnixMilli(until), was)
	}
	return rec, err
}

func (s *Store) read(ctx context.Context, answer rueidis.RedisResult, now time.Time) (session.Record, error) {
	b, err := answer.AsBytes()
	if rueidis.IsRedisNil(err) {
		if !answer.IsCacheHit() {
			_ = s.did(ctx, "", nil)
		}
		return session.Record{}, session.ErrNotFound
	}
	if err != nil {
		return session.Record{}, s.did(ctx, "read a session", err)
	}
	if !answer.IsCacheHit() {
		_ = s.did(ctx, "", nil)
	}
	return decode(b, now)
}

// putText stores a record where the version is the one that the writer knew.
const putText = `
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3])
return 1`

var putScript = rueidis.NewLuaScript(putText)

// Put implements session.Store. The tags are written first: a record can be found
// from the moment it is there.
func (s *Store) Put(ctx context.Context, key session.Key, prev uint64, rec session.Record) error {
	if rec.Version <= prev || rec.Version >= deleted {
		return session.ErrConflict
	}
	c, ctx, cancel, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	if err := s.index(ctx, c, key, rec); err != nil {
		return err
	}
	ok, err := putScript.Exec(ctx, c, []string{s.keys.record(key)},
		[]string{versionBytes(prev), encode(rec), strconv.FormatInt(max(rec.Expires.UnixMilli(), 1), 10)}).AsInt64()
	if err := s.did(ctx, "write a session", err); err != nil {
		return err
	}
	if ok == 0 {
		return session.ErrConflict
	}
	if s.watches.Has(key) {
		s.wrote.set(key, rec.Version)
	}
	return nil
}

// deleteText leaves a mark in place of a record, and returns what it was.
const deleteText = `
local old = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
return old`

var deleteScript = rueidis.NewLuaScript(deleteText)

// Delete implements session.Store.
func (s *Store) Delete(ctx context.Context, key session.Key) error {
	c, ctx, cancel, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	old, err := deleteScript.Exec(ctx, c, []string{s.keys.record(key), s.keys.lease(key)},
		[]string{versionBytes(deleted), strconv.FormatInt(deletedTime.Milliseconds(), 10)}).AsBytes()
	if err := s.did(ctx, "delete a session", err); err != nil {
		return err
	}
	if rec, err := decode(old, time.Time{}); err == nil {
		s.unindex(ctx, c, key, rec)
	}
	return nil
}

// leaseText gives out the lease and the record under it. The number is the
// server's time in microseconds, so that a later holder's is higher.
const leaseText = `
local rec = redis.call('GET', KEYS[1])
if not rec or #rec <= 8 then return {0, rec or ''} end
local held = redis.call('GET', KEYS[2])
local number
if not held then
	local t = redis.call('TIME')
	number = t[1] .. string.format('%06d', t[2])
elseif string.sub(held, 1, 16) == ARGV[1] then
	number = string.sub(held, 17)
else
	return {1, redis.call('PTTL', KEYS[2])}
end
redis.call('SET', KEYS[2], ARGV[1] .. number, 'PX', ARGV[2])
return {2, number, rec}`

var leaseScript = rueidis.NewLuaScript(leaseText)

// Lease implements session.Store.
func (s *Store) Lease(ctx context.Context, key session.Key, holder session.Holder, ttl time.Duration) (session.Leased, error) {
	c, ctx, cancel, err := s.begin(ctx)
	if err != nil {
		return session.Leased{}, err
	}
	defer cancel()
	now, err := s.now(ctx, c)
	if err != nil {
		return session.Leased{}, err
	}
	answer, err := leaseScript.Exec(ctx, c, []string{s.keys.record(key), s.keys.lease(key)},
		[]string{string(holder[:]), strconv.FormatInt(ttl.Milliseconds(), 10)}).ToArray()
	if err := s.did(ctx, "lease a session", err); err != nil {
		return session.Leased{}, err
	}
	kind, _ := answer[0].AsInt64()
	switch kind {
	case 0:
		b, _ := answer[1].AsBytes()
		_, err := decode(b, now)
		return session.Leased{}, err
	case 1:
		left, _ := answer[1].AsInt64()
		return session.Leased{}, &session.HeldError{Left: time.Duration(max(left, 1)) * time.Millisecond}
	}
	number, err := answer[1].ToString()
	if err != nil {
		return session.Leased{}, s.outage("lease a session", err)
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return session.Leased{}, s.outage("lease a session", fmt.Errorf("its number is none: %w", err))
	}
	b, err := answer[2].AsBytes()
	if err != nil {
		return session.Leased{}, s.outage("lease a session", err)
	}
	rec, err := decode(b, now)
	return session.Leased{Number: n, Record: rec}, err
}

const releaseText = `
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, 16) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1`

var releaseScript = rueidis.NewLuaScript(releaseText)

// Release implements session.Store. Who watches is told by the server.
func (s *Store) Release(ctx context.Context, key session.Key, holder session.Holder) error {
	c, ctx, cancel, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	return s.did(ctx, "release a session",
		releaseScript.Exec(ctx, c, []string{s.keys.lease(key)}, []string{string(holder[:])}).Error())
}
