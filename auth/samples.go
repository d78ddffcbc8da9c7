package auth

import (
	"html/template"
	"maps"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// PageSamples are the pages that there are, by name, with what they may have to show: all
// there is to say, and as little as there may be. An operator's own templates are tried
// with them.
func PageSamples() map[string][]web.Sample {
	login := func(v loginView, must ...string) web.Sample {
		return web.Sample{Page: web.Page{Title: "Sign in", Script: scriptURL, Data: v}, Must: must}
	}
	who := &Login{Identity: Identity{User: "alice", Subject: "alice", Name: "Alice Example", Email: "alice@example.com", Provider: "corp"}, AuthTime: time.Unix(0, 0)}
	ways := []straightView{{"Corp", "/.evergate/login/corp?rd=%2Fsample", "/sample"}, {"Partners", "/.evergate/login/partners?rd=%2Fsample", "/sample"}}
	fields := []string{"/.evergate/login", "username", "password", "/sample?a=b"}
	all := map[string][]web.Sample{
		"login": {
			login(loginView{goal: goal{RD: "/sample?a=b"}, Host: "apps.example.com", Password: true}, fields...),
			login(loginView{goal: goal{RD: "/sample?a=b"}, Host: "apps.example.com", Password: true, Passkey: true}, fields...),
			login(loginView{goal: goal{RD: "/sample", Form: "SAMPLE-FORM"}, Host: "apps.example.com", Path: "/sample", Kept: true, Why: endings[Idle],
				Alert:   web.T("Too many attempts failed lately. Wait {wait}, then try again.", "wait", seconds(30)),
				Invalid: true, User: "alice", Remember: true, Password: true, Providers: ways}, "SAMPLE-FORM", ways[0].Label, ways[1].Label),
			login(loginView{goal: goal{RD: "/", To: "SAMPLE-ERRAND", Demand: Demand{ACR: []string{"mfa"}, Fresh: true, MaxAge: time.Hour}}, Host: "wiki.example.com",
				Lost: losses[lostLarge], Password: true, User: "alice", Further: who}, "SAMPLE-ERRAND"),
			login(loginView{goal: goal{RD: "/sample"}, Host: "apps.example.com", Providers: ways}, "/.evergate/login/corp?rd=%2Fsample", "/.evergate/login/partners?rd=%2Fsample"),
			login(loginView{goal: goal{RD: "/"}, Host: "apps.example.com"}),
		},
		"straight": {{Page: web.Page{Title: "Sign in", Script: scriptURL, Data: ways[0]}, Must: []string{"/.evergate/login/corp?rd=%2Fsample"}}},
		"proving":  {{Page: web.Page{Title: "One moment", Script: scriptURL, Data: provingView{"/.evergate/login?rd=%2Fsample", "/sample"}}, Must: []string{"/.evergate/login?rd=%2Fsample"}}},
		"logout": {
			{Page: web.Page{Title: "Sign out?", Data: logoutView{User: "alice", Name: "Alice Example", Host: "apps.example.com", RD: "/sample", To: "SAMPLE-ERRAND", Back: "/back", Provider: "Corp"}},
				Must: []string{"/.evergate/logout", "/sample", "SAMPLE-ERRAND"}},
			{Page: web.Page{Title: "Sign out?", Data: logoutView{User: "alice", Host: "apps.example.com", RD: "/", Back: "/"}}, Must: []string{"/.evergate/logout"}},
			{Page: web.Page{Title: "Sign out?", Data: logoutView{Why: endings[Suspected], Host: "apps.example.com", RD: "/", Back: "/"}}, Must: []string{"/.evergate/logout"}},
		},
		"signedout": {
			{Page: web.Page{Title: "Signed out", Script: own("session.js"), Data: signedOutView{User: "alice", Host: "apps.example.com", Still: "Corp", LoginURL: "/.evergate/login?rd=%2F"}},
				Must: []string{"/.evergate/login", "Corp"}},
			{Page: web.Page{Title: "Signed out", Script: own("session.js"), Data: signedOutView{Host: "apps.example.com", LoginURL: "/.evergate/login?rd=%2F"}}},
		},
		"framed": {
			{Page: web.Page{Title: "Sign in to see this", Data: framedView{LoginURL: "/.evergate/login?rd=%2Fsample"}}, Must: []string{"/.evergate/login?rd=%2Fsample", "_top"}},
			{Page: web.Page{Title: "Sign in to see this", Data: framedView{Again: true, LoginURL: "/.evergate/login?rd=%2Fsample"}}},
		},
		"landed": {{Page: web.Page{Title: "Error: The sign-in did not stick", Data: landedView{LoginURL: "/.evergate/login?rd=%2Fsample", Causes: []web.Text{
			web.T("Your browser does not keep cookies for this site: they are blocked in its settings, by an extension, or in a private window."),
			web.T("The clock of your device is wrong, so that the cookie was over before it began. Its date should be {date}.", "date", time.Unix(0, 0)),
		}}}, Must: []string{"/.evergate/login?rd=%2Fsample"}}},
		"resend": {{Page: web.Page{Title: "Send your form?", Data: resendView{User: "alice", Host: "apps.example.com", Path: "/sample", ID: "SAMPLE-FORM", RD: "/back",
			Action: template.HTMLAttr(`action="/sample?of=form"`), Size: web.T("{count} bytes", "count", 412)}},
			Must: []string{formField, "SAMPLE-FORM", `action="/sample?of=form"`}}},
	}
	maps.Copy(all, accountSamples())
	maps.Copy(all, factorSamples())
	return all
}
