package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/follow"
	"github.com/evergate/evergate/internal/metrics"
)

// apply puts a config in force. On an error nothing has changed.
func (g *gateway) apply(cfg *config.Config) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	if g.life.Err() != nil {
		return errors.New("the gateway goes down")
	}
	e, err := g.prepare(cfg)
	if err != nil {
		return err
	}
	if err := g.wire(e); err != nil {
		g.letGo(e)
		return err
	}
	if err := g.sessions.Reconfigure(e.settings); err != nil {
		g.letGo(e)
		return err
	}
	g.begin(e)
	return nil
}

// reloader reads the config of a gateway again.
type reloader struct {
	g    *gateway
	file string
	log  *slog.Logger
	told *serviceManager

	bad     atomic.Pointer[error]   // why the file as it was read last is not in force; nil is that it is
	refused atomic.Pointer[refusal] // the config that was read last, where it could be read and not be used

	seen follow.Reading // what was read last, whether it came into force or not, and whoever asked

	mu    sync.Mutex // one reload at a time; guards what follows
	files map[string]follow.Digest
}

// refusal is a config that was not taken, as it was then: it may be for a file that it
// alone names.
type refusal struct {
	cfg    *config.Config
	itself follow.Digest
	files  map[string]follow.Digest
}

// newReloader is for a gateway whose config was read from file. Files are what look saw
// before the gateway read them.
func newReloader(g *gateway, file string, files map[string]follow.Digest, log *slog.Logger, told *serviceManager) *reloader {
	r := &reloader{g: g, file: file, files: files, log: log, told: told}
	g.reloads, g.Admin.Beside["config"] = r, r.check
	if g.Admin.API != nil {
		g.Admin.API.Reload = func() admin.Reloaded { return r.reload(event.ByCommand) }
		g.Admin.API.Running = r.running
	}
	return r
}

// followed are the files that a config is made of, besides itself. Users, keys of the ring
// and the certificate are followed by those who have them, also while the rest of the
// config is bad; what is for the store and for ACME is read at the start.
func followed(cfg *config.Config) []string {
	own := append([]string{cfg.TLS.CertFile, cfg.TLS.KeyFile}, cfg.Keys.Files...)
	for _, id := range cfg.Identity {
		if id.Local != nil {
			own = append(own, id.Local.UsersFile)
		}
	}
	if a := cfg.TLS.ACME; a != nil {
		own = append(own, a.CAFile)
	}
	r := &cfg.Session.Redis
	own = append(own, r.PasswordFile, r.SentinelPasswordFile) // read at each connection
	if r.TLS != nil {
		own = append(own, r.TLS.CAFile, r.TLS.CertFile, r.TLS.KeyFile)
	}
	return slices.DeleteFunc(cfg.Files(), func(f string) bool { return slices.Contains(own, f) })
}

// look tells what the files of a config hold.
func look(cfg *config.Config) map[string]follow.Digest {
	all := map[string]follow.Digest{}
	for _, f := range followed(cfg) {
		all[f] = follow.Look([]string{f})
	}
	return all
}

// check is the part of /readyz. A gateway with a bad file serves on with the one of
// before, so it is as ready as it was: one wrong edit must not take all of them away.
func (r *reloader) check(context.Context) error {
	if bad := r.bad.Load(); bad != nil {
		return *bad
	}
	return nil
}

// follow reads the config again whenever its files hold something else, until Close. It
// begins with a look at whether they do since the gateway read them.
func (r *reloader) follow() *follow.Files {
	return follow.Start(follow.Options{Files: r.read, Seen: &r.seen, Settle: true, Changed: func() { r.reload(event.ByFile) }})
}

// read are the files that a reload reads. Where it has read a config that names others, the
// next look at those finds nothing to do.
func (r *reloader) read() []string {
	all := append([]string{r.file}, followed(r.g.config())...)
	if x := r.refused.Load(); x != nil {
		all = append(all, followed(x.cfg)...)
	}
	return all
}

// reload reads the config, and puts it in force if it is good.
func (r *reloader) reload(cause string) (out admin.Reloaded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.Read(r.read(), func() {
		if cause == event.ByFile && (r.same() || r.refusedAlready()) {
			out = admin.Reloaded{OK: true}
			return
		}
		r.told.reloading(func() { out = r.now(cause) })
	})
	return out
}

// same reports whether what the files say now is what is in force: a comment has changed,
// or the first look has found all as it was at the start. It is no reload then, for whoever
// is told of those.
func (r *reloader) same() bool {
	next, err := config.Load(r.file)
	return err == nil && r.bad.Load() == nil && len(config.Diff(r.g.config(), next)) == 0 && maps.Equal(look(next), r.files)
}

// refusedAlready reports whether nothing has changed but that the files of a config that was
// refused are followed, too. That was told.
func (r *reloader) refusedAlready() bool {
	x := r.refused.Load()
	return x != nil && x.itself == follow.Look([]string{r.file}) && maps.Equal(look(x.cfg), x.files)
}

func (r *reloader) now(cause string) admin.Reloaded {
	changed, err := r.load()
	if c := r.g.Certificates; c != nil {
		_ = c.Refresh() // which tells the log what is wrong
	}
	if err != nil {
		bad := fmt.Errorf("the config is bad, and the one of before is in force: %w", err)
		r.bad.Store(&bad)
		r.g.metrics.Reloaded(metrics.Rejected, time.Now())
		event.Tell(context.Background(), r.log, r.g.events.Hear, slog.LevelError, "the config cannot be used; the one of before stays in force",
			event.Event{Name: event.ConfigBad, Reason: cause, Err: err}, slog.String("file", r.file))
		return admin.Reloaded{Error: err.Error(), Drawn: drawn(err)}
	}
	r.bad.Store(nil)
	r.refused.Store(nil)
	r.g.metrics.Reloaded(metrics.Applied, time.Now())
	event.Tell(context.Background(), r.log, r.g.events.Hear, slog.LevelInfo, "the config was read again and is in force",
		event.Event{Name: event.ConfigReloaded, Reason: cause, Changed: changed}, slog.String("file", r.file), slog.Any("changed", changed))
	return admin.Reloaded{OK: true, Changed: changed}
}

// load does what can fail, and says what is another than before.
func (r *reloader) load() (changed []string, err error) {
	itself := follow.Look([]string{r.file}) // before it is read, so that no change is missed
	next, err := config.Load(r.file)
	if err != nil {
		r.refused.Store(nil) // what is said from now on is not of that
		return nil, err
	}
	now := r.g.config()
	files := look(next) // as above
	defer func() {
		if err != nil {
			r.refused.Store(&refusal{next, itself, files})
		}
	}()
	changed = config.Diff(now, next)
	said := len(changed) > 0 // a file that comes or goes with a key needs no word of its own
	for f, d := range files {
		if was, ok := r.files[f]; ok && was != d || !ok && !said {
			changed = append(changed, f)
		}
	}
	for f := range r.files {
		if _, ok := files[f]; !ok && !said {
			changed = append(changed, f)
		}
	}
	if faults := restartFaults(now, next, changed); len(faults) > 0 {
		return nil, faults
	}
	if len(changed) == 0 {
		r.files = files
		return nil, nil
	}
	if err := r.g.apply(next); err != nil {
		return nil, err
	}
	r.files = files
	for _, w := range next.Warnings() {
		r.log.Warn("config", "at", w.Error())
	}
	return changed, nil
}

// drawn shows faults with their lines of the file.
func drawn(err error) string {
	var b strings.Builder
	if faults, ok := errors.AsType[config.Faults](err); ok {
		faults.Draw(&b, false)
	}
	return b.String()
}
