package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// takeTunnel keeps what the tunnel needs of an answer that has changed the protocol, and
// returns what ReverseProxy is to stop for.
func (c *carriage) takeTunnel(res *http.Response) error {
	backend, ok := res.Body.(io.ReadWriteCloser)
	if !ok {
		return errors.New("the upstream changed the protocol on a connection that cannot be written to")
	}
	return c.takeOver(res, func(ctx context.Context, res *http.Response) { c.tunnelThrough(ctx, res, backend) })
}

// tunnelThrough carries bytes between the client and the upstream, until one of them ends
// or ctx does.
func (c *carriage) tunnelThrough(ctx context.Context, res *http.Response, backend io.ReadWriteCloser) {
	defer backend.Close()
	defer context.AfterFunc(ctx, func() { _ = backend.Close() })()
	t, err := c.changeOver(res)
	if err != nil {
		c.fail(c.route.Upstream, c.writer, err)
		return
	}
	t.carry(backend)
}

// changeOver takes the connection of the client and sends it the answer that changes its
// protocol.
func (c *carriage) changeOver(res *http.Response) (*tunnel, error) {
	conn, out, err := c.writer.Hijack()
	if err != nil {
		return nil, err
	}
	h := c.writer.Header()
	copyHeader(h, res.Header)
	res.Header, res.Body = h, nil // what follows the header is not its body
	if err = res.Write(out); err == nil {
		err = out.Flush()
	}
	*out.Writer = bufio.Writer{} // the server holds on to it, and never writes to it again
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c.tunnel, nil
}

// carry returns when both directions have ended. One that breaks ends the other; one that
// comes to its end closes its half, and the other goes on.
func (t *tunnel) carry(backend io.ReadWriteCloser) {
	end := func() {
		_ = backend.Close()
		_ = t.Conn.Close()
	}
	defer end()
	var up sync.WaitGroup
	up.Go(func() {
		if relay(backend, t) != nil {
			end()
		}
	})
	if relay(t, backend) != nil {
		end()
	}
	up.Wait()
}

// relay hands on what comes from src, and then that nothing more does.
func relay(dst io.Writer, src io.Reader) error {
	if err := pour(dst, src); err != nil {
		return err
	}
	if half, ok := dst.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
