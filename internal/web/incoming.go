package web

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// bodyTime bounds how long the gateway's own pages wait for a body. It is cleared
	// for those who take one over.
	bodyTime = 10 * time.Second
	// drainTime bounds how long net/http goes on reading a body that nobody wanted
	// once the answer is out.
	drainTime = time.Second
)

// incoming is the body of a request. In HTTP/1, where the answer begins before the
// body has come to its end, the connection ends with the answer: what is left of
// the body would be read as the next request, and a client that never sends it
// would hold the answer back.
//
// It ends as well where the length could be counted in another way than net/http does,
// which takes chunks over a Content-Length and does not say that there was one: a proxy in
// front that counts otherwise would have what follows pass for somebody else's request. RFC
// 9112 section 6.1 demands it, and of HTTP/1.0 too, where net/http ignores chunks.
type incoming struct {
	io.ReadCloser
	conn  *http.ResponseController
	whole bool          // the connection is this request's alone: HTTP/1
	twice bool          // its length may have been given in two ways
	ended atomic.Bool   // it was read to its end
	taken bool          // somebody reads it for as long as it comes
	most  time.Duration // …but no longer than this, from its start; zero is no limit
	start time.Time

	mu   sync.Mutex // held while reading
	over bool       // nothing is read any more
}

// watchBody puts an incoming in the place of the body of r, if it has one that
// can be cut short.
func watchBody(w http.ResponseWriter, r *http.Request, most time.Duration) *incoming {
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	in := &incoming{ReadCloser: r.Body, conn: http.NewResponseController(w), whole: r.ProtoMajor == 1, most: most, start: time.Now()}
	in.twice = in.whole && (len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1))
	r.Body = in
	own := bodyTime
	if most > 0 {
		own = min(own, most)
	}
	in.deadline(in.start.Add(own))
	return in
}

// deadline is for the connection. Where that has none, in tests, nobody waits.
func (in *incoming) deadline(t time.Time) { _ = in.conn.SetReadDeadline(t) }

// Read implements io.Reader.
func (in *incoming) Read(p []byte) (int, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := in.ReadCloser.Read(p)
	if err == io.EOF && !in.ended.Swap(true) {
		// From here on net/http itself reads, to see the client go away.
		in.deadline(time.Time{})
	}
	return n, err
}

// answering is called as the answer begins.
func (in *incoming) answering(h http.Header) {
	if in == nil {
		return
	}
	ended := in.ended.Load()
	if in.twice || in.whole && !ended {
		h.Set("Connection", "close")
	}
	if !ended && !in.taken {
		in.deadline(time.Now().Add(drainTime))
	}
}

// TakeBody lets the body of a request come for as long as the client sends it, or
// for as long as Options.RequestTimeout lets it. Done ends that: when it returns, nobody reads the body any more. The context is
// that of the request.
func TakeBody(ctx context.Context) (done func()) {
	in := NoteOf(ctx).body
	if in == nil {
		return func() {}
	}
	in.taken = true
	if in.most > 0 {
		in.deadline(in.start.Add(in.most))
	} else {
		in.deadline(time.Time{})
	}
	return func() {
		if in.ended.Load() {
			return
		}
		in.deadline(time.Unix(1, 0)) // wakes whoever reads
		in.mu.Lock()
		defer in.mu.Unlock()
		in.over = true
		// net/http takes a look at the rest, and hangs up gently where there is much of
		// it: a reset would take the answer with it.
		in.deadline(time.Now().Add(drainTime))
	}
}

// IsBodyLate reports whether the body of a request had come to no end when its time,
// Options.RequestTimeout, was over. The context is that of the request.
func IsBodyLate(ctx context.Context) bool { return NoteOf(ctx).body.tooLate() }

// tooLate reports whether the body did not arrive in time. A transport tells that as
// a failure of the upstream.
func (in *incoming) tooLate() bool {
	return in != nil && in.taken && in.most > 0 && !in.ended.Load() && time.Since(in.start) >= in.most
}

func tooSlow(err error) *Error {
	return &Error{Status: http.StatusRequestTimeout, Code: "request_too_slow", Title: "That took too long to arrive",
		Detail: "What was sent did not arrive within the time that this gateway waits. Nothing is lost on your side: try again, over a better connection if there is one.", Err: err}
}
