package tracing

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"
)

const (
	// queueSize bounds how many spans wait, and with it what a collector that is away
	// costs: some 2 MB.
	queueSize = 2048
	// batchSize is how many go at once.
	batchSize = 512
	// flushEvery is how long a span waits for others to go with.
	flushEvery = 5 * time.Second
	// closeTime is how long Close waits for the collector.
	closeTime = 5 * time.Second
	// warnEvery is how often the log hears of spans that got lost.
	warnEvery = time.Minute
)

// queue holds spans until they are sent.
type queue struct {
	spans   chan *tracepb.Span
	send    *sender
	dropped func(n int)
	log     *slog.Logger
	timing

	stopped atomic.Bool
	hurry   chan struct{} // closed by close
	ctx     context.Context
	cancel  context.CancelFunc
	done    sync.WaitGroup
	once    sync.Once

	lost     atomic.Int64 // since the last warning
	warnNext atomic.Int64 // when it may be warned again, in Unix nanoseconds
}

func newQueue(send *sender, o *Options) *queue {
	q := &queue{send: send, dropped: o.Dropped, log: o.Log, timing: o.timing, hurry: make(chan struct{})}
	if q.queueSize == 0 {
		q.queueSize = queueSize
	}
	q.flushEvery, q.closeTime = orElse(q.flushEvery, flushEvery), orElse(q.closeTime, closeTime)
	q.spans = make(chan *tracepb.Span, q.queueSize)
	q.ctx, q.cancel = context.WithCancel(context.Background())
	q.done.Go(q.run)
	return q
}

func orElse(d, or time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return or
}

// put takes a span, or drops it where there is no room. It never waits.
func (q *queue) put(s *tracepb.Span) {
	if q.stopped.Load() {
		q.lose(1, "the gateway goes down, or has other settings by now")
		return
	}
	select {
	case q.spans <- s:
	default:
		q.lose(1, "more come than the collector takes")
	}
}

// lose counts spans that got lost, and says so.
func (q *queue) lose(n int, why string) {
	defer q.dropped(n)
	q.lost.Add(int64(n))
	now, next := time.Now(), q.warnNext.Load()
	if now.UnixNano() < next || !q.warnNext.CompareAndSwap(next, now.Add(warnEvery).UnixNano()) {
		return
	}
	q.log.Warn("spans got lost on their way to the collector; requests are served as ever", "event", "tracing.dropped",
		"spans", q.lost.Swap(0), "collector", q.send.url, "err", why)
}

// run sends batches until close.
func (q *queue) run() {
	batch := make([]*tracepb.Span, 0, batchSize)
	var due <-chan time.Time
	flush := func() {
		if len(batch) > 0 {
			q.deliver(batch)
			clear(batch)
			batch = batch[:0]
		}
		due = nil
	}
	for {
		select {
		case s := <-q.spans:
			if batch = append(batch, s); len(batch) == batchSize {
				flush()
			} else if due == nil {
				due = time.After(q.flushEvery)
			}
		case <-due:
			flush()
		case <-q.hurry:
			for {
				select {
				case s := <-q.spans:
					if batch = append(batch, s); len(batch) == batchSize {
						flush()
					}
					continue
				default:
				}
				flush()
				return
			}
		}
	}
}

// deliver sends a batch, or loses it.
func (q *queue) deliver(batch []*tracepb.Span) {
	refused, err := q.send.send(q.ctx, q.hurry, batch)
	switch {
	case err != nil:
		q.lose(len(batch), err.Error())
	case refused > 0:
		q.lose(refused, "the collector did not take all of a batch")
	}
}

// close sends what is left, and waits for that no longer than closeTime.
func (q *queue) close() error {
	q.once.Do(func() {
		q.stopped.Store(true)
		late := time.AfterFunc(q.closeTime, q.cancel)
		close(q.hurry)
		q.done.Wait()
		late.Stop()
		q.cancel()
		for { // what came in this very moment
			select {
			case <-q.spans:
				q.dropped(1)
				continue
			default:
			}
			break
		}
		q.send.close()
	})
	return nil
}
