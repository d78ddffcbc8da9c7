package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"reflect"
	"slices"

	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/follow"
	"github.com/evergate/evergate/proxy"
)

// waysOut are what the routes lead to, in their order.
type waysOut []*wayOut

// wayOut is one of them. Routes that say the same share it: its connections,
// what its targets may have at a time, and its health checks.
type wayOut struct {
	*proxy.Upstream
	config   *config.Upstream
	timeouts config.Timeouts
	host     string
	files    follow.Digest // what the files of its tls held
	part     *part         // nil until an edition holds it
}

// of returns the upstream of a route, made if no route before it has the same, and
// none had before. A nil log is for checking alone: the files that it names need not be
// there.
func (all *waysOut) of(r *config.Route, log *slog.Logger, before waysOut) (*proxy.Upstream, error) {
	files := follow.Look(tlsFiles(r.Upstream))
	same := func(u *wayOut) bool {
		return u.timeouts == r.Timeouts && u.host == r.Host && u.files == files && reflect.DeepEqual(u.config, r.Upstream)
	}
	if i := slices.IndexFunc(*all, same); i >= 0 {
		return (*all)[i].Upstream, nil
	}
	if i := slices.IndexFunc(before, same); i >= 0 {
		*all = append(*all, before[i])
		return before[i].Upstream, nil
	}
	o, err := upstreamOptions(r, log)
	if err != nil {
		return nil, err
	}
	way, err := proxy.NewUpstream(o)
	if err != nil {
		return nil, err
	}
	*all = append(*all, &wayOut{Upstream: way, config: r.Upstream, timeouts: r.Timeouts, host: r.Host, files: files})
	return way, nil
}

func tlsFiles(u *config.Upstream) (files []string) {
	if u == nil || u.TLS == nil {
		return nil
	}
	for _, f := range []string{u.TLS.CAFile, u.TLS.CertFile, u.TLS.KeyFile} {
		if f != "" {
			files = append(files, f)
		}
	}
	return files
}

var (
	balances  = map[string]proxy.Balance{"least_requests": proxy.LeastRequests, "round_robin": proxy.RoundRobin}
	protocols = map[string]proxy.Protocol{"auto": proxy.Auto, "http1": proxy.HTTP1, "h2": proxy.H2, "h2c": proxy.H2C}
)

func upstreamOptions(r *config.Route, log *slog.Logger) (proxy.UpstreamOptions, error) {
	u := r.Upstream
	o := proxy.UpstreamOptions{
		Balance: balances[u.Balance], Sticky: u.Sticky == "session", EjectAfter: u.Eject.After, EjectFor: u.Eject.For,
		SlowStart: u.SlowStart, Retries: u.Retries, Connections: u.Connections, Protocol: protocols[u.Protocol],
		ConnectTimeout: r.Timeouts.Connect, Timeout: r.Timeouts.ResponseHeader, IdleTimeout: r.Timeouts.Idle, Log: log,
	}
	switch r.Host {
	case "", config.HostPreserve:
	case config.HostUpstream:
		o.TargetHost = true
	default:
		o.Host = r.Host
	}
	if o.Timeout == 0 {
		o.Timeout = -1 // the file's zero is none
	}
	for _, t := range u.Targets {
		o.Targets = append(o.Targets, proxy.TargetOptions{URL: t.URL.String(), Weight: t.Weight})
	}
	if h := u.Health; h != nil {
		o.Health = &proxy.HealthOptions{Path: h.Path, Interval: h.Interval, Timeout: h.Timeout,
			UnhealthyAfter: h.UnhealthyAfter, HealthyAfter: h.HealthyAfter}
	}
	if t := u.TLS; t != nil {
		var err error
		if o.TLS, err = clientTLS(t.ServerName, t.CAFile, t.CertFile, t.KeyFile); err == nil {
			o.TLS.InsecureSkipVerify = t.InsecureSkipVerify
		} else if log != nil || !errors.Is(err, fs.ErrNotExist) {
			return o, fmt.Errorf("tls.%w", err)
		}
	}
	return o, nil
}

// checks tell the operator how each target is. One that several upstreams have
// is well if all of them say so.
func (all waysOut) checks() map[string]admin.Check {
	checks := map[string]admin.Check{}
	for _, u := range all {
		for i, state := range u.States() {
			name := "upstream " + state.Target
			before := checks[name]
			checks[name] = func(ctx context.Context) error {
				err := u.States()[i].Err
				if before != nil {
					err = errors.Join(before(ctx), err)
				}
				return err
			}
		}
	}
	return checks
}
