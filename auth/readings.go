package auth

import (
	"net/url"
	"slices"
)

// reading is one way to take what an expression reads.
type reading struct {
	path, email string
	groups      []string
}

// asItStands is the reading of what nobody doubts.
func asItStands(q *Question) reading {
	r := reading{path: q.Path, email: vouchedFor(q)}
	if q.Identity != nil {
		r.groups = q.Identity.Groups
	}
	return r
}

// otherGroups is the reading in which a person is also in the groups that theirs may stand for.
func otherGroups(q *Question) (r reading, differs bool) {
	r = asItStands(q)
	if q.Identity == nil {
		return r, false
	}
	perhaps := q.Identity.perhaps()
	r.groups = slices.Concat(r.groups, perhaps)
	return r, len(perhaps) > 0
}

// holds reports whether e holds, in whatever way the path and the groups can be read. The error
// says that it could not be evaluated: a claim that is not what the expression takes it for, say.
func (e *expression) holds(q *Question) (bool, error) {
	plain := asItStands(q)
	holds, err := e.run(q, plain)
	if e == nil || !holds || err != nil {
		return holds, err
	}
	if e.groups {
		if r, differs := otherGroups(q); differs {
			if holds, err := e.run(q, r); !holds || err != nil {
				return holds, err
			}
		}
	}
	if e.path {
		for _, path := range otherReadings(q) {
			r := plain
			r.path = path
			if holds, err := e.run(q, r); !holds || err != nil {
				return holds, err
			}
		}
	}
	return true, nil
}

// mayHold reports whether e holds for any reading of the path and the groups, and for an address that the
// provider does not vouch for, or cannot be evaluated: a deny counts then. Why says what it
// takes for that, where it is not plain.
func (e *expression) mayHold(q *Question) (may bool, why string) {
	plain := asItStands(q)
	holds, err := e.run(q, plain)
	if err != nil {
		return true, err.Error()
	}
	if holds || e == nil {
		return holds, ""
	}
	if e.address && !q.Address.IsValid() {
		return true, "the address of the client is not known"
	}
	if e.email && q.Identity != nil && q.Identity.Email != plain.email {
		r := plain
		r.email = q.Identity.Email
		if holds, err := e.run(q, r); holds || err != nil {
			return true, "the provider does not vouch for the address"
		}
	}
	if e.email && q.Identity != nil && q.Identity.doubtOfEmail() != "" {
		return true, q.Identity.doubtOfEmail()
	}
	if e.groups {
		if r, differs := otherGroups(q); differs {
			if holds, err := e.run(q, r); holds || err != nil {
				return true, groupsPerhaps
			}
		}
	}
	if e.path {
		for _, path := range otherReadings(q) {
			r := plain
			r.path = path
			if holds, err := e.run(q, r); holds || err != nil {
				return true, "an app may read the path in another way"
			}
		}
	}
	return false, ""
}

// otherReadings are the other paths that an app may take that of q for: each of them also
// decoded, as most apps have it.
func otherReadings(q *Question) (all []string) {
	for _, path := range append([]string{q.Path}, q.Readings...) {
		for _, p := range []string{path, decoded(path)} {
			if p != q.Path && !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}

func decoded(path string) string {
	if plain, err := url.PathUnescape(path); err == nil {
		return plain
	}
	return path
}

// vouchedFor is the address that the provider vouches for, or "".
func vouchedFor(q *Question) string {
	if q.Identity == nil || !q.Identity.EmailVerified {
		return ""
	}
	return q.Identity.Email
}
