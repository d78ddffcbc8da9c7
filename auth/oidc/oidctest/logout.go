package oidctest

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/evergate/evergate/internal/idp"
)

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// LogoutForgeries are logout tokens that have to be refused, as LogoutToken and
// LogoutUser give them once they are turned on (OIDC Back-Channel Logout 1.0
// section 2.6). Faults that any token can have keep the names that they have among
// Forgeries.
func LogoutForgeries(p *Provider) []Forgery {
	var list []Forgery
	for _, f := range append(p.signatures(), p.encodings()...) {
		list = append(list, Forgery{f.name, f.what, func(k *idp.Knobs) {
			f.prepare(k)
			k.SignLogoutToken = f.sign
		}})
	}
	for _, c := range append(p.parties(), logoutClaims()...) {
		list = append(list, Forgery{c.name, c.what, func(k *idp.Knobs) { k.MutateLogoutToken = c.mutate }})
	}
	return list
}

func logoutClaims() []claim {
	events := func(v any) func(h, c map[string]any) { return set("events", v) }
	return []claim{
		{"L-11 events missing", "does not say what happened", drop("events")},
		{"L-12 another event", "says that something else happened", events(map[string]any{"http://schemas.openid.net/event/other": map[string]any{}})},
		{"L-12 event is true", "has an event that is no object", events(map[string]any{logoutEvent: true})},
		{"L-12 event is null", "has an event that is no object", events(map[string]any{logoutEvent: nil})},
		{"L-12 event is text", "has an event that is no object", events(map[string]any{logoutEvent: "{}"})},
		{"L-12 events are a list", "has its event in a list", events([]string{logoutEvent})},
		{"L-12 events are text", "has its event as text", events(logoutEvent)},
		{"L-13 nonce", "could be an ID token", set("nonce", "n")},
		{"L-13 nonce empty", "could be an ID token", set("nonce", "")},
		{"L-14 neither sub nor sid", "is about nobody", all(drop("sub"), drop("sid"))},
		{"L-14 sub is a number", "is about a number", all(set("sub", 7), drop("sid"))},
		{"L-14 sid is a list", "is about several sessions", all(set("sid", []string{"a"}), drop("sub"))},
		{"L-14 sub and sid empty", "is about nobody", all(set("sub", ""), set("sid", ""))},
		{"L-15 jti missing", "can be sent again and again", drop("jti")},
		{"L-15 jti empty", "can be sent again and again", set("jti", "")},
		{"L-15 jti is a number", "can be sent again and again", set("jti", 7)},
		{"L-15 iat an hour ago", "was kept before it was sent", shift("iat", -time.Hour)},
		{"L-17 typ of an access token", "says that it is something else", typ("at+jwt")},
		{"L-17 typ of a client assertion", "says that it is something else again", typ("client-authentication+jwt")},
		{"L-17 an ID token", "is an ID token", all(typ("JWT"), drop("events"), drop("jti"), set("nonce", "n"), set("amr", []string{"pwd"}))},
	}
}

// LogoutOddities are logout tokens that are unusual and have to be taken. One whose
// typ is JWT is neither here nor a forgery: logout+jwt is recommended and no more
// (section 2.4), and what is refused for it is for each party to say.
func LogoutOddities(p *Provider) []Forgery {
	token := func(name, what string, mutate func(h, c map[string]any)) Forgery {
		return Forgery{name, what, func(k *idp.Knobs) { k.MutateLogoutToken = mutate }}
	}
	return []Forgery{
		token("typ absent", "is from before there was a typ for it", func(h, _ map[string]any) { delete(h, "typ") }),
		token("sid alone", "names the session and not the user", drop("sub")),
		token("sub alone", "names the user and not the session", drop("sid")),
		token("aud is a list", "is for us alone, in a list", set("aud", []string{p.ClientID})),
		token("event says more", "has members in its event", set("events", map[string]any{logoutEvent: map[string]any{"x": 1}, "urn:other": map[string]any{}})),
	}
}

// accessTokenTwice gives the access token as the ID token too.
func accessTokenTwice(body []byte) []byte {
	var answer map[string]any
	if json.NewDecoder(bytes.NewReader(body)).Decode(&answer) != nil {
		return body
	}
	answer["id_token"] = answer["access_token"]
	return toJSON(answer)
}
