package dashboard

import (
	"context"
	"log/slog"
	"time"

	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/proxy"
	"github.com/evergate/evergate/session"
)

// Source is what the pages ask the parts of a gateway. Functions are called from several
// requests at once. Those that may be nil say what that means.
type Source struct {
	Version string
	Started time.Time
	// Now is the wall clock; nil is time.Now.
	Now func() time.Time
	// History is the last hour. It is required.
	History *History
	// Config is the one in force.
	Config func() *config.Config
	// Bad is why the file, as it was read last, is not in force; nil is that it is, or that
	// there is no file.
	Bad func() error
	// File compares the file with what is in force; nil where there is none.
	File func() admin.Running
	// Reload reads it again; nil where there is none.
	Reload func() admin.Reloaded
	// StoreName is where sessions lie, such as "bolt".
	StoreName string
	// Store asks whether it can be read, and Writes whether it can be written. Nil is
	// nothing to ask.
	Store, Writes func(context.Context) error
	// Sessions is nil where they lie in the browsers.
	Sessions Sessions
	// Providers and Upstreams are those of the config in force.
	Providers func() []Provider
	Upstreams func() []Upstream
	// Draining reports that the gateway goes down.
	Draining func() bool
	// Tell tells of what the operator does.
	Tell func(ctx context.Context, level slog.Level, msg string, e event.Event)
}

// Sessions is what is asked of the sessions. A session.Manager is one.
type Sessions interface {
	Latest(ctx context.Context, user string, n int) (newest []session.Info, total int, err error)
	Revoke(ctx context.Context, w session.Which) (int, error)
	Due(step time.Duration, n int) (inUse int, due []int)
}

// Provider is a way to sign in.
type Provider struct {
	Name string
	// Local has its users here, and no State.
	Local bool
	State oidc.State
}

// Upstream is what routes lead to.
type Upstream struct{ Targets []proxy.TargetState }
