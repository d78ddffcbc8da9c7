package tracing

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	commonpb "go.opentelemetry.io/proto/slim/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"

	"github.com/evergate/evergate/internal/span"
)

const (
	// maxText bounds a value, maxAttributes and maxLinks how many a span has: strangers
	// choose paths.
	maxText       = 1 << 10
	maxAttributes = 32
	maxLinks      = 8
)

// recording is a span that is recorded. It implements span.Recorder.
type recording struct {
	t     *Tracer
	at    place
	start time.Time

	mu    sync.Mutex    // guards what follows
	msg   *tracepb.Span // nil once it has ended: it is the sender's then
	ended bool
}

func (t *Tracer) record(at place, parent []byte, kind span.Kind, name string) *recording {
	now := time.Now()
	// Who receives it knows by the second flag that the first one means something.
	const knowsRemote, isRemote = 0x100, 0x200
	flags := uint32(at.flags) | knowsRemote
	if kind == span.Server && parent != nil {
		flags |= isRemote
	}
	return &recording{t: t, at: at, start: now, msg: &tracepb.Span{
		TraceId: at.trace[:], SpanId: at.span[:], ParentSpanId: parent, TraceState: at.state, Flags: flags,
		Name: name, Kind: tracepb.Span_SpanKind(kind), StartTimeUnixNano: uint64(now.UnixNano()),
		Attributes: make([]*commonpb.KeyValue, 0, 8),
	}}
}

func newSpanID() (id [8]byte) {
	for id == [8]byte{} {
		_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	}
	return id
}

// Child implements span.Recorder.
func (r *recording) Child(kind span.Kind, name string) span.Recorder {
	at := r.at
	at.span = newSpanID()
	return r.t.record(at, r.at.span[:], kind, name)
}

// Recorded implements span.Recorder.
func (r *recording) Recorded() bool { return true }

// Place implements span.Recorder.
func (r *recording) Place() (string, string) { return r.at.String(), r.at.state }

// TraceID implements span.Recorder.
func (r *recording) TraceID() string { return hex.EncodeToString(r.at.trace[:]) }

// with calls do with the message until the span has ended.
func (r *recording) with(do func(*tracepb.Span)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		do(r.msg)
	}
}

// Rename implements span.Recorder.
func (r *recording) Rename(name string) {
	r.with(func(m *tracepb.Span) { m.Name = clean(name) })
}

// Text implements span.Recorder.
func (r *recording) Text(key span.Key, value string) {
	r.set(key, &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: clean(value)}})
}

// Int implements span.Recorder.
func (r *recording) Int(key span.Key, value int) {
	r.set(key, &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(value)}})
}

// Flag implements span.Recorder.
func (r *recording) Flag(key span.Key, value bool) {
	r.set(key, &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: value}})
}

func (r *recording) set(key span.Key, value *commonpb.AnyValue) {
	r.with(func(m *tracepb.Span) {
		for _, a := range m.Attributes {
			if a.Key == key.String() {
				a.Value = value
				return
			}
		}
		if len(m.Attributes) == maxAttributes {
			m.DroppedAttributesCount++
			return
		}
		m.Attributes = append(m.Attributes, &commonpb.KeyValue{Key: key.String(), Value: value})
	})
}

// Fail implements span.Recorder.
func (r *recording) Fail(kind string) {
	r.Text(span.ErrorType, kind)
	r.with(func(m *tracepb.Span) { m.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR} })
}

// Link implements span.Recorder.
func (r *recording) Link(to span.Recorder) {
	other, ok := to.(*recording)
	if !ok {
		return
	}
	r.with(func(m *tracepb.Span) {
		if len(m.Links) == maxLinks {
			m.DroppedLinksCount++
			return
		}
		m.Links = append(m.Links, &tracepb.Span_Link{TraceId: other.at.trace[:], SpanId: other.at.span[:],
			TraceState: other.at.state, Flags: uint32(other.at.flags)})
	})
}

// End implements span.Recorder.
func (r *recording) End() {
	r.mu.Lock()
	msg := r.msg
	if r.ended {
		r.mu.Unlock()
		return
	}
	r.ended, r.msg = true, nil
	r.mu.Unlock()
	// By the monotonic clock: one that is set meanwhile gives no span of negative length.
	msg.EndTimeUnixNano = msg.StartTimeUnixNano + uint64(time.Since(r.start))
	r.t.queue.put(msg)
}

// clean makes text that protobuf takes: UTF-8, and no more than maxText of it.
func clean(s string) string {
	if len(s) > maxText {
		cut := maxText
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// passing is a request whose trace nobody records here. Its place goes on, so that
// whoever is asked next does not record it either.
type passing struct{ at place }

func (p *passing) Child(span.Kind, string) span.Recorder { return nil }
func (p *passing) Recorded() bool                        { return false }
func (p *passing) Rename(string)                         {}
func (p *passing) Text(span.Key, string)                 {}
func (p *passing) Int(span.Key, int)                     {}
func (p *passing) Flag(span.Key, bool)                   {}
func (p *passing) Fail(string)                           {}
func (p *passing) Link(span.Recorder)                    {}
func (p *passing) Place() (string, string)               { return p.at.String(), p.at.state }
func (p *passing) TraceID() string                       { return hex.EncodeToString(p.at.trace[:]) }
func (p *passing) End()                                  {}
