package session_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
)

// TestFamiliesAreMerged: a store that has lost the end of one, and a gateway that knows it.
func TestFamiliesAreMerged(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	open := func(minted, at int, children ...session.Sight) session.Family {
		return session.Family{Generation: 2, Parent: child(1), Minted: minted, MintedAt: time.Unix(int64(at), 0), Children: children}
	}
	sight := func(c byte, first, last int) session.Sight {
		return session.Sight{Child: child(c), First: at(first), Last: at(last)}
	}
	settled := func(c byte, minted int) session.Family {
		return session.Family{Generation: 2, Settled: child(c), MintedAt: at(minted)}
	}
	for name, c := range map[string]struct{ store, known, want session.Family }{
		"a child that was handed out": {open(1, 10), open(2, 20), open(2, 20)},
		"one on each branch":          {open(1, 10), open(1, 20), open(2, 20)},
		"a child that was seen": {
			open(1, 10, sight(2, 11, 15)), open(1, 10, sight(2, 12, 20), sight(3, 13, 13)), open(1, 10, sight(2, 11, 20), sight(3, 13, 13))},
		"a child that settled":                            {open(1, 10, sight(2, 11, 15)), settled(2, 10), settled(2, 10)},
		"it settled, and another was handed out since":    {open(2, 30), settled(2, 10), open(2, 30)},
		"it settled in the store":                         {settled(2, 10), open(1, 10), settled(2, 10)},
		"it settled in the store, and one was handed out": {settled(2, 10), open(2, 30), open(2, 30)},
		"two have settled":                                {settled(2, 10), settled(3, 20), settled(2, 10)},
		"a rotation":                                      {session.Family{Generation: 1, Settled: child(1)}, open(0, 0), open(0, 0)},
		"the store is further":                            {open(0, 0), session.Family{Generation: 1, Settled: child(1)}, open(0, 0)},
	} {
		if got := c.store.Merged(c.known); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

// TestBindingsAreMerged: a store that has lost a binding does not leave the session without.
func TestBindingsAreMerged(t *testing.T) {
	type hosts = map[string]session.Branch
	for name, c := range map[string]struct {
		store, known hosts
		want         string
	}{
		"none":                              {hosts{"h": {}}, hosts{"h": {}}, ""},
		"the store has lost it":             {hosts{"h": {}}, hosts{"h": {Key: "k", At: 1}}, "k"},
		"the store has lost the host too":   {hosts{}, hosts{"h": {Key: "k", At: 1}}, "k"},
		"it is known by another":            {hosts{"h": {Key: "k", At: 1}}, hosts{"h": {}}, "k"},
		"two were made":                     {hosts{"h": {Key: "a", At: 1}}, hosts{"h": {Key: "b", At: 2}}, "a"},
		"two were made, the first one here": {hosts{"h": {Key: "b", At: 2}}, hosts{"h": {Key: "a", At: 1}}, "a"},
		"the host began anew, here":         {hosts{"h": {Key: "a", At: 1}}, hosts{"h": {Base: 3}}, ""},
		"the host began anew, in the store": {hosts{"h": {Base: 3}}, hosts{"h": {Key: "a", At: 1}}, ""},
		"and was bound again":               {hosts{"h": {Key: "a", At: 1}}, hosts{"h": {Key: "b", At: 5, Base: 3}}, "b"},
	} {
		if got := session.MergedKeys(c.store, c.known)["h"]; got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
