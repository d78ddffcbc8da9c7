package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/evergate/evergate/cmd/evergate/internal/door"
	"github.com/evergate/evergate/config"
)

// buildCertificates opens where the certificates of the gateway come from; nil
// where a front proxy speaks TLS.
func buildCertificates(cfg *config.Config, log *slog.Logger) (door.Certificates, error) {
	switch t := cfg.TLS; {
	case t.CertFile != "":
		files, err := door.OpenFiles(door.FilesOptions{CertFile: t.CertFile, KeyFile: t.KeyFile, Hosts: cfg.Hosts(), Log: log})
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		return files, nil
	case t.ACME != nil:
		o := door.ACMEOptions{Hosts: cfg.Hosts(), Email: t.ACME.Email, Directory: t.ACME.Directory.String(), Dir: filepath.Join(cfg.DataDir, "acme"), Log: log}
		if t.ACME.CAFile != "" {
			var err error
			if o.Roots, err = readRoots(t.ACME.CAFile); err != nil {
				return nil, fmt.Errorf("tls.acme.%w", err)
			}
		}
		return door.NewACME(o)
	}
	return nil, nil
}

// newDoor makes the public side of g.
func newDoor(requests context.Context, g *gateway, cfg *config.Config, log *slog.Logger) *door.Door {
	return door.New(door.Options{
		Handler: g.Public, Context: requests, Certificates: g.Certificates, Known: g.Known, Port: port(cfg.PublicURL),
		TrustedProxies: cfg.TrustedProxies, ProxyProtocol: cfg.ProxyProtocol,
		Limits: doorLimits(cfg), Log: log, ErrorLog: slog.New(debugOnly{log.Handler()}),
	})
}

// newForwardDoor makes the side of g where a proxy in front asks.
func newForwardDoor(requests context.Context, g *gateway, cfg *config.Config, log *slog.Logger) *door.Door {
	return door.New(door.Options{Handler: g.Forward, Context: requests, TrustedProxies: cfg.TrustedProxies,
		Limits: doorLimits(cfg), Log: log, ErrorLog: slog.New(debugOnly{log.Handler()})})
}

func doorLimits(cfg *config.Config) door.Limits {
	l := cfg.Limits
	return door.Limits{HeaderBytes: int(l.HeaderBytes), HeaderTimeout: l.HeaderTimeout, IdleTimeout: l.IdleTimeout,
		ConnectionsPerAddress: l.ConnectionsPerAddress, Streams: l.Streams}
}

// listeners are what the gateway serves on; redirect and forward may be nil. Nil is none.
type listeners struct {
	front, back, redirect, forward net.Listener
	given                          map[string]bool // those that a service manager opened, by name
}

// of is the place of the listener of a name.
func (l *listeners) of(name string) *net.Listener {
	return map[string]*net.Listener{door.Public: &l.front, door.Admin: &l.back, door.Redirect: &l.redirect, door.Forward: &l.forward}[name]
}

// named is a listener and its name.
type named struct {
	net.Listener
	name string
}

// all are those that there are.
func (l *listeners) all() (all []named) {
	for _, name := range []string{door.Public, door.Admin, door.Redirect, door.Forward} {
		if one := *l.of(name); one != nil {
			all = append(all, named{one, name})
		}
	}
	return all
}

func (l *listeners) Close() {
	if l == nil {
		return
	}
	for _, one := range l.all() {
		_ = one.Close()
	}
}

// openListeners takes the sockets that the service manager opened or that the process
// before hands over, and opens the others.
func openListeners(cfg *config.Config, before *predecessor) (_ *listeners, err error) {
	var sockets door.Sockets
	own := map[string]bool{}
	if before != nil {
		sockets, own = before.sockets, before.own
	} else if sockets, err = door.Activated(); err != nil {
		return nil, &hinted{err, "see deploy/systemd/evergate.socket, or stop the socket unit"}
	}
	defer sockets.Close()
	ls := &listeners{given: map[string]bool{}}
	defer func() {
		if err != nil {
			ls.Close()
		}
	}()
	for _, want := range []struct{ name, key, address string }{
		{door.Public, "listen", cfg.Listen}, {door.Admin, "admin.listen", cfg.Admin.Listen},
		{door.Redirect, "tls.redirect_http", cfg.TLS.RedirectHTTP}, {door.Forward, "forward_auth.listen", cfg.ForwardListen()},
	} {
		l := sockets.Take(want.name)
		if l != nil && own[want.name] && !listensAt(l, want.address) { // the config has changed meanwhile
			_ = l.Close()
			l = nil
		}
		switch {
		case l != nil && want.address == "":
			_ = l.Close()
			return nil, &hinted{fmt.Errorf("the service manager opened a socket for %s, which is not set", want.key), "set " + want.key + ", or remove the socket"}
		case l == nil && want.address != "":
			if l, err = listen(want.address, want.key); err != nil {
				return nil, err
			}
		case l != nil:
			ls.given[want.name] = !own[want.name]
		}
		*ls.of(want.name) = l
	}
	return ls, nil
}

// listensAt reports whether l is what listening at address gives.
func listensAt(l net.Listener, address string) bool {
	want, err := net.ResolveTCPAddr("tcp", address)
	has, ok := l.Addr().(*net.TCPAddr)
	if err != nil || !ok || address == "" {
		return false
	}
	anywhere := func(ip net.IP) bool { return len(ip) == 0 || ip.IsUnspecified() }
	return (want.Port == 0 || want.Port == has.Port) && (want.IP.Equal(has.IP) || anywhere(want.IP) && anywhere(has.IP))
}

// caught are the signals that ask for something, from the first moment on: one that
// comes too early waits, and none ends the gateway, such as that of a closed terminal.
type caught struct{ hangup, upgrade chan os.Signal }

func catchSignals() (c caught, stop func()) {
	c = caught{make(chan os.Signal, 1), make(chan os.Signal, 1)}
	signal.Notify(c.hangup, syscall.SIGHUP)
	notifyUpgrade(c.upgrade)
	return c, func() {
		signal.Stop(c.hangup)
		signal.Stop(c.upgrade)
	}
}

// onSignal calls f for each signal that comes, until stop, which waits for that.
func onSignal(signals <-chan os.Signal, f func()) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-signals:
				f()
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// serviceManager is told how the gateway does. READY=1 ends a start and a reload, and
// nothing else: it is never said before the gateway serves, nor once it goes down.
type serviceManager struct {
	log *slog.Logger

	mu   sync.Mutex // held while it is told something
	up   bool
	over bool
}

func (s *serviceManager) ready() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.up = true
		s.notify(door.Ready)
	}
}

func (s *serviceManager) stopping() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up, s.over = false, true
	s.notify(door.Stopping)
}

// handedOver says which process is the gateway from now on. Whatever this one does is
// not for the service manager any more.
func (s *serviceManager) handedOver(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up, s.over = false, true
	s.notify(door.MainPID(pid))
}

// reloading tells of a reload, which f is.
func (s *serviceManager) reloading(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up {
		s.notify(door.Reloading)
		defer s.notify(door.Ready)
	}
	f()
}

// notify tells the service manager. That it does not listen is no reason to stop.
func (s *serviceManager) notify(state door.State) {
	if err := door.Notify(state); err != nil {
		s.log.Warn("the service manager was not told", "err", err)
	}
}
