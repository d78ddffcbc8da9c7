package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
)

// WebSockets and event streams lie idle for most of their lives, and a gateway has thousands
// of them. What ReverseProxy holds for one meanwhile is a buffer of 32 KiB for each direction,
// the request that it sent up, and deep stacks. So the gateway takes over where an answer turns
// out to be one of them: ReverseProxy is told of an error that nobody hears of, and returns;
// what goes on has buffers as large as what comes.

// idleBuffer is what a direction holds while nothing comes: most messages fit in.
const idleBuffer = 1 << 10

// errTakenOver ends ReverseProxy's part. Nobody is answered with it.
var errTakenOver = errors.New("the answer goes on without ReverseProxy")

// takeOver has goOn carry an answer, and returns what ReverseProxy is to stop for.
func (c *carriage) takeOver(res *http.Response, goOn func(context.Context, *http.Response)) error {
	body := res.Body
	c.goOn = func(ctx context.Context) {
		res.Body = body
		goOn(ctx, res)
	}
	res.Request = nil      // what was sent up has come to its end
	res.Body = http.NoBody // ReverseProxy closes the body of what it does not carry
	return errTakenOver
}

// pour writes what comes from src to dst, to its end.
func pour(dst io.Writer, src io.Reader) error {
	buf := make([]byte, idleBuffer)
	for {
		n, err := pourOnce(dst, src, buf)
		if err == nil && n == len(buf) {
			err = pourMuch(dst, src)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// pourMuch is for when there is more than usual: it has a large buffer, for as long as
// that is filled.
func pourMuch(dst io.Writer, src io.Reader) error {
	buf := buffers{}.Get()
	defer buffers{}.Put(buf)
	for {
		if n, err := pourOnce(dst, src, buf); err != nil || n < len(buf) {
			return err
		}
	}
}

func pourOnce(dst io.Writer, src io.Reader, buf []byte) (int, error) {
	n, err := src.Read(buf)
	if n > 0 {
		if _, err := dst.Write(buf[:n]); err != nil {
			return n, err
		}
	}
	return n, err
}

// copyHeader adds what is in src to dst.
func copyHeader(dst, src http.Header) {
	for name, values := range src {
		dst[name] = append(dst[name], values...)
	}
}
