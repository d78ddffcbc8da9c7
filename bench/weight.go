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
	var fresh, signedIn struct{ resident, own report.Rounds }
	for i := range b.starts {
		fmt.Fprintf(b.talk, "memory at rest, start %d of %d\n", i+1, b.starts)
		g, _, err := b.gateway(ctx, rig.GatewayOptions{Upstream: b.app.URL})
		if err != nil {
			return nil, "", err
		}
		for _, f := range []*struct{ resident, own report.Rounds }{&fresh, &signedIn} {
			if f == &signedIn {
				if _, err := g.SignIn(ctx); err != nil {
					return nil, "", err
				}
			}
			m, err := atRest(ctx, g.Process)
			if err != nil {
				return nil, "", err
			}
			f.resident, f.own = append(f.resident, float64(m.Resident)/mb), append(f.own, float64(m.Own)/mb)
		}
		if err := g.Stop(); err != nil {
			return nil, "", err
		}
	}
	row := func(name string, f struct{ resident, own report.Rounds }) []string {
		return []string{name, f.resident.Format("%.1f"), f.own.Format("%.1f")}
	}
	return []goal{
			atMost("the program, stripped", 30, " MB", "%.1f", report.Rounds{float64(fi.Size()) / mb}),
			atMost("resident memory, idle, after the start", 30, " MB", "%.1f", fresh.resident),
		}, "Memory of the gateway at rest, in MB; what is not its own are pages of files, the program's first of all:\n\n" +
			table([]string{"", "resident", "its own"}, row("after the start", fresh), row("after a sign-in with a password", signedIn)), nil
}

// atRest is the memory of a process that has had nothing to do for a while.
func atRest(ctx context.Context, p *rig.Process) (rig.Memory, error) {
	select {
	case <-ctx.Done():
		return rig.Memory{}, ctx.Err()
	case <-time.After(2 * time.Second):
		return p.Memory()
	}
}
