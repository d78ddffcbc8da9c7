package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/cmd/evergate/internal/door"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/follow"
)

// One process hands over to the next in these words, over two pipes:
//
//	old                                   new
//	starts it with the sockets ─────────▶ reads the config, tries what can be tried
//	                             "ready" ◀┘
//	takes nothing new, lets requests
//	finish, closes the session file
//	└"go" ──────────────────────────────▶ opens the session file, serves
//	ends                            "up" ◀┘
//
// Both have the sockets, so that connections that come meanwhile wait in the kernel's
// queue. Until "ready" nothing has happened to the old one; a new one that ends after
// that leaves the old one to open everything again.
const (
	wordReady = "ready"
	wordGo    = "go"
	wordNo    = "no"
	wordUp    = "up"
)

const (
	// readyTime is how long the new process may take to look at its config.
	readyTime = 30 * time.Second
	// upTime is how long it may take to serve, while clients wait.
	upTime = 15 * time.Second
	// finishTime is how long requests under way hold up the hand-over of a session file,
	// for new ones wait meanwhile. They go on afterwards, without the sessions.
	finishTime = 2 * time.Second
	// orphanTime bounds how long a new process waits for its turn.
	orphanTime = 5 * time.Minute
)

// handoverEnv names the sockets that a process was started with.
const handoverEnv = "EVERGATE_HANDOVER"

// errTakenBack reports that the next process did not take over, though this one had
// closed what it would have taken.
var errTakenBack = errors.New("the next process did not take over")

// predecessor is the process before this one. Nil is none.
type predecessor struct {
	sockets door.Sockets
	own     map[string]bool // which were opened by a gateway, and not by a service manager
	in      *os.File
	out     *os.File
}

func (p *predecessor) Close() {
	if p == nil {
		return
	}
	p.sockets.Close()
	_ = p.in.Close()
	_ = p.out.Close()
}

// await says that this process can take over, and waits for its turn. Where the one
// before ended without a word its sockets and files are free.
func (p *predecessor) await(ctx context.Context) error {
	if _, err := fmt.Fprintln(p.out, wordReady); err != nil {
		return fmt.Errorf("tell the process before: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = p.in.SetReadDeadline(time.Unix(1, 0)) })()
	_ = p.in.SetReadDeadline(time.Now().Add(orphanTime))
	word, err := bufio.NewReader(p.in).ReadString('\n')
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("wait for the process before: %w", err)
	case strings.TrimSpace(word) != wordGo:
		return errors.New("the process before does not hand over after all")
	}
	return nil
}

// up says that this process serves.
func (p *predecessor) up() error {
	if p == nil {
		return nil
	}
	_, err := fmt.Fprintln(p.out, wordUp)
	if errors.Is(err, os.ErrClosed) || errors.Is(err, errPipe) {
		return nil // it has ended
	}
	return err
}

// rehearse tries what can be tried while another process has the session file.
func rehearse(cfg *config.Config, log *slog.Logger) error {
	if _, _, err := buildRouter(cfg, log, nil); err != nil {
		return err
	}
	if _, err := checkUsers(cfg); err != nil {
		return err
	}
	if _, err := loadRing(cfg.Keys.Files, cfg.DataDir, new(follow.Reading)); err != nil {
		return err
	}
	providers, err := buildProviders(cfg, log, nil, nil, nil)
	if err != nil {
		return err
	}
	for _, p := range providers {
		_ = p.Close()
	}
	if cfg.TLS.CertFile == "" {
		return nil
	}
	certificates, err := buildCertificates(cfg, log)
	if err != nil {
		return err
	}
	return certificates.Close()
}

// successor is a process that is to take this one's place.
type successor struct {
	pid   int
	in    io.WriteCloser
	words <-chan string // what it says; closed when it has ended
	kill  func()
}

// hear waits for a word.
func (n *successor) hear(ctx context.Context, word string, most time.Duration) error {
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case <-ctx.Done():
		return errors.New("the gateway goes down")
	case got, ok := <-n.words:
		switch {
		case !ok:
			return errors.New("it ended; what it wrote says why")
		case got != word:
			return fmt.Errorf("it says %q", got)
		}
		return nil
	case <-late.C:
		return fmt.Errorf("it has not said %q within %s", word, most)
	}
}

// takeOver gives it the word, and waits until it serves.
func (n *successor) takeOver() error {
	if _, err := fmt.Fprintln(n.in, wordGo); err != nil {
		return fmt.Errorf("tell it: %w", err)
	}
	return n.hear(context.Background(), wordUp, upTime)
}

// drop ends it.
func (n *successor) drop() {
	_, _ = fmt.Fprintln(n.in, wordNo)
	_ = n.in.Close()
	n.kill()
	for range n.words { // until it has ended
		continue
	}
}

// upgrader starts successors.
type upgrader struct {
	sockets *listeners
	log     *slog.Logger
	moves   chan *successor // those that are ready

	busy atomic.Bool
	life context.Context
	end  context.CancelFunc
}

func newUpgrader(sockets *listeners, log *slog.Logger, api *admin.API) *upgrader {
	u := &upgrader{sockets: sockets, log: log, moves: make(chan *successor)}
	u.life, u.end = context.WithCancel(context.Background())
	if api != nil {
		api.Upgrade = u.upgrade
	}
	return u
}

// start listens to the signal, until stop.
func (u *upgrader) start(signals <-chan os.Signal) (stop func()) {
	quiet := onSignal(signals, func() { _, _ = u.upgrade() }) // which tells the log
	return func() {
		u.end()
		quiet()
	}
}

// upgrade starts the program anew and has it take over as soon as it is ready. It returns
// then; whoever serves does the rest.
func (u *upgrader) upgrade() (pid int, err error) {
	if !u.busy.CompareAndSwap(false, true) {
		return 0, errors.New("another process is being started already")
	}
	defer u.busy.Store(false)
	u.log.Info("starting the process that is to take over", "event", "handover.start", "program", self)
	next, err := u.sockets.startSuccessor()
	if err == nil {
		if err = next.hear(u.life, wordReady, readyTime); err != nil {
			next.drop()
		}
	}
	if err != nil {
		u.log.Error("no process could take over, and this one serves on", "event", "handover.failed", "err", err)
		return 0, fmt.Errorf("the new process cannot take over, and the one of before serves on: %w", err)
	}
	select {
	case u.moves <- next:
		return next.pid, nil
	case <-u.life.Done():
		next.drop()
		return 0, errors.New("the gateway goes down")
	}
}

// handOver has next serve in place of s. Done is false where s serves on.
func (s *servers) handOver(next *successor, sockets *listeners, rest *sync.WaitGroup) (done bool, err error) {
	cfg := s.g.config()
	s.log.Info("handing over", "event", "handover.begin", "pid", next.pid)
	if cfg.Session.Store == "redis" { // both may serve at once
		if err := next.takeOver(); err != nil {
			next.drop()
			s.log.Error("the new process did not take over, and this one serves on", "event", "handover.failed", "pid", next.pid, "err", err)
			return false, nil
		}
		s.told.handedOver(next.pid)
		s.log.Info("handed over; requests under way may finish", "event", "handover.done", "pid", next.pid, "within", cfg.Limits.ShutdownTimeout)
		sockets.Close()
		s.leavePrivate()
		shut, cancel := context.WithTimeout(context.Background(), cfg.Limits.ShutdownTimeout)
		defer cancel()
		s.leave()
		return true, s.finish(shut)
	}
	s.leave()
	shut, cancel := context.WithTimeout(context.Background(), cfg.Limits.ShutdownTimeout)
	finished := make(chan struct{})
	var finish error
	rest.Go(func() {
		defer cancel()
		defer close(finished)
		finish = s.finish(shut)
	})
	s.leavePrivate()
	select {
	case <-finished:
	case <-time.After(finishTime):
	}
	if err := errors.Join(s.g.sessions.Leave(), s.g.Close()); err != nil {
		s.log.Error("closing", "err", err)
	}
	if err := next.takeOver(); err != nil {
		next.drop()
		s.log.Error("the new process did not take over; this one opens everything again", "event", "handover.failed", "pid", next.pid, "err", err)
		return true, errTakenBack
	}
	s.told.handedOver(next.pid)
	s.log.Info("handed over", "event", "handover.done", "pid", next.pid)
	<-finished
	return true, finish
}
