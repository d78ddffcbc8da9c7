package main

import (
	"maps"
	"slices"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/config"
)

// policy is what the file says of who may use a route, as the gate asks it.
func policy(a config.Access) auth.Policy {
	out := auth.Policy{Public: a.Public, Allow: rules(a.Allow), Deny: rules(a.Deny), Providers: a.Providers}
	if a.Observed != nil {
		observed := policy(*a.Observed)
		out.Observed = &observed
	}
	return out
}

// rules keeps nil apart from empty: nil lets anyone pass who is signed in.
func rules(in []config.PlacedRule) []auth.Rule {
	if in == nil {
		return nil
	}
	out := make([]auth.Rule, 0, len(in))
	for i := range in {
		r := &in[i]
		rule := auth.Rule{At: r.At, Users: r.Users, Emails: r.Emails, Groups: r.Groups, Providers: r.Providers, Methods: r.Methods,
			Networks: r.Networks, ACR: r.ACR, AMR: r.AMR, When: r.When}
		if r.MaxAuthAge != nil {
			rule.MaxAuthAge = *r.MaxAuthAge
		}
		for _, path := range slices.Sorted(maps.Keys(r.Claims)) {
			c := r.Claims[path]
			claim := auth.ClaimRule{Path: path, AnyOf: c.AnyOf, Glob: c.Glob, Exists: c.Exists}
			if c.AnyOf == nil && c.Glob == "" && c.Exists == nil {
				claim.AnyOf = []string{c.Equals}
			}
			rule.Claims = append(rule.Claims, claim)
		}
		for i := range r.Times {
			var w auth.Window
			w.Days, w.From, w.To, w.Zone = r.Times[i].Bounds()
			rule.Times = append(rule.Times, w)
		}
		out = append(out, rule)
	}
	return out
}
