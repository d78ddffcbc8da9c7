package auth

import (
	"time"

	"github.com/evergate/evergate/internal/web"
)

// accountSamples are what the pages of the account may have to show.
func accountSamples() map[string][]web.Sample {
	at := moments{web.T("{count} hours ago", "count", 3), time.Unix(0, 0)}
	account := func(v accountView, must ...string) web.Sample {
		return web.Sample{Page: web.Page{Title: "Your account", Data: v}, Must: append(must, v.Who.User)}
	}
	password := func(v passwordView) web.Sample {
		v.User, v.Min = "alice", MinPassword
		return web.Sample{Page: web.Page{Title: "Change your password", Script: scriptURL, Data: v},
			Must: []string{own(passwordPath), `"current"`, `"new"`, `"again"`}}
	}
	keys := []passkeyView{{ID: "SAMPLE-KEY", Name: "Laptop", Created: at, Used: at, Synced: true}, {ID: "SAMPLE-NEW", Name: "Security key", Created: at}}
	passkeys := func(v passkeysView, must ...string) web.Sample {
		v.User, v.Default = "alice", web.T("{browser} on {system}", "browser", "Firefox", "system", "Linux")
		return web.Sample{Page: web.Page{Title: "Your passkeys", Script: scriptURL, Data: v}, Must: append(must, own(passkeysPath))}
	}
	return map[string][]web.Sample{
		"passkeys": {
			passkeys(passkeysView{Passkeys: keys, Done: doneOf(donePasskey, "")}, "Laptop", "SAMPLE-KEY", "SAMPLE-NEW", `"rename"`, `"remove"`, "data-passkey"),
			passkeys(passkeysView{Alert: web.T("The passkey could not be verified. Nothing was changed. Try again.")}, "data-make"),
			passkeys(passkeysView{Passkeys: keys, Full: true}),
			passkeys(passkeysView{Step: "SAMPLE-STEP", LoginURL: "/.evergate/login?rd=%2Fsample"}, "SAMPLE-STEP", "data-passkey", "/.evergate/login?rd=%2Fsample"),
		},
		"account": {
			account(accountView{
				Done: doneOf(doneOthers, "2"),
				Who: accountWho{User: "alice", Name: "Alice Example", Email: "alice@example.com", Groups: []string{"staff", "wiki"}, Provider: "Corp",
					Since: at, Proof: web.Text{Message: proofs["pwd"]}, Ends: time.Unix(0, 0)},
				Devices: []deviceView{
					{Session: "SAMPLE-HERE", Label: web.T("Unknown browser"), Address: "192.0.2.1", Created: at, Seen: at, Bound: true, Current: true},
					{Session: "SAMPLE-OTHER", Label: web.T("{browser} on {system}", "browser", "Firefox", "system", "Linux"), Agent: "Mozilla/5.0", Created: at, Seen: at},
				},
				Others: 8, Unlisted: 7, PasswordAt: "Corp", SignOutElsewhere: "Corp",
				Events: []eventView{
					{Words: ownEvents["session.started"][""], When: at, Address: "192.0.2.1", Device: web.T("Unknown browser"), Current: true},
					{Words: ownEvents["login.failed"][""], Times: 3, When: at, Alarm: true},
				},
			}, "SAMPLE-OTHER", own("account/signout"), own("logout"), `"others"`, `"all"`),
			account(accountView{
				Who:         accountWho{User: "alice"},
				DevicesNote: "Your devices cannot be shown right now. Nothing has changed; try again shortly.",
				EventsNote:  "What happened lately cannot be shown right now. Try again shortly.",
			}, own("logout")),
			account(accountView{Who: accountWho{User: "alice"}, CanChange: true, Factors: &factorsView{MayApp: true, App: at, Any: true, Codes: 2, Few: true}}, own(passwordPath), own(appPath), own(codesPath)),
			account(accountView{Who: accountWho{User: "alice"}, Factors: &factorsView{MayApp: true}}, own(appPath)),
			account(accountView{Who: accountWho{User: "alice", Passkey: true}, CanChange: true, MayPasskeys: true, Passkeys: keys}, own(passwordPath), own(passkeysPath), "Laptop"),
			account(accountView{Who: accountWho{User: "alice"}, MayPasskeys: true, PasskeysNote: "Your passkeys cannot be shown right now. Nothing has changed; try again shortly."}, own(passkeysPath)),
		},
		"invite": {
			{Page: web.Page{Title: "Set your password", Script: scriptURL, Data: inviteView{Min: MinPassword}}, Must: []string{own(invitePath), `"code"`}},
			{Page: web.Page{Title: "Set your password", Script: scriptURL, Data: inviteView{Min: MinPassword, Alert: web.T("This code is not good: it was mistyped, used already, or made more than a day ago. Ask whoever runs this gateway for another.")}},
				Must: []string{own(invitePath), `"code"`}},
			{Page: web.Page{Title: "Set your password", Script: scriptURL, Data: inviteView{User: "alice", Code: "SAMPLE-CODE", Min: MinPassword, Alert: web.T("The two new passwords differ. Nothing was changed."), BadNew: true}},
				Must: []string{own(invitePath), "SAMPLE-CODE", "alice", `"new"`, `"again"`}},
		},
		"accountpassword": {
			password(passwordView{}),
			password(passwordView{Alert: web.T("The current password is wrong. Nothing was changed."), BadCurrent: true}),
			password(passwordView{Alert: web.T("The two new passwords differ. Nothing was changed."), BadNew: true}),
		},
	}
}
