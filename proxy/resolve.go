package proxy

import (
	"context"
	"net"
	"slices"
	"time"
)

// resolveEvery is how often host names are looked up anew.
const resolveEvery = 30 * time.Second

// watchAddresses notices when the name of t stops meaning an address that it
// meant, and then lets go of the connections to t: a service that has moved may
// leave something behind that still answers there. Those in use finish what they
// do. A look-up that fails changes nothing.
func (u *Upstream) watchAddresses(ctx context.Context, t *target) {
	resolver := u.options.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	var known []string
	for {
		lookup, cancel := context.WithTimeout(ctx, 5*time.Second)
		found, err := resolver.LookupHost(lookup, t.url.Hostname())
		cancel()
		if err == nil && len(found) > 0 {
			if slices.ContainsFunc(known, func(a string) bool { return !slices.Contains(found, a) }) {
				u.log.Info("the name of a target means other addresses now; its connections are made anew", "upstream", t.name,
					"addresses", found)
				t.lines.Swap(newLines(&u.options, t)).closeIdle()
			}
			known = found
		}
		pause := time.NewTimer(u.resolveEvery)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}
