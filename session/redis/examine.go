package redis

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/evergate/evergate/session"
)

// Examined is what was found out about a server.
type Examined struct {
	// Nodes are its servers: one, or those of a Cluster, by address.
	Nodes []Node
	// Latency is the middle one of some round trips.
	Latency time.Duration
	// Skew is how far the server's clock is ahead of ours, and SkewWithin how wrong that
	// may be.
	Skew, SkewWithin time.Duration
	// Tracking says that the server pushes what has changed (client-side caching).
	Tracking bool
}

// Node is one server, as it says itself. What an ACL keeps from us is "".
type Node struct {
	Address string
	// Program and Version are redis or valkey, and its version.
	Program, Version string
	// Role is master or slave.
	Role string
	// Policy is its maxmemory-policy, and MaxMemory in bytes when it begins; "0" is never.
	Policy, MaxMemory string
	// AOF says that writes are appended to a file, and Trouble is what the server says went
	// wrong when it saved last.
	AOF     bool
	Trouble string
}

// examineTrips are how many round trips are timed.
const examineTrips = 5

// Examine connects to a server, writes a record of its own through the scripts that
// sessions go through, reads it and takes it away, and looks at how the server is set up.
// Nothing else there is touched.
func Examine(ctx context.Context, opt Options) (*Examined, error) {
	s, err := newStore(opt)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := s.connect(); err != nil {
		return nil, err
	}
	e := &Examined{Tracking: !s.opt.NoTracking}
	c := *s.client.Load()
	for address, node := range c.Nodes() {
		n, err := look(ctx, node, s.opt.Timeout)
		if err != nil {
			return nil, s.outage("ask "+address+" how it is", err)
		}
		n.Address = address
		if n.Role != "slave" || len(c.Nodes()) == 1 {
			e.Nodes = append(e.Nodes, n)
		}
	}
	slices.SortFunc(e.Nodes, func(a, b Node) int { return strings.Compare(a.Address, b.Address) })
	if err := e.time(ctx, s, c); err != nil {
		return e, err
	}
	return e, s.roundTrip(ctx, c)
}

// time measures the way to the server, and its clock.
func (e *Examined) time(ctx context.Context, s *Store, c rueidis.Client) error {
	var trips []time.Duration
	for range examineTrips {
		one, cancel := context.WithTimeout(ctx, s.opt.Timeout)
		began := time.Now()
		at, err := c.Do(one, c.B().Time().Build()).AsIntSlice()
		took := time.Since(began)
		cancel()
		if err != nil || len(at) != 2 {
			return s.outage("read the time", errors.Join(err))
		}
		trips = append(trips, took)
		if took <= slices.Min(trips) { // the quickest tells the time best
			e.Skew, e.SkewWithin = time.Unix(at[0], at[1]*1000).Sub(began.Add(took/2)), took/2
		}
	}
	slices.Sort(trips)
	e.Latency = trips[len(trips)/2]
	return nil
}

// roundTrip writes, reads and removes a record.
func (s *Store) roundTrip(ctx context.Context, c rueidis.Client) error {
	var key session.Key
	data := make([]byte, 64)
	_, _ = rand.Read(key[:])
	_, _ = rand.Read(data)
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	if err := s.Put(ctx, key, 0, session.Record{Version: 1, Expires: now.Add(time.Minute), Data: data}); err != nil {
		return err
	}
	rec, err := s.Get(ctx, key, 0)
	if err == nil && !bytes.Equal(rec.Data, data) {
		err = fmt.Errorf("redis: %s gave back something else than was written to it", s.where())
	}
	err = errors.Join(err, s.Delete(ctx, key))
	one, cancel := context.WithTimeout(ctx, s.opt.Timeout)
	defer cancel()
	// The mark that a deletion leaves is of no use to anybody here.
	if derr := c.Do(one, c.B().Del().Key(s.keys.record(key)).Build()).Error(); derr != nil {
		err = errors.Join(err, s.outage("remove the mark of a deletion", derr))
	}
	return err
}

// look reads what a server says of itself. One that keeps it from this user is no fault.
func look(ctx context.Context, c rueidis.Client, timeout time.Duration) (n Node, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	text, err := c.Do(ctx, c.B().Info().Build()).ToString()
	if _, reply := rueidis.IsRedisErr(err); reply {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	said := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			said[name] = value
		}
	}
	n = Node{Program: "redis", Version: said["redis_version"], Role: said["role"], Policy: said["maxmemory_policy"],
		MaxMemory: said["maxmemory"], AOF: said["aof_enabled"] == "1"}
	if v := said["valkey_version"]; v != "" {
		n.Program, n.Version = "valkey", v
	}
	for _, name := range []string{"rdb_last_bgsave_status", "aof_last_bgrewrite_status", "aof_last_write_status"} {
		if v := said[name]; v != "" && v != "ok" {
			n.Trouble = strings.TrimPrefix(n.Trouble+", "+name+": "+v, ", ")
		}
	}
	return n, nil
}

// Major is the first number of the version, or 0.
func (n Node) Major() int {
	first, _, _ := strings.Cut(n.Version, ".")
	major, _ := strconv.Atoi(first)
	return major
}
