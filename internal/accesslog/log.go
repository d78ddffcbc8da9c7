package accesslog

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// Options are how a Log writes.
type Options struct {
	// Text is slog's text format, for people; else it is its JSON.
	Text bool
	// Level is what a line has to have.
	Level slog.Leveler
	// Replace is slog's ReplaceAttr for all records but access lines; nil replaces nothing.
	Replace func(groups []string, a slog.Attr) slog.Attr
	// Redaction is what is kept out of access lines as of now; nil is nothing.
	Redaction func() *Redaction
}

// Redaction is what is kept out of access lines. The zero value keeps out nothing.
type Redaction struct {
	// Client and Subject say what stands in the place of an address and of a subject; nil is
	// that itself.
	Client  func(netip.Addr) string
	Subject func(string) string
	// Path leaves out the path.
	Path bool
}

// Log writes access lines and all other records. Make one with New, and Close it.
type Log struct {
	text      bool
	level     slog.Leveler
	redaction func() *Redaction
	queue     *queue
	handler   slog.Handler

	aside slog.Handler // of the writer alone, into said
	said  bytes.Buffer
}

// New returns a Log that writes to sink. A sink that is a file, and no regular one, gets pieces
// that a pipe does not tear.
func New(sink io.Writer, o Options) *Log {
	l := &Log{text: o.Text, level: o.Level, redaction: o.Redaction}
	if l.level == nil {
		l.level = slog.LevelInfo
	}
	if l.redaction == nil {
		nothing := &Redaction{}
		l.redaction = func() *Redaction { return nothing }
	}
	form := func(w io.Writer) slog.Handler {
		opts := &slog.HandlerOptions{Level: l.level, ReplaceAttr: o.Replace}
		if o.Text {
			return slog.NewTextHandler(w, opts)
		}
		return slog.NewJSONHandler(w, opts)
	}
	l.queue = newQueue(sink, l.say)
	l.handler, l.aside = form(records{l.queue}), form(&l.said)
	return l
}

// Handler takes all records that are no access lines. Handle returns when a record is written,
// unless what takes the log is stuck.
func (l *Log) Handler() slog.Handler { return l.handler }

// records are written one by one.
type records struct{ queue *queue }

// Write implements io.Writer.
func (r records) Write(line []byte) (int, error) {
	r.queue.putAndWait(line)
	return len(line), nil
}

// encoding is where lines are encoded, one at a time each.
var encoding = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

// Access implements web.Access.
func (l *Log) Access(line *web.Line) {
	if line.Level < l.level.Level() {
		return
	}
	b := encoding.Get().(*[]byte)
	if l.text {
		*b = appendText((*b)[:0], line, l.redaction())
	} else {
		*b = appendJSON((*b)[:0], line, l.redaction())
	}
	l.queue.put(*b)
	if cap(*b) <= 16<<10 { // an error of some upstream may be long; most lines have a few hundred bytes
		encoding.Put(b)
	}
}

// Lost is how many lines could not be written, since the start.
func (l *Log) Lost() int64 { return l.queue.lostLines() }

// Close writes what waits, for two seconds at most. What is logged later is written at once.
func (l *Log) Close() error { return l.queue.close() }

// say is a line about lines that were lost. The writer alone calls it, who cannot wait for
// itself to write a record.
func (l *Log) say(lost int) []byte {
	if !l.aside.Enabled(context.Background(), slog.LevelWarn) {
		return nil
	}
	l.said.Reset()
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "lines of this log are lost: what takes standard error is too slow, or takes nothing", 0)
	r.AddAttrs(slog.String("event", "log.lost"), slog.Int("lines", lost))
	_ = l.aside.Handle(context.Background(), r) // into memory
	return l.said.Bytes()
}
