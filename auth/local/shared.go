package local

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// SharedThrottle is a Throttle whose counts lie on a Shelf, so that gateways count
// together and a restart forgets nothing. The rules are the same. What a gateway was
// looking at when it was killed stays counted as a failure.
//
// An attempt that has begun is counted to its end, whoever hangs up, or somebody could
// have accounts wait without waiting themselves. The account comes first: parallel guesses
// at one are turned away there, and do not queue to count at their source.
//
// An attempt that is looked at costs two writes, and three more if it was right; by a
// browser that is known at the account one, and one more. One that has to wait costs none. Since each one that is looked at takes a hash as well,
// and the rest are taken back, the hashes that gateways make in 15 minutes bound what
// lies there.
//
// It is for the Shelf to hide names: they tell accounts and addresses.
type SharedThrottle struct {
	Shelf auth.Shelf
}

const (
	// sharedTime bounds what the shelf may take for one attempt.
	sharedTime = 5 * time.Second
	// sharedPause bounds how long to wait before a change is tried anew, after
	// somebody else's got in.
	sharedPause = 32 * time.Millisecond
)

// counter is the failures of an account or of a source, as they were when this process
// last saw them.
type counter struct {
	failures
	name    string
	free    int
	friend  string // who need not wait, if they are on the shelf; "" is nobody
	version uint64
	before  failures // what there was before this attempt
}

// attempt implements Guard.
func (t *SharedThrottle) attempt(ctx context.Context, this try) (time.Duration, func(outcome) error, error) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), sharedTime)
	defer cancel()
	if this.browser != "" {
		return t.known(ctx, bounded, this.browser)
	}
	network := web.Network(this.addr)
	source := network.String() // neither it nor a stamp holds a zero byte, so no two names meet
	friend := ""
	if network.IsValid() { // all that are not known share one, and are no friends
		friend = "friend\x00" + source + "\x00" + this.stamp + "\x00" + this.account
	}
	a := &counter{name: "account\x00" + this.account, free: freeFailures, friend: friend}
	s := &counter{name: "source\x00" + source, free: freeFailures * sourceAllowance}
	// Both are looked at first: who has to wait changes neither.
	wait, err := t.look(bounded, a, s)
	if wait > 0 || err != nil {
		return wait, nil, err
	}
	if wait, err = t.reserve(bounded, a); wait > 0 || err != nil {
		return wait, nil, err
	}
	if wait, err = t.reserve(bounded, s); wait > 0 || err != nil {
		return wait, nil, errors.Join(err, t.change(bounded, a, func(f *failures) { f.takeBack(a.before) }))
	}
	return 0, func(o outcome) error {
		if o == failed {
			return nil
		}
		// Whoever has hung up is not to be counted as a failure for that.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sharedTime)
		defer cancel()
		back := t.change(ctx, s, func(f *failures) { f.takeBack(s.before) })
		if o == unjudged {
			return errors.Join(back, t.change(ctx, a, func(f *failures) { f.takeBack(a.before) }))
		}
		return errors.Join(back, t.befriend(ctx, friend), t.change(ctx, a, func(f *failures) { *f = failures{} }))
	}, nil
}

// known is attempt by a browser that is known at the account; see Throttle.known. What it
// begins has until bounded is over.
func (t *SharedThrottle) known(ctx, bounded context.Context, browser string) (time.Duration, func(outcome) error, error) {
	b := &counter{name: "browser\x00" + browser, free: freeFailures}
	if wait, err := t.look(bounded, b); wait > 0 || err != nil {
		return wait, nil, err
	}
	if wait, err := t.reserve(bounded, b); wait > 0 || err != nil {
		return wait, nil, err
	}
	return 0, func(o outcome) error {
		if o == failed {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sharedTime)
		defer cancel()
		return t.change(ctx, b, func(f *failures) { f.takeBack(b.before) })
	}, nil
}

// look reads counters, and returns how long they have an attempt wait.
func (t *SharedThrottle) look(ctx context.Context, all ...*counter) (wait time.Duration, err error) {
	for _, c := range all {
		left, err := t.read(ctx, c, 0)
		if err != nil {
			return 0, err
		}
		wait = max(wait, left)
	}
	return wait, nil
}

// reserve counts a failure, unless there is a wait by now.
func (t *SharedThrottle) reserve(ctx context.Context, c *counter) (time.Duration, error) {
	for n := 0; ; n++ {
		now, err := t.Shelf.Now(ctx)
		if err != nil {
			return 0, fmt.Errorf("read the time: %w", err)
		}
		c.before = c.failures
		next := c.failures
		next.fail(now, c.free)
		if ok, err := t.write(ctx, c, next, n); ok || err != nil {
			return 0, err
		}
		if wait, err := t.read(ctx, c, c.version+1); wait > 0 || err != nil {
			return wait, err
		}
	}
}

// change edits what is counted. It may be called again after others' changes.
func (t *SharedThrottle) change(ctx context.Context, c *counter, edit func(*failures)) error {
	for n := 0; ; n++ {
		next := c.failures
		edit(&next)
		if ok, err := t.write(ctx, c, next, n); ok || err != nil {
			return err
		}
		if _, err := t.read(ctx, c, c.version+1); err != nil {
			return err
		}
	}
}

// read reads c, and returns how long it has an attempt wait.
func (t *SharedThrottle) read(ctx context.Context, c *counter, atLeast uint64) (wait time.Duration, err error) {
	value, version, err := t.Shelf.Load(ctx, c.name, atLeast)
	if err != nil {
		return 0, fmt.Errorf("read the failures: %w", err)
	}
	now, err := t.Shelf.Now(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the time: %w", err)
	}
	c.failures, c.version = failures{}, version
	if value != nil {
		if c.failures, err = decodeFailures(value); err != nil {
			return 0, fmt.Errorf("read the failures: %w", err)
		}
	}
	if c.over(now) {
		c.failures = failures{}
	}
	wait = c.until.Sub(now)
	if wait <= 0 || c.friend == "" {
		return max(wait, 0), nil
	}
	known, _, err := t.Shelf.Load(ctx, c.friend, 0)
	if err != nil {
		return 0, fmt.Errorf("read who signed in lately: %w", err)
	}
	if known != nil {
		return 0, nil
	}
	return wait, nil
}

// write puts next in the place of what c was. It reports false, after a pause that is
// longer each time, where that had changed meanwhile.
func (t *SharedThrottle) write(ctx context.Context, c *counter, next failures, tries int) (bool, error) {
	var value []byte
	if next.count > 0 {
		value = next.encode()
	}
	ok, err := t.Shelf.Save(ctx, c.name, c.version, value, forgetFailures)
	if err != nil {
		return false, fmt.Errorf("write the failures: %w", err)
	}
	if ok {
		c.failures, c.version = next, c.version+1
		return true, nil
	}
	pause := time.NewTimer(rand.N(min(time.Millisecond<<min(tries, 10), sharedPause)))
	defer pause.Stop()
	select {
	case <-pause.C:
		return false, nil
	case <-ctx.Done():
		return false, fmt.Errorf("write the failures: others change them again and again: %w", ctx.Err())
	}
}

// befriend notes that an account signed in from a source, unless friend is "". Where
// somebody else has just done that it is done.
func (t *SharedThrottle) befriend(ctx context.Context, friend string) error {
	if friend == "" {
		return nil
	}
	_, version, err := t.Shelf.Load(ctx, friend, 0)
	if err == nil {
		_, err = t.Shelf.Save(ctx, friend, version, []byte{1}, friendFor)
	}
	if err != nil {
		return fmt.Errorf("note who signed in: %w", err)
	}
	return nil
}

// failuresSize is three numbers: the count, and two times in ms.
const failuresSize = 3 * 8

func (f *failures) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(f.count))
	b = binary.BigEndian.AppendUint64(b, uint64(f.until.UnixMilli()))
	return binary.BigEndian.AppendUint64(b, uint64(f.last.UnixMilli()))
}

func decodeFailures(b []byte) (failures, error) {
	if len(b) != failuresSize {
		return failures{}, fmt.Errorf("they have %d bytes, want %d", len(b), failuresSize)
	}
	at := func(i int) time.Time { return time.UnixMilli(int64(binary.BigEndian.Uint64(b[i:]))) }
	return failures{count: int(binary.BigEndian.Uint64(b)), until: at(8), last: at(16)}, nil
}
