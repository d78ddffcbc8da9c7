package config

import "slices"

// laxer says by what routes[i] lets somebody pass, with a request of that method, whom
// routes[j] would not; "" is by nothing. Where is what the reader calls the place of
// routes[i]. Rules in other words that mean the same count as others, as far as covers does
// not see it.
func (a *atlas) laxer(i, j int, method, where string) string {
	here, there := a.accessOf(i), a.accessOf(j)
	if here == nil || there == nil || there.Public && len(there.Deny) == 0 {
		return ""
	}
	if a.left -= len(here.Allow)*len(there.Allow) + len(here.Deny)*len(there.Deny); a.left < 0 {
		return ""
	}
	if here.Public && !there.Public {
		return "everybody passes " + where
	}
	if !there.Public {
		if there.Providers != nil && (here.Providers == nil || slices.ContainsFunc(here.Providers, func(p string) bool { return !slices.Contains(there.Providers, p) })) {
			return "other ways of signing in count " + where
		}
		if there.Allow != nil && here.Allow == nil {
			return "anyone passes " + where + " who is signed in"
		}
		if there.Allow != nil {
			allowed := ofMethod(there.Allow, method)
			for _, entry := range ofMethod(here.Allow, method) {
				if !slices.ContainsFunc(allowed, func(other PlacedRule) bool { return other.covers(&entry.Rule) }) {
					return entry.At + " lets people pass " + where + " who may not otherwise"
				}
			}
		}
	}
	refused := ofMethod(here.Deny, method)
	for _, entry := range ofMethod(there.Deny, method) {
		if !slices.ContainsFunc(refused, func(other PlacedRule) bool { return other.covers(&entry.Rule) }) {
			return entry.At + " refuses nobody " + where
		}
	}
	return ""
}

// ofMethod are the rules that can hold for a request of that method, without what they say
// of it.
func ofMethod(rules []PlacedRule, method string) []PlacedRule {
	var some []PlacedRule
	for _, r := range rules {
		if r.Methods == nil || slices.Contains(r.Methods, method) || method == "HEAD" && slices.Contains(r.Methods, "GET") {
			r.Methods = nil
			some = append(some, r)
		}
	}
	return some
}
