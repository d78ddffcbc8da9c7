package redis

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/evergate/evergate/session"
)

// A tag is a sorted set of session keys by expiry. It lies in another slot than
// the records, so it may name sessions that are gone: Find asks the records.

// tagText adds a key to a tag, drops what has expired, and has the tag itself
// expire with the last of them.
const tagText = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now))
redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) - now then redis.call('PEXPIREAT', KEYS[1], ARGV[2]) end
return 1`

var tagScript = rueidis.NewLuaScript(tagText)

// scripts are all of them.
var scripts = []string{putText, deleteText, leaseText, releaseText, tagText}

const (
	// tagSlack is how much longer than its record a key stays under its tags, so
	// that not every write has to move it.
	tagSlack = time.Hour
	// maxIndexed bounds what is remembered of tags that need no writing.
	maxIndexed = 100_000
)

// indexed remembers until when a session stands under its tags.
type indexed struct {
	mu    sync.Mutex // guards until
	until map[session.Key]indexEntry
}

type indexEntry struct {
	until time.Time
	tags  []session.Tag
	// epoch is that of the writing: the server may have lost it since.
	epoch uint64
}

func (x *indexed) has(key session.Key, rec session.Record, epoch uint64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, ok := x.until[key]
	return ok && e.epoch == epoch && !e.until.Before(rec.Expires) && slices.Equal(e.tags, rec.Tags)
}

func (x *indexed) add(key session.Key, rec session.Record, until time.Time, epoch uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.until == nil || len(x.until) >= maxIndexed {
		x.until = map[session.Key]indexEntry{}
	}
	x.until[key] = indexEntry{until, slices.Clone(rec.Tags), epoch}
}

func (x *indexed) drop(key session.Key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.until, key)
}

func (s *Store) index(ctx context.Context, c rueidis.Client, key session.Key, rec session.Record) error {
	epoch := s.Epoch()
	if len(rec.Tags) == 0 || s.indexed.has(key, rec, epoch) {
		return nil
	}
	until := rec.Expires.Add(tagSlack)
	for _, tag := range rec.Tags {
		err := tagScript.Exec(ctx, c, []string{s.keys.tag(tag)},
			[]string{string(key[:]), strconv.FormatInt(until.UnixMilli(), 10)}).Error()
		if err := s.did(ctx, "write a tag", err); err != nil {
			return err
		}
	}
	s.indexed.add(key, rec, until, epoch)
	return nil
}

// unindex takes a deleted session from under its tags; one that stays is found out
// by Find.
func (s *Store) unindex(ctx context.Context, c rueidis.Client, key session.Key, rec session.Record) {
	s.indexed.drop(key)
	for _, tag := range rec.Tags {
		_ = c.Do(ctx, c.B().Zrem().Key(s.keys.tag(tag)).Member(string(key[:])).Build()).Error()
	}
}

// Find implements session.Store.
func (s *Store) Find(ctx context.Context, tag session.Tag) (keys []session.Key, err error) {
	c, ctx, cancel, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	now, err := s.now(ctx, c)
	if err != nil {
		return nil, err
	}
	members, err := c.Do(ctx, c.B().Zrangebyscore().Key(s.keys.tag(tag)).
		Min(strconv.FormatInt(now.UnixMilli(), 10)).Max("+inf").Build()).AsStrSlice()
	if err := s.did(ctx, "find sessions", err); err != nil {
		return nil, err
	}
	all := make([]session.Key, 0, len(members))
	for _, m := range members {
		if len(m) == len(session.Key{}) {
			all = append(all, session.Key([]byte(m)))
		}
	}
	err = s.readAll(ctx, c, all, now, func(key session.Key, rec session.Record) error {
		if slices.Contains(rec.Tags, tag) {
			keys = append(keys, key)
		}
		return nil
	})
	return keys, err
}

const readChunk = 500

// readAll shows the live records under keys.
func (s *Store) readAll(ctx context.Context, c rueidis.Client, keys []session.Key, now time.Time, visit func(session.Key, session.Record) error) error {
	for chunk := range slices.Chunk(keys, readChunk) {
		reads := make([]rueidis.Completed, 0, len(chunk))
		for _, key := range chunk {
			reads = append(reads, c.B().Get().Key(s.keys.record(key)).Build())
		}
		for i, answer := range c.DoMulti(ctx, reads...) {
			b, err := answer.AsBytes()
			if rueidis.IsRedisNil(err) {
				continue
			}
			if err := s.did(ctx, "read sessions", err); err != nil {
				return err
			}
			rec, err := decode(b, now)
			if err != nil {
				continue
			}
			if err := visit(chunk[i], rec); err != nil {
				return err
			}
		}
	}
	return nil
}

// Scan implements session.Store. A Cluster is asked node by node.
func (s *Store) Scan(ctx context.Context, visit func(session.Key, session.Record) error) error {
	all := s.client.Load()
	if all == nil {
		return s.outage("list sessions", errDown)
	}
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	seen := map[session.Key]struct{}{}
	for _, node := range (*all).Nodes() {
		if role, err := node.Do(ctx, node.B().Role().Build()).ToArray(); err == nil && len(role) > 0 {
			if name, _ := role[0].ToString(); name == "slave" {
				continue
			}
		}
		for cursor := uint64(0); ; {
			page, err := node.Do(ctx, node.B().Scan().Cursor(cursor).Match(s.keys.pattern()).Count(1000).Build()).AsScanEntry()
			if err := s.did(ctx, "list sessions", err); err != nil {
				return err
			}
			var keys []session.Key
			for _, name := range page.Elements {
				if key, ok := s.keys.parse(name); ok {
					if _, twice := seen[key]; !twice {
						seen[key] = struct{}{}
						keys = append(keys, key)
					}
				}
			}
			if err := s.readAll(ctx, *all, keys, now, func(key session.Key, rec session.Record) error {
				if len(rec.Meta) == 0 {
					return nil
				}
				rec.Now = now
				return visit(key, rec)
			}); err != nil {
				return err
			}
			if cursor = page.Cursor; cursor == 0 {
				break
			}
		}
	}
	return nil
}
