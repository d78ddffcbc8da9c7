package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/bench/internal/rig"
)

// settle is how long memory is left alone before it is read.
const settle = time.Second

// webSockets measures the memory of open WebSockets: what a process of its own takes more
// with so many of them, before anything was said and after each has said something.
func (b *bench) webSockets(ctx context.Context) ([]goal, string, error) {
	type held struct {
		name       string
		idle, said report.Rounds // bytes for each
	}
	ours, bare := &held{name: "Evergate"}, &held{name: "`httputil.ReverseProxy`"}
	for i := range b.few() {
		fmt.Fprintf(b.talk, "WebSockets, round %d of %d\n", i+1, b.few())
		g, cookies, err := b.gateway(ctx, rig.GatewayOptions{Upstream: b.app.URL})
		if err != nil {
			return nil, "", err
		}
		proxy, err := b.rig.Bare(ctx, b.app.URL)
		if err != nil {
			return nil, "", err
		}
		for j := range 2 {
			h, process, address := ours, g.Process, g.Address
			if (i+j)%2 == 1 {
				h, process, address = bare, proxy.Process, proxy.Address
			}
			idle, said, err := holdSockets(ctx, process, address, cookies, b.sockets)
			if err != nil {
				return nil, "", fmt.Errorf("%s: %w\n%s", h.name, err, process.Said())
			}
			h.idle, h.said = append(h.idle, idle), append(h.said, said)
		}
		proxy.Kill()
		if err := g.Stop(); err != nil {
			return nil, "", err
		}
	}
	kib := func(r report.Rounds) string {
		all := make(report.Rounds, len(r))
		for i := range r {
			all[i] = r[i] / 1024
		}
		return all.Format("%.1f")
	}
	var rows [][]string
	for _, h := range []*held{bare, ours} {
		rows = append(rows, []string{h.name, kib(h.idle), kib(h.said)})
	}
	return []goal{
			atMost("memory of an open WebSocket, idle", 1.2, " × bare", "%.2f", ours.idle.Over(bare.idle)),
			atMost("the same after a message each way", 1.2, " × bare", "%.2f", ours.said.Over(bare.said)),
		}, fmt.Sprintf("%s WebSockets, the side towards the app included, in KiB of memory of the process's own for each:\n\n", report.Count(b.sockets)) +
			table([]string{"", "idle", "after a message each way"}, rows...), nil
}

// holdSockets opens n WebSockets and returns the memory that each takes.
func holdSockets(ctx context.Context, p *rig.Process, address, cookies string, n int) (idle, said float64, err error) {
	if err := warmUp(ctx, address, cookies); err != nil {
		return 0, 0, err
	}
	before, err := settled(ctx, p)
	if err != nil {
		return 0, 0, err
	}
	all := make([]*socket, n)
	defer func() {
		for _, s := range all {
			if s != nil {
				_ = s.conn.Close()
			}
		}
	}()
	if err := each(all, func(i int) (err error) { all[i], err = openSocket(ctx, address, cookies); return err }); err != nil {
		return 0, 0, err
	}
	open, err := settled(ctx, p)
	if err != nil {
		return 0, 0, err
	}
	if err := each(all, func(i int) error { return all[i].echo() }); err != nil {
		return 0, 0, err
	}
	after, err := settled(ctx, p)
	return float64(open-before) / float64(n), float64(after-before) / float64(n), err
}

// each does something for all of them, some at a time.
func each(all []*socket, do func(i int) error) error {
	var wg sync.WaitGroup
	failed := make([]error, 8)
	for w := range failed {
		wg.Go(func() {
			for i := w; i < len(all) && failed[w] == nil; i += len(failed) {
				failed[w] = do(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

// warmUp has one WebSocket come and go, for what all of them need once.
func warmUp(ctx context.Context, address, cookies string) error {
	s, err := openSocket(ctx, address, cookies)
	if err != nil {
		return err
	}
	return errors.Join(s.echo(), s.conn.Close())
}

func settled(ctx context.Context, p *rig.Process) (int64, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(settle):
	}
	m, err := p.Memory()
	return m.Own, err
}

// socket is a WebSocket (RFC 6455) as far as it goes here.
type socket struct {
	conn net.Conn
	read *bufio.Reader
}

func openSocket(ctx context.Context, address, cookies string) (*socket, error) {
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open a WebSocket: %w", err)
	}
	s := &socket{conn, bufio.NewReaderSize(conn, 512)}
	err = func() error {
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", address, cookies); err != nil {
			return err
		}
		res, err := http.ReadResponse(s.read, nil)
		if err == nil && res.StatusCode != http.StatusSwitchingProtocols {
			err = fmt.Errorf("got %s, want 101", res.Status)
		}
		return err
	}()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a WebSocket: %w", err), conn.Close())
	}
	return s, conn.SetDeadline(time.Now().Add(10 * time.Minute))
}

// echo sends a message, and waits until it is back.
func (s *socket) echo() error {
	const message = "here"
	// A text frame of the client, masked by zeros (RFC 6455 section 5.3), and one of the server.
	if _, err := s.conn.Write(append([]byte{0x81, 0x80 | byte(len(message)), 0, 0, 0, 0}, message...)); err != nil {
		return fmt.Errorf("a message of a WebSocket: %w", err)
	}
	b := make([]byte, 2+len(message))
	if _, err := io.ReadFull(s.read, b); err != nil || !strings.HasSuffix(string(b), message) {
		return fmt.Errorf("a message of a WebSocket: got %q back, %v", b, err)
	}
	return nil
}
