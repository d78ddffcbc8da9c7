package idp

import (
	"html/template"
	"net/http"
	"time"
)

var controlPage = template.Must(template.ParseFS(pages, "control.html"))

// deeds are what the buttons of the control page do.
var deeds = map[string]struct {
	text string
	do   func(p *Provider)
}{
	"refuse": {"Answer renewals with 503", func(p *Provider) {
		p.Turn(func(k *Knobs) { *k = Knobs{TokenStatus: http.StatusServiceUnavailable, OnlyRefresh: true} })
	}},
	"slow": {"Take 3 s over each renewal", func(p *Provider) {
		p.Turn(func(k *Knobs) { *k = Knobs{Delay: 3 * time.Second, OnlyRefresh: true} })
	}},
	"rotate": {"Rotate the signing keys", (*Provider).RotateKeys},
	"revoke": {"Revoke every grant", (*Provider).RevokeAll},
	"behave": {"Behave", func(p *Provider) { p.Turn(func(k *Knobs) { *k = Knobs{} }) }},
}

var deedOrder = []string{"refuse", "slow", "rotate", "revoke", "behave"}

// Control is a page with buttons to break the provider and to mend it. It is for
// a demo on a loopback address.
func (p *Provider) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.showControl)
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		deed, ok := deeds[r.PostFormValue("do")]
		if !ok {
			http.Error(w, "there is no such button", http.StatusBadRequest)
			return
		}
		deed.do(p)
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	return http.NewCrossOriginProtection().Handler(mux)
}

func (p *Provider) showControl(w http.ResponseWriter, _ *http.Request) {
	state := "It behaves."
	switch k := p.now(); {
	case k.TokenStatus != 0:
		state = "It answers every renewal with 503."
	case k.Delay != 0:
		state = "It takes 3 s over each renewal."
	}
	type button struct{ Do, Text string }
	var buttons []button
	for _, name := range deedOrder {
		buttons = append(buttons, button{name, deeds[name].text})
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'")
	_ = controlPage.Execute(w, map[string]any{"State": state, "Buttons": buttons, "Stats": p.Stats(), "Alive": p.Alive()})
}
