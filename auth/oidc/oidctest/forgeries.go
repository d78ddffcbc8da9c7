package oidctest

import (
	"strings"
	"time"

	"github.com/evergate/evergate/internal/idp"
)

// Forgery is a token that a relying party gets. Turn has the provider give it in
// place of a good one; what it publishes may change with that, so turn before
// anything is fetched.
type Forgery struct {
	Name, What string
	Turn       func(*idp.Knobs)
}

// claim is a fault in what a token says; the provider signs it all the same.
type claim struct {
	name, what string
	mutate     func(header, claims map[string]any)
}

func set(name string, value any) func(h, c map[string]any) {
	return func(_, c map[string]any) { c[name] = value }
}

func drop(name string) func(h, c map[string]any) {
	return func(_, c map[string]any) { delete(c, name) }
}

// shift moves a time of the token itself, so that a provider with another clock
// stays the measure.
func shift(name string, d time.Duration) func(h, c map[string]any) {
	return func(_, c map[string]any) {
		if n, ok := c[name].(int64); ok {
			c[name] = n + int64(d/time.Second)
		}
	}
}

func typ(value string) func(h, c map[string]any) {
	return func(h, _ map[string]any) { h["typ"] = value }
}

func all(mutations ...func(h, c map[string]any)) func(h, c map[string]any) {
	return func(h, c map[string]any) {
		for _, m := range mutations {
			m(h, c)
		}
	}
}

// parties are faults in who a token is from and for, which any token can have.
func (p *Provider) parties() []claim {
	return []claim{
		{"T-19 iss of another", "is another provider's", set("iss", "https://other.example")},
		{"T-19 iss with a slash", "is from an issuer that is nearly this one", set("iss", p.Issuer+"/")},
		{"T-19 iss in capitals", "is from an issuer that is nearly this one", set("iss", strings.ToUpper(p.Issuer))},
		{"T-19 iss is a list", "has its issuer in a list", set("iss", []string{p.Issuer})},
		{"T-19 iss missing", "has no issuer", drop("iss")},
		{"T-20 aud of another", "is for another client", set("aud", "another client")},
		{"T-20 aud longer than ours", "is for a client that begins like us", set("aud", p.ClientID+"-2")},
		{"T-20 aud missing", "is for nobody", drop("aud")},
		{"T-20 aud is an empty list", "is for nobody", set("aud", []string{})},
		{"T-20 aud is a list of others", "is for others", set("aud", []string{"a", "b"})},
		{"T-20 aud is a number", "is for a number", set("aud", 7)},
		{"T-20 aud is an object", "is for an object", set("aud", map[string]any{p.ClientID: true})},
		{"T-24 exp past", "is expired", shift("exp", -48*time.Hour)},
		{"T-24 exp past, with a fraction", "is expired", func(_, c map[string]any) { c["exp"] = 1000000000.5 }},
		{"T-24 exp missing", "never ends", drop("exp")},
		{"T-24 exp is text", "ends at a text", set("exp", "4102444800")},
		{"T-24 exp negative", "ended before 1970", set("exp", -1)},
		{"T-24 exp beyond all time", "ends when no clock counts any more", set("exp", 1e300)},
		{"T-24 exp null", "has an end that is null", set("exp", nil)},
		{"T-25 iat missing", "was never made", drop("iat")},
		{"T-25 iat tomorrow", "is made tomorrow", shift("iat", 24*time.Hour)},
		{"T-25 iat a year ago", "was made a year ago", shift("iat", -365*24*time.Hour)},
		{"T-25 iat is text", "was made at a text", set("iat", "now")},
		{"T-26 nbf in the future", "is not good yet", func(_, c map[string]any) {
			if n, ok := c["iat"].(int64); ok {
				c["nbf"] = n + 3600
			}
		}},
		{"T-38 clock an hour ahead", "is from a clock that is wrong", all(shift("iat", time.Hour), shift("exp", time.Hour))},
	}
}

// identities are faults that only ID tokens can have.
func (p *Provider) identities() []claim {
	event := map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
	return []claim{
		{"T-21 several aud and no azp", "is for us and for another, and does not say who asked", set("aud", []string{p.ClientID, "another client"})},
		{"T-22 azp of another", "was asked for by another", set("azp", "another client")},
		{"T-22 several aud and azp of another", "is for us too, and was asked for by another",
			all(set("aud", []string{p.ClientID, "another client"}), set("azp", "another client"))},
		{"T-23 sub missing", "is about nobody", drop("sub")},
		{"T-23 sub empty", "is about nobody", set("sub", "")},
		{"T-23 sub is a number", "is about a number", set("sub", 7)},
		{"T-23 sub is a list", "is about several", set("sub", []string{"a", "b"})},
		{"T-27 nonce missing", "is not the answer to any question", drop("nonce")},
		{"T-27 nonce of another", "is the answer to somebody else's question", set("nonce", "of another sign-in")},
		{"T-27 nonce empty", "answers an empty question", set("nonce", "")},
		{"T-27 nonce is a list", "answers several questions", func(_, c map[string]any) { c["nonce"] = []any{c["nonce"], "another"} }},
		{"T-28 an access token", "says that it is an access token", typ("at+jwt")},
		{"T-28 a logout token", "says that it is a logout token", all(typ("logout+jwt"), set("events", event))},
		{"T-28 a client assertion", "says that it is something else again", typ("client-authentication+jwt")},
		{"T-29 at_hash of another", "came with another access token", set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
		{"T-29 at_hash is a number", "names its access token with a number", set("at_hash", 7)},
	}
}

// Forgeries are ID tokens that have to be refused at sign-in, named as in the
// project's list of attacks where they are in it.
func Forgeries(p *Provider) []Forgery {
	var list []Forgery
	for _, f := range append(p.signatures(), p.encodings()...) {
		list = append(list, Forgery{f.name, f.what, func(k *idp.Knobs) {
			f.prepare(k)
			k.SignIDToken = f.sign
		}})
	}
	for _, c := range append(p.parties(), p.identities()...) {
		list = append(list, Forgery{c.name, c.what, func(k *idp.Knobs) { k.MutateIDToken = c.mutate }})
	}
	list = append(list, Forgery{"T-28 the access token itself", "is the access token that came with it", func(k *idp.Knobs) {
		k.RewriteTokenAnswer = accessTokenTwice
	}})
	return list
}

// Oddities are ID tokens, and answers around them, that are unusual and have to be
// taken.
func Oddities(p *Provider) []Forgery {
	token := func(name, what string, mutate func(h, c map[string]any)) Forgery {
		return Forgery{name, what, func(k *idp.Knobs) { k.MutateIDToken = mutate }}
	}
	return []Forgery{
		token("aud is a list", "is for us alone, in a list", set("aud", []string{p.ClientID})),
		token("azp is ours", "says that we asked", set("azp", p.ClientID)),
		token("several aud and our azp", "is for another too, and we asked", all(set("aud", []string{p.ClientID, "another client"}), set("azp", p.ClientID))),
		token("kid absent, one key", "names no key, and there is only one", func(h, _ map[string]any) { delete(h, "kid") }),
		token("typ absent", "does not say that it is a JWT", func(h, _ map[string]any) { delete(h, "typ") }),
		token("unknown header members", "has members in its header that nobody must understand", func(h, _ map[string]any) { h["x"] = []any{1} }),
		token("at_hash absent", "does not name the access token, as it may", drop("at_hash")),
		token("exp with a fraction", "ends in the middle of a second", func(_, c map[string]any) {
			if n, ok := c["exp"].(int64); ok {
				c["exp"] = float64(n) + 0.5
			}
		}),
		token("nbf past", "is good since before it was made", func(_, c map[string]any) { c["nbf"] = c["iat"] }),
		{"clock 50 s ahead", "is from a clock that is a little off", func(k *idp.Knobs) { k.ClockSkew = 50 * time.Second }},
		{"clock 50 s behind", "is from a clock that is a little off", func(k *idp.Knobs) { k.ClockSkew = -50 * time.Second }},
		{"token_type in small letters", "comes with a bearer token", func(k *idp.Knobs) { k.TokenType = "bearer" }},
		{"no expires_in", "comes with an access token that does not say when it ends", func(k *idp.Knobs) { k.OmitExpiresIn = true }},
		{"expires_in is text", "comes with a number in quotes", func(k *idp.Knobs) { k.ExpiresInString = true }},
	}
}
