package curves

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/evergate/evergate/bench/internal/report"
)

// atOnce is how many requests are under way.
const atOnce = 8

// pool is open connections over which requests go in turn. Few requests are under way at
// once, however many connections there are: the others are open and idle.
type pool struct {
	addresses []string
	n         int // to each
	conns     []*conn
	requests  [][]byte
}

type conn struct {
	net.Conn
	r *bufio.Reader
}

// newPool opens n connections to each address. Requests name a host, ask for a path and
// have one of the Cookie headers each, in turn.
func newPool(ctx context.Context, addresses []string, n int, host, path string, cookies []string) (*pool, error) {
	p := &pool{addresses: addresses, n: n}
	for _, c := range cookies {
		p.requests = append(p.requests, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n\r\n", path, host, c))
	}
	return p, p.dial(ctx)
}

// dial opens the connections, in place of those that are open: a server closes them when
// they are idle for long.
func (p *pool) dial(ctx context.Context) error {
	p.Close()
	p.conns = nil
	for i := range p.n * len(p.addresses) {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.addresses[i%len(p.addresses)])
		if err != nil {
			p.Close()
			return fmt.Errorf("connection %d of %d: %w", i+1, p.n*len(p.addresses), err)
		}
		p.conns = append(p.conns, &conn{c, bufio.NewReaderSize(c, 4<<10)})
	}
	return nil
}

// Close closes the connections.
func (p *pool) Close() {
	for _, c := range p.conns {
		_ = c.Close()
	}
}

// run sends requests for a while, as fast as they are answered.
func (p *pool) run(ctx context.Context, d time.Duration) (report.Latencies, error) {
	end := time.Now().Add(d)
	return p.each(func(int) bool { return time.Now().Before(end) && ctx.Err() == nil })
}

// touch sends so many requests.
func (p *pool) touch(ctx context.Context, n int) (report.Latencies, error) {
	return p.each(func(i int) bool { return i < n && ctx.Err() == nil })
}

// each sends requests while more says so of the number that each has.
func (p *pool) each(more func(i int) bool) (report.Latencies, error) {
	workers := min(atOnce, len(p.conns))
	answered, failed := make([]report.Latencies, workers), make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i, own := w, w; more(i); i, own = i+workers, own+workers {
				if own >= len(p.conns) {
					own = w
				}
				began := time.Now()
				if err := p.conns[own].get(p.requests[i%len(p.requests)]); err != nil {
					failed[w] = fmt.Errorf("request %d: %w", i, err)
					return
				}
				answered[w] = append(answered[w], time.Since(began))
			}
		})
	}
	wg.Wait()
	all := report.Latencies(slices.Concat(answered...))
	slices.Sort(all)
	return all, errors.Join(failed...)
}

// get sends a request, and reads the app's KiB.
func (c *conn) get(request []byte) error {
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(request); err != nil {
		return err
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || n != 1<<10 {
		return fmt.Errorf("got status %d and %d bytes, want the app's KiB", res.StatusCode, n)
	}
	return nil
}
