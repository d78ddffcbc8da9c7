package proxy

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// takeEvents keeps an event stream, and returns what ReverseProxy is to stop for.
func (c *carriage) takeEvents(res *http.Response) error {
	return c.takeOver(res, func(_ context.Context, res *http.Response) { c.streamEvents(res) })
}

// streamEvents carries an event stream to its end as ReverseProxy would: each piece goes out
// as it comes.
func (c *carriage) streamEvents(res *http.Response) {
	defer res.Body.Close()
	w := c.writer
	h := w.Header()
	copyHeader(h, res.Header)
	announced := len(res.Trailer)
	if announced > 0 {
		h.Add("Trailer", strings.Join(slices.Collect(maps.Keys(res.Trailer)), ", "))
	}
	w.WriteHeader(res.StatusCode)
	if w.FlushError() != nil || pour(prompt{w}, telling{res.Body, c}) != nil {
		panic(http.ErrAbortHandler) // half a stream must not pass for a whole one
	}
	_ = res.Body.Close() // from here on the trailers are there
	if len(res.Trailer) > 0 {
		_ = w.FlushError() // without chunks there are no trailers
	}
	for name, values := range res.Trailer {
		if len(res.Trailer) != announced {
			name = http.TrailerPrefix + name
		}
		h[name] = append(h[name], values...)
	}
}

// prompt flushes what is written to it.
type prompt struct{ *writer }

// Write implements io.Writer.
func (w prompt) Write(p []byte) (int, error) {
	n, err := w.writer.Write(p)
	if err == nil {
		err = w.FlushError()
	}
	return n, err
}

// telling has the access line say why an upstream broke off.
type telling struct {
	io.Reader
	c *carriage
}

// Read implements io.Reader.
func (b telling) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF && b.c.in.Context().Err() == nil && b.c.note.Err == nil {
		b.c.note.Err = fmt.Errorf("the app broke off its event stream: %w", err)
	}
	return n, err
}
