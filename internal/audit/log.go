package audit

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/internal/event"
)

// Sink takes lines. One goroutine at a time writes.
type Sink interface {
	// Write takes a line with its end, whole or not at all.
	io.Writer
	io.Closer
	// String names it for the log: "the file /var/log/evergate/audit.jsonl".
	String() string
}

// Log writes the events of the catalogue that are for it. Make one with New.
//
// What it writes to may be slow or away, and nobody who signs in waits for it: events queue,
// and what finds no place is counted, and told by a line of its own once there is one again.
type Log struct {
	log     *slog.Logger
	written func(name event.Name)
	lost    func(n int)

	queue chan event.Event
	done  chan struct{}

	dropped atomic.Int64 // since the last line that told of them

	mu     sync.RWMutex // guards closed, against a queue that is closed while written to
	closed bool

	using sync.Mutex // held while one is written to; guards sinks
	sinks []Sink
	made  atomic.Int64 // how often others were to be used

	mood sync.Mutex         // guards sick, and is never held while somebody is waited for
	sick map[Sink]time.Time // since when a sink takes nothing
}

// Options are what a Log tells.
type Options struct {
	// Log hears of sinks that do not work; nil discards.
	Log *slog.Logger
	// Written is told of each event that was written, Lost of events that were not; nil is nobody.
	Written func(name event.Name)
	Lost    func(n int)
}

const queueSize = 4096

// New returns a Log that writes to nothing yet, until Close.
func New(o Options) *Log {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Log{log: o.Log, written: o.Written, lost: o.Lost, queue: make(chan event.Event, queueSize), done: make(chan struct{}), sick: map[Sink]time.Time{}}
	go l.write()
	return l
}

// Use has events written to sinks from now on, and closes those of before. Where one of those
// takes nothing and does not say so either, that waits for it, and Use does not.
func (l *Log) Use(sinks []Sink) {
	mine, done := l.made.Add(1), make(chan struct{})
	go func() { // ends with the write that is under way
		defer close(done)
		l.swap(sinks, mine)
	}()
	select {
	case <-done:
	case <-time.After(closeTime):
		l.log.Error("the audit log takes nothing; another is used as soon as it does", "event", "audit.failed")
	}
}

func (l *Log) swap(sinks []Sink, mine int64) {
	l.using.Lock()
	before := sinks // of somebody who was overtaken meanwhile
	if l.made.Load() == mine {
		before, l.sinks = l.sinks, sinks
		l.mood.Lock()
		clear(l.sick)
		l.mood.Unlock()
	}
	l.using.Unlock()
	for _, s := range before {
		if err := s.Close(); err != nil {
			l.log.Warn("closing the audit log", "event", "audit.failed", "to", s.String(), "err", err)
		}
	}
}

// Hear is an event.Func.
func (l *Log) Hear(_ context.Context, e event.Event) {
	if kind := event.KindOf(e.Name); kind == nil || !kind.Audit {
		return
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if !l.closed {
		select {
		case l.queue <- e:
			return
		default:
		}
	}
	l.dropped.Add(1)
	if l.lost != nil {
		l.lost(1)
	}
}

// Close writes what is queued, as long as that takes no longer than closeTime, and closes the
// sinks.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.queue)
	l.mu.Unlock()
	select {
	case <-l.done:
	case <-time.After(closeTime):
		l.log.Error("the audit log takes nothing; its last lines are lost", "event", "audit.failed", "lines", len(l.queue))
		return errors.New("audit: the last lines could not be written")
	}
	l.Use(nil)
	return nil
}

const closeTime = 5 * time.Second

func (l *Log) write() {
	defer close(l.done)
	for e := range l.queue {
		if n := l.dropped.Swap(0); n > 0 {
			l.one(&event.Event{Name: event.AuditLost, At: time.Now(), Count: int(n)})
		}
		l.one(&e)
	}
}

func (l *Log) one(e *event.Event) {
	line := Line(e)
	l.using.Lock()
	defer l.using.Unlock()
	for _, s := range l.sinks {
		_, err := s.Write(line)
		since, sick := l.note(s, err != nil)
		switch {
		case err == nil && sick:
			l.log.Info("the audit log is written again", "event", "audit.back", "to", s.String(), "away", time.Since(since).Round(time.Second))
		case err != nil && !sick:
			l.log.Error("the audit log cannot be written", "event", "audit.failed", "to", s.String(), "err", err)
		}
		if err != nil && l.lost != nil {
			l.lost(1)
		}
	}
	if l.written != nil {
		l.written(e.Name)
	}
}

// note keeps whether s takes something, and returns whether it did not before, and since when.
func (l *Log) note(s Sink, sickNow bool) (since time.Time, sick bool) {
	l.mood.Lock()
	defer l.mood.Unlock()
	since, sick = l.sick[s]
	switch {
	case sick && !sickNow:
		delete(l.sick, s)
	case !sick && sickNow:
		l.sick[s] = time.Now()
	}
	return since, sick
}

// Trouble says which sinks take nothing, or nil.
func (l *Log) Trouble() error {
	l.mood.Lock()
	defer l.mood.Unlock()
	var all error
	for s, since := range l.sick {
		all = errors.Join(all, errors.New(s.String()+" takes nothing since "+since.UTC().Format(time.RFC3339)))
	}
	return all
}
