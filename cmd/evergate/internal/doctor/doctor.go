// Package doctor looks at everything that a gateway depends on, one question a line: the
// provider, the store, the upstreams, names, certificates, files and the gateway that
// runs. Where something is wrong it says what to do.
//
// It asks what a gateway asks, with the parts that a gateway is made of, so that what it
// finds is what the gateway meets. It changes nothing: the one record that it writes into
// the store is its own, and is taken away.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/proxy"
	"github.com/evergate/evergate/session/redis"
)

// Status is how something is.
type Status string

// A Warn works and should be looked at; a Fail keeps people out, or will. A Skip could
// not be told, and says why.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "FAIL"
	Skip Status = "skip"
)

// Finding is the answer to one question. The names of its fields in JSON stay.
type Finding struct {
	Status Status `json:"status"`
	// Probe is the question's name, one of Probes.
	Probe string `json:"probe"`
	// About is what was asked: a provider, a target, a host, a file.
	About string `json:"about,omitempty"`
	// Text is what was found, Mend what to do about it.
	Text string `json:"text"`
	Mend string `json:"mend,omitempty"`
}

// Patient is what is looked at.
type Patient struct {
	Config *config.Config
	// File is where Config was read from.
	File string
	// Warnings is how much `evergate check` has to say of it.
	Warnings int
	// Cookie is the name of the session cookie.
	Cookie string

	// How the gateway makes its parts of the config.
	Provider func(*config.OIDC) (oidc.Config, error)
	Upstream func(*config.Route) (proxy.UpstreamOptions, error)
	Redis    func() (redis.Options, error)

	// Public and Admin are where the listeners are reached from here, and Running asks the
	// latter, with its token, which config is in force.
	Public, Admin string
	Running       func(context.Context) (admin.Running, error)

	// Now is the wall clock; nil is time.Now.
	Now func() time.Time
	// Patience bounds every question; zero is 10 s.
	Patience time.Duration

	alive bool // a gateway answers at Admin
}

// Probe is a question that is asked.
type Probe struct{ Name, Asks string }

// Probes are all that there are, in the order of the output.
var Probes = []Probe{
	{"config", "is the config sound"},
	{"files.data_dir", "is `data_dir` for its owner alone, and writable"},
	{"files.secrets", "is every file with a secret (key ring, users, client secrets, TLS keys, `admin.token`) there and for its owner alone, or of root and for the gateway's group"},
	{"gateway.admin", "does a gateway answer on the admin listener, and is it ready"},
	{"gateway.config", "does it run with this file, and is what the file says in force"},
	{"gateway.public_url", "does `public_url` lead to the gateway that runs, through whatever stands in front of it"},
	{"gateway.forward_auth", "does the proxy in front ask about a page that is not open, in the dialect that is set"},
	{"gateway.listen", "is each address to listen on free, or held by that gateway"},
	{"store.round_trip", "can a record be written, read and removed, and how long does that take"},
	{"store.settings", "Redis: its version, client-side caching, whether it evicts sessions, whether it keeps them over a restart"},
	{"store.clock", "Redis: how far its clock is from this machine's"},
	{"provider.discovery", "is the metadata document there, and is the issuer in it the one that is configured"},
	{"provider.offers", "does the provider list what Evergate needs: code, PKCE with S256, the scopes, `offline_access`, a way of client authentication, DPoP where that is set"},
	{"provider.keys", "are there keys that can check its ID tokens"},
	{"provider.clock", "how far is its clock from this machine's, by the `Date` header"},
	{"provider.client", "does the token endpoint know the client, asked with a made-up code"},
	{"provider.redirect_uri", "does the authorization endpoint take the redirect URI, asked with `prompt=none`"},
	{"provider.logout", "can people be signed out: end_session, back-channel, revocation"},
	{"provider.refresh", "with `--sign-in`: is there a refresh token, and does a refresh work"},
	{"provider.rotation", "with `--sign-in`: does a refresh replace the refresh token, is the old one refused, does its reuse end the whole grant"},
	{"provider.revocation", "with `--sign-in`: is what a sign-in gave given back"},
	{"upstream", "does each target take a connection, is its certificate good, and what does it answer to `GET /`"},
	{"upstream.health", "does it pass the health check that is configured"},
	{"dns", "are the names of `public_url` and of the routes known"},
	{"tls", "are the certificate files for all hosts, and for how long"},
	{"cookie", "will browsers keep the session cookie on each host, and who else gets it"},
}

const (
	patience = 10 * time.Second
	// grace is for what does not look at its context.
	grace = 2 * time.Second
)

// group is some questions of which each needs the answer to the one before.
type group struct {
	probe, about string // named if it does not end
	ask          func(context.Context) []Finding
}

// Examine asks everything, side by side, and returns the answers in the order of Probes.
func Examine(ctx context.Context, p *Patient) []Finding {
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Patience == 0 {
		p.Patience = patience
	}
	p.alive = p.livez(ctx)
	groups := p.groups()
	answers := make([][]Finding, len(groups))
	var wg sync.WaitGroup
	for i, g := range groups {
		wg.Go(func() { answers[i] = g.bounded(ctx, p.Patience) })
	}
	wg.Wait()
	return sorted(slices.Concat(answers...))
}

func (p *Patient) groups() []group {
	all := []group{
		{"config", "", func(context.Context) []Finding { return p.config() }},
		{"files.data_dir", "", func(context.Context) []Finding { return p.files() }},
		{"gateway.admin", "", p.gateway},
		{"gateway.forward_auth", "", p.asked},
		{"gateway.listen", "", p.listening},
		{"store.round_trip", p.Config.Session.Store, p.store},
		{"dns", "", p.names},
		{"tls", "", p.certificates},
		{"cookie", "", func(context.Context) []Finding { return p.cookies() }},
	}
	for _, o := range p.Config.Providers() {
		all = append(all, group{"provider.discovery", o.Name, func(ctx context.Context) []Finding { return p.provider(ctx, o) }})
	}
	return append(all, p.upstreams()...)
}

// bounded ends after a while, even where what it asks does not.
func (g *group) bounded(ctx context.Context, most time.Duration) []Finding {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	done := make(chan []Finding, 1)
	go func() { done <- g.ask(ctx) }()
	select {
	case found := <-done:
		return found
	case <-time.After(most + grace):
		return []Finding{{Fail, g.probe, g.about, fmt.Sprintf("there was no answer within %s", most+grace), "look whether what it asks hangs: a disk, a firewall that drops packets, a server that accepts and says nothing"}}
	}
}

// sorted puts findings in the order of Probes, and of one provider or target together.
func sorted(all []Finding) []Finding {
	order := map[string]int{}
	for i, p := range Probes {
		order[p.Name] = i
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return order[a.Probe] - order[b.Probe] })
	return all
}

// Merge puts what a sign-in showed in the place of the lines that say that it has not
// been tried.
func Merge(all, signIn []Finding) []Finding {
	all = slices.DeleteFunc(slices.Clone(all), func(f Finding) bool {
		return f.Status == Skip && slices.ContainsFunc(signIn, func(s Finding) bool { return s.Probe == f.Probe && s.About == f.About })
	})
	return sorted(append(all, signIn...))
}

// Failed reports whether something keeps people out.
func Failed(all []Finding) bool {
	return slices.ContainsFunc(all, func(f Finding) bool { return f.Status == Fail })
}

func (p *Patient) config() []Finding {
	f := Finding{OK, "config", "", p.File + " is sound", ""}
	if p.Warnings > 0 {
		f.Status, f.Text = Warn, fmt.Sprintf("%s is sound, but for %d of its lines there is a warning", p.File, p.Warnings)
		f.Mend = "evergate check " + p.File
	}
	return []Finding{f}
}

// round is a duration fit to read.
func round(d time.Duration) string {
	switch {
	case d.Abs() >= 10*time.Second:
		return d.Round(time.Second).String()
	case d.Abs() >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d.Abs() >= time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
