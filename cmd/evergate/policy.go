package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/config"
)

// policies makes the policies of a config's routes. A rule that many routes share, by a
// set or by default, is made once.
type policies struct {
	cfg  *config.Config
	made map[string]*auth.Rule // by place
	bad  []error               // each a *auth.BadExpression
}

// newPolicies also looks at the rules of who may sign in at all.
func newPolicies(cfg *config.Config) *policies {
	p := &policies{cfg: cfg, made: map[string]*auth.Rule{}}
	for i, id := range cfg.Identity {
		if id.OIDC != nil {
			p.rules(config.Placed(id.OIDC.Allow, fmt.Sprintf("identity[%d].oidc.allow", i)))
		}
	}
	return p
}

// of is what the file says of who may use routes[i], as the gate asks it.
func (p *policies) of(i int) auth.Policy { return p.policy(p.cfg.Access(i)) }

func (p *policies) policy(a config.Access) auth.Policy {
	out := auth.Policy{Public: a.Public, Allow: p.rules(a.Allow), Deny: p.rules(a.Deny), Providers: a.Providers}
	if a.Observed != nil {
		observed := p.policy(*a.Observed)
		out.Observed = &observed
	}
	return out
}

// rules keeps nil apart from empty: nil lets anyone pass who is signed in.
func (p *policies) rules(in []config.PlacedRule) []*auth.Rule {
	if in == nil {
		return nil
	}
	out := make([]*auth.Rule, len(in))
	for i := range in {
		at := in[i].At
		if p.made[at] == nil {
			var err error
			if p.made[at], err = rule(&in[i]).Compiled(); err != nil {
				p.bad = append(p.bad, err)
			}
		}
		out[i] = p.made[at]
	}
	return out
}

func rule(r *config.PlacedRule) *auth.Rule {
	out := &auth.Rule{At: r.At, Users: r.Users, Emails: r.Emails, Groups: r.Groups, Providers: r.Providers, Methods: r.Methods,
		Networks: r.Networks, ACR: r.ACR, AMR: r.AMR, When: r.When}
	if r.MaxAuthAge != nil {
		out.MaxAuthAge = *r.MaxAuthAge
	}
	for _, path := range slices.Sorted(maps.Keys(r.Claims)) {
		c := r.Claims[path]
		claim := auth.ClaimRule{Path: path, AnyOf: c.AnyOf, Glob: c.Glob, Exists: c.Exists}
		if c.AnyOf == nil && c.Glob == "" && c.Exists == nil {
			claim.AnyOf = []string{c.Equals}
		}
		out.Claims = append(out.Claims, claim)
	}
	for i := range r.Times {
		var w auth.Window
		w.Days, w.From, w.To, w.Zone = r.Times[i].Bounds()
		out.Times = append(out.Times, w)
	}
	return out
}
