package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/bench/internal/rig"
)

// weight reads how large the program is, and its memory after the start. That after somebody
// has signed in with a password is told beside.
func (b *bench) weight(ctx context.Context) ([]goal, string, error) {
	fi, err := os.Stat(b.rig.Evergate)
	if err != nil {
		return nil, "", err
	}
	const mb = 1e6
	type figures struct{ resident, own report.Rounds }
	var fresh, signedIn, later figures
	for i := range b.starts {
		fmt.Fprintf(b.talk, "memory at rest, start %d of %d\n", i+1, b.starts)
		g, _, err := b.gateway(ctx, rig.GatewayOptions{Upstream: b.app.URL})
		if err != nil {
			return nil, "", err
		}
		for _, f := range []*figures{&fresh, &signedIn, &later} {
			if f != &fresh && i >= signIns {
				break
			}
			rest := 2 * time.Second
			switch f {
			case &signedIn:
				if _, err := g.SignIn(ctx); err != nil {
					return nil, "", err
				}
			case &later:
				rest = forgotten
			}
			m, err := atRest(ctx, g.Process, rest)
			if err != nil {
				return nil, "", err
			}
			f.resident, f.own = append(f.resident, float64(m.Resident)/mb), append(f.own, float64(m.Own)/mb)
		}
		if err := g.Stop(); err != nil {
			return nil, "", err
		}
	}
	row := func(name string, f figures) []string {
		return []string{name, f.resident.Format("%.1f"), f.own.Format("%.1f")}
	}
	return []goal{
			atMost("the program, stripped", 30, " MB", "%.1f", report.Rounds{float64(fi.Size()) / mb}),
			atMost("resident memory, idle, after the start", 30, " MB", "%.1f", fresh.resident),
			atMost("the same, "+forgotten.String()+" after somebody has signed in with a password", 30, " MB", "%.1f", later.resident),
		}, "Memory of the gateway at rest, in MB; what is not its own are pages of files, the program's first of all:\n\n" +
			table([]string{"", "resident", "its own"}, row("after the start", fresh), row("after a sign-in with a password", signedIn),
				row(fmt.Sprintf("%s later", forgotten), later)), nil
}

const (
	signIns   = 3                // starts after which somebody signs in
	forgotten = 10 * time.Second // after which what that took is given back (internal/heap)
)

// atRest is the memory of a process that has had nothing to do for so long.
func atRest(ctx context.Context, p *rig.Process, rest time.Duration) (rig.Memory, error) {
	select {
	case <-ctx.Done():
		return rig.Memory{}, ctx.Err()
	case <-time.After(rest):
		return p.Memory()
	}
}
