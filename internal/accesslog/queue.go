package accesslog

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"
)

const (
	// Most is how many bytes of the log wait at most to be written, and what comes then is lost.
	Most = 4 << 20
	// reserve is kept beyond that for records that are no access lines: a flood of requests does
	// not push out what tells of it.
	reserve = 1 << 20
	// block is how much is written at a time.
	block = 64 << 10
	// atomic is how much a pipe takes in one piece (PIPE_BUF of Linux). A process that hands over
	// and its successor write to the same one, and their lines must not mix.
	atomic = 4 << 10
	// linger is how long an access line waits for others.
	linger = 50 * time.Millisecond
	// patience is how long somebody who logs a record waits for it to be written. Whoever comes
	// after that does not wait at all, until everything is written.
	patience = 500 * time.Millisecond
	// closeTime is how long Close waits for what takes the log.
	closeTime = 2 * time.Second
	// tellEvery is how often it is told that lines are lost.
	tellEvery = time.Minute
)

// queue is of whole lines on their way to a sink.
type queue struct {
	sink  io.Writer
	piece int                   // how much is written at a time
	say   func(lost int) []byte // a line about lines that were lost; nil where none is wanted

	some, hurry chan struct{} // tell the writer that there is something, and that it is not to wait for more
	end, done   chan struct{} // closed by close, and by the writer at its end

	mu      sync.Mutex // guards what follows
	full    [][]byte   // blocks before cur
	cur     []byte     // the last one
	spare   [][]byte   // empty blocks
	waiting int        // bytes in blocks, that under way included
	in, out int64      // bytes that came and that went, since the start
	told    bool       // the writer knows that there is something
	stuck   bool       // nobody waits
	direct  bool       // the writer is gone: whoever logs writes
	ended   bool       // end is closed
	waiters []waiter   // in the order of their places
	lost    int64      // lines

	// Only the writer touches these.
	saidLost int64     // how many lost lines were told of
	saidAt   time.Time // when that was tried last
	torn     bool      // half a line was written
}

// waiter waits until all before a place is written.
type waiter struct {
	place int64
	done  chan struct{}
}

func newQueue(sink io.Writer, say func(lost int) []byte) *queue {
	q := &queue{sink: sink, piece: block, say: say, some: make(chan struct{}, 1), hurry: make(chan struct{}, 1), end: make(chan struct{}), done: make(chan struct{})}
	if f, ok := sink.(interface{ Stat() (fs.FileInfo, error) }); ok {
		if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
			q.piece = atomic
		}
	}
	go q.write()
	return q
}

// put takes a line, if there is place for it. Nobody waits.
func (q *queue) put(line []byte) {
	q.mu.Lock()
	blocks := len(q.full)
	if !q.take(line, Most) {
		q.mu.Unlock()
		return
	}
	news, more := !q.told, len(q.full) > blocks
	q.told = true
	q.mu.Unlock()
	if news {
		signal(q.some)
	}
	if more {
		signal(q.hurry)
	}
}

// putAndWait takes a line, and returns when it is written with all before it, or when the sink
// is stuck.
func (q *queue) putAndWait(line []byte) {
	q.mu.Lock()
	if !q.take(line, Most+reserve) {
		q.mu.Unlock()
		return
	}
	w, wait := waiter{place: q.in, done: make(chan struct{})}, !q.stuck
	if wait {
		q.waiters = append(q.waiters, w)
	}
	q.told = true
	q.mu.Unlock()
	signal(q.hurry)
	if !wait {
		return
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-w.done:
	case <-late.C:
		q.mu.Lock()
		q.stuck = q.out < w.place
		q.mu.Unlock()
	}
}

// take adds a line and reports whether it waits now to be written.
func (q *queue) take(line []byte, most int) bool {
	if q.direct {
		q.lost += q.deliver(line)
		return false
	}
	if q.waiting+len(line) > most {
		q.lost++
		return false
	}
	if len(q.cur)+len(line) > cap(q.cur) {
		if len(q.cur) > 0 {
			q.full = append(q.full, q.cur)
		}
		q.cur = q.blank(len(line))
	}
	q.cur = append(q.cur, line...)
	q.waiting += len(line)
	q.in += int64(len(line))
	return true
}

// blank returns an empty block for a line of size bytes.
func (q *queue) blank(size int) []byte {
	if n := len(q.spare); n > 0 && size <= block {
		b := q.spare[n-1]
		q.spare = q.spare[:n-1]
		return b
	}
	return make([]byte, 0, max(size, block))
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is told already
	}
}

// close writes what waits, unless that takes longer than closeTime, and has whatever comes later
// written at once.
func (q *queue) close() error {
	q.mu.Lock()
	if !q.ended {
		q.ended = true
		close(q.end)
	}
	q.mu.Unlock()
	late := time.NewTimer(closeTime)
	defer late.Stop()
	select {
	case <-q.done:
		return nil
	case <-late.C:
		return errors.New("write the last lines of the log: what takes it, standard error, is stuck; they are lost")
	}
}

// write is the writer's life.
func (q *queue) write() {
	defer close(q.done)
	more := time.NewTimer(linger)
	defer more.Stop()
	for {
		var again <-chan time.Time // when lines that were lost may be told of
		if q.untold() > 0 {
			again = time.After(max(0, tellEvery-time.Since(q.saidAt)))
		}
		select {
		case <-q.some:
			more.Reset(linger)
			select {
			case <-more.C:
			case <-q.hurry:
			case <-q.end:
			}
		case <-q.hurry:
		case <-q.end:
		case <-again:
		}
		ended := q.drain()
		q.tell(ended)
		if ended {
			q.leave()
			return
		}
	}
}

// drain writes all there is, and reports whether that was the end.
func (q *queue) drain() (ended bool) {
	for {
		b, ended := q.next()
		if b == nil {
			return ended
		}
		for rest := b; len(rest) > 0; {
			piece := cut(rest, q.piece)
			rest = rest[len(piece):]
			q.gone(len(piece), q.deliver(piece))
		}
		q.reuse(b)
		q.tell(false)
	}
}

// next returns what is to be written now, or nil, and then whether nothing comes any more.
func (q *queue) next() (b []byte, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.full) > 0 {
		b = q.full[0]
		q.full = slices.Delete(q.full, 0, 1)
		return b, false
	}
	if len(q.cur) > 0 {
		b, q.cur = q.cur, nil
		return b, false
	}
	q.told, q.stuck = false, false
	return nil, q.ended
}

// leave has those who log write from now on.
func (q *queue) leave() {
	for left := false; !left; q.drain() {
		q.mu.Lock()
		left = len(q.full) == 0 && len(q.cur) == 0
		q.direct = left
		q.mu.Unlock()
	}
}

// cut returns as many lines of b as fit into most bytes, and at least one.
func cut(b []byte, most int) []byte {
	if len(b) <= most {
		return b
	}
	if end := bytes.LastIndexByte(b[:most], '\n'); end >= 0 {
		return b[:end+1]
	}
	if end := bytes.IndexByte(b, '\n'); end >= 0 {
		return b[:end+1]
	}
	return b
}

// deliver writes lines, and returns how many of them are not whole on the other side.
func (q *queue) deliver(lines []byte) (lost int64) {
	if q.torn { // let no line be taken for the end of half a one
		_, err := q.sink.Write([]byte{'\n'})
		q.torn = err != nil
	}
	n, err := q.sink.Write(lines)
	if err == nil {
		return 0
	}
	n = min(max(n, 0), len(lines))
	q.torn = q.torn || n > 0 && lines[n-1] != '\n'
	return int64(bytes.Count(lines[n:], []byte{'\n'}))
}

// gone tells whoever waits for it that n bytes were written, or could not be.
func (q *queue) gone(n int, lost int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting -= n
	q.out += int64(n)
	q.lost += lost
	for len(q.waiters) > 0 && q.waiters[0].place <= q.out {
		close(q.waiters[0].done)
		q.waiters = slices.Delete(q.waiters, 0, 1)
	}
}

// spares is how many empty blocks are kept.
const spares = 4

func (q *queue) reuse(b []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if cap(b) == block && len(q.spare) < spares {
		q.spare = append(q.spare, b[:0])
	}
}

// untold is how many lost lines nobody was told of.
func (q *queue) untold() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost - q.saidLost
}

// tell writes that lines are lost, once a minute at most, or for the last time.
func (q *queue) tell(last bool) {
	n := q.untold()
	if n == 0 || !last && !q.saidAt.IsZero() && time.Since(q.saidAt) < tellEvery {
		return
	}
	q.saidAt = time.Now()
	if line := q.say(int(n)); line == nil || q.deliver(line) == 0 {
		q.saidLost += n // or else it takes nothing still, and that comes with what is lost then
	}
}

// lostLines is how many lines were not written, since the start.
func (q *queue) lostLines() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}
