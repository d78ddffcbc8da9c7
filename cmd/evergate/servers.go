package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/door"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/event"
)

// servers are what a gateway serves with.
type servers struct {
	g       *gateway
	log     *slog.Logger
	told    *serviceManager
	public  *door.Door
	forward *door.Door // where a proxy in front asks; nil where none does
	private *http.Server

	draining    atomic.Bool
	endRequests context.CancelFunc // for those that have no end of their own
	failed      chan error         // one for each of them
	running     int
}

// startServers serves on ls.
func startServers(g *gateway, log *slog.Logger, ls *listeners, told *serviceManager) *servers {
	s := &servers{g: g, log: log, told: told, failed: make(chan error, 3), running: 2}
	g.Admin.Draining = s.draining.Load
	requests, end := context.WithCancel(context.Background())
	s.endRequests = end
	s.public = newDoor(requests, g, g.config(), log)
	if ls.forward != nil {
		s.forward = newForwardDoor(requests, g, g.config(), log)
		s.running++
		go func() { s.failed <- s.forward.Serve(ls.forward, nil) }()
	}
	open := s.open
	g.open.Store(&open)
	g.Applied = func(cfg *config.Config) {
		for _, d := range s.doors() {
			d.Reconfigure(cfg.Limits.ConnectionsPerAddress, cfg.TrustedProxies)
		}
	}
	s.private = &http.Server{Handler: g.Admin, ReadHeaderTimeout: 5 * time.Second,
		ErrorLog: slog.NewLogLogger(debugOnly{log.Handler()}, slog.LevelDebug)}
	s.private.RegisterOnShutdown(g.dashboard.EndStreams)
	go func() { s.failed <- s.public.Serve(ls.front, ls.redirect) }()
	go func() { s.failed <- serveOn(s.private, ls.back) }()
	at := []any{"listen", ls.front.Addr().String(), "admin", ls.back.Addr().String(), "version", version}
	if ls.forward != nil {
		at = append(at, "forward_auth", ls.forward.Addr().String())
	}
	log.Info("evergate is up", at...)
	g.events.Hear(context.Background(), event.Event{Name: event.GatewayStarted, At: time.Now(), Part: version})
	told.ready()
	return s
}

// doors are where requests come in.
func (s *servers) doors() []*door.Door {
	if s.forward == nil {
		return []*door.Door{s.public}
	}
	return []*door.Door{s.public, s.forward}
}

// run serves until ctx ends or another process takes over, then lets requests finish.
// Sockets are closed then, if set. On errTakenBack the gateway is closed, and rest waits
// for the requests that were under way.
func (s *servers) run(ctx context.Context, moves <-chan *successor, sockets *listeners, rest *sync.WaitGroup) error {
	for {
		select {
		case <-ctx.Done():
			most := s.g.config().Limits.ShutdownTimeout
			s.log.Info("going down: requests may finish, a second signal ends at once", "within", most)
			return s.goDown(nil, most, sockets)
		case err := <-s.failed:
			s.running--
			return s.goDown(err, s.g.config().Limits.ShutdownTimeout, sockets)
		case next := <-moves:
			if done, err := s.handOver(next, sockets, rest); done {
				return err
			}
		}
	}
}

// gently is for how long clients are told with each answer that their connection is not
// kept, before those that are idle are closed.
const gently = time.Second

// goDown ends what was served.
func (s *servers) goDown(first error, most time.Duration, sockets *listeners) error {
	s.told.stopping()
	s.g.events.Hear(context.Background(), event.Event{Name: event.GatewayStopped, At: time.Now(), Part: version, Err: first})
	sockets.Close() // nobody waits in a queue that nothing comes out of
	shut, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	// Half of the time is for requests that end by themselves, then those are told that
	// may have no end.
	nudge := time.AfterFunc(most/2, s.endRequests)
	defer nudge.Stop()
	s.leave()
	return errors.Join(first, s.finish(shut))
}

// leave takes no new connection, has streams come again, and tells clients with each
// answer that their connection ends.
func (s *servers) leave() {
	s.draining.Store(true)
	s.g.leaving.Store(true)
	for _, d := range s.doors() {
		d.Stop()
	}
	s.g.streams.End()
	for end := time.Now().Add(gently); s.open() > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
}

// open is how many connections there are.
func (s *servers) open() (all int64) {
	for _, d := range s.doors() {
		all += int64(d.Open())
	}
	return all
}

// leavePrivate has the operator's questions answered by the next process. Whoever asked
// for that gets an answer.
func (s *servers) leavePrivate() {
	ctx, cancel := context.WithTimeout(context.Background(), gently)
	defer cancel()
	_ = s.private.Shutdown(ctx)
}

// finish waits for requests under way until ctx ends, then cuts them short.
func (s *servers) finish(ctx context.Context) error {
	context.AfterFunc(ctx, s.endRequests)
	err := s.public.Shutdown(ctx)
	if s.forward != nil { // a request that the front proxy is at may be asked about until then
		err = errors.Join(err, s.forward.Shutdown(ctx))
	}
	s.endRequests()
	err = errors.Join(ignoreDeadline(err), s.private.Shutdown(ctx))
	for _, d := range s.doors() {
		_ = d.Close()
	}
	_ = s.private.Close()
	for ; s.running > 0; s.running-- {
		err = errors.Join(err, <-s.failed)
	}
	return err
}

func ignoreDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

func serveOn(s *http.Server, l net.Listener) error {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

func closeLogged(log *slog.Logger, c io.Closer) {
	if err := c.Close(); err != nil {
		log.Error("closing", "err", err)
	}
}
