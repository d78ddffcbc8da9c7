package auth

import "github.com/evergate/evergate/internal/web"

// factorSamples are what the pages may have to show where more than a password is asked for.
func factorSamples() map[string][]web.Sample {
	second := func(v secondView, must ...string) web.Sample {
		v.Step, v.User, v.Host, v.LoginURL = "SAMPLE-STEP", "alice", "apps.example.com", "/.evergate/login?rd=%2Fsample"
		return web.Sample{Page: web.Page{Title: "Prove that it is you", Script: scriptURL, Data: v}, Must: append(must, "/.evergate/login?rd=%2Fsample")}
	}
	return map[string][]web.Sample{
		"second": {
			second(secondView{Code: true, Passkey: true, Recovery: 8}, own(halfwayPath), "SAMPLE-STEP", `"code"`, `"passkey"`),
			second(secondView{Code: true, Alert: web.T("The code is wrong, or it was used already. Wait for the next one and try again."), Invalid: true}, `"code"`),
			second(secondView{Enrol: true, MayApp: true, MayPasskey: true}, "SAMPLE-STEP"),
			second(secondView{Enrol: true}),
			second(secondView{}),
		},
	}
}
