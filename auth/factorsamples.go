package auth

import (
	"time"

	"github.com/evergate/evergate/internal/qr"
	"github.com/evergate/evergate/internal/web"
)

// factorSamples are what the pages may have to show where more than a password is asked for.
func factorSamples() map[string][]web.Sample {
	second := func(v secondView, must ...string) web.Sample {
		v.Step, v.User, v.Host, v.LoginURL = "SAMPLE-STEP", "alice", "apps.example.com", "/.evergate/login?rd=%2Fsample"
		return web.Sample{Page: web.Page{Title: "Prove that it is you", Script: scriptURL, Data: v}, Must: append(must, "/.evergate/login?rd=%2Fsample")}
	}
	app := func(v appView, must ...string) web.Sample {
		v.User, v.Secret, v.Link, v.QR = "alice", "SAMP LEKE", "otpauth://totp/sample", qr.Code{Size: 9, Path: "M4 4.5h1"}
		return web.Sample{Page: web.Page{Title: "Set up an app that makes codes", Data: v}, Must: append(must, own(appPath), `"code"`, v.Secret)}
	}
	codes := func(v codesView, must ...string) web.Sample {
		return web.Sample{Page: web.Page{Title: "Recovery codes", Script: scriptURL, Data: v}, Must: must}
	}
	return map[string][]web.Sample{
		"accountapp": {
			app(appView{Step: "SAMPLE-STEP"}, "SAMPLE-STEP"),
			app(appView{Since: moments{web.T("{count} hours ago", "count", 3), time.Unix(0, 0)}, Alert: web.T("That is not the code that the app shows now. Look whether the clock of your phone is right, and type the next one. Nothing was changed.")}, own(appRemovePath)),
			app(appView{Since: moments{web.T("{count} hours ago", "count", 3), time.Unix(0, 0)}, Kept: true}),
		},
		"accountcodes": {
			codes(codesView{Codes: []string{"AAAA-BBBB-CCCC-DDDD", "SAMP-LECO-DESA-MPLE"}, Next: "/.evergate/sample"}, "SAMP-LECO-DESA-MPLE", "/.evergate/sample"),
			codes(codesView{Left: 2}, own(codesPath)),
		},
		"second": {
			second(secondView{Code: true, Passkey: true, Recovery: 8}, own(halfwayPath), "SAMPLE-STEP", `"code"`, `"passkey"`, "data-passkey"),
			second(secondView{Code: true, Alert: web.T("The code is wrong, or it was used already. Wait for the next one and try again."), Invalid: true}, `"code"`),
			second(secondView{Enrol: true, MayApp: true, MayPasskey: true}, "SAMPLE-STEP"),
			second(secondView{Enrol: true}),
			second(secondView{}),
		},
	}
}
