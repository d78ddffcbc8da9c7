package proxy

import (
	"net/http"
	"strings"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// stepUp has somebody sign in once more. A client with a token of its own is told so: it
// has no sign-in page.
func (g *Gate) stepUp(w http.ResponseWriter, r *http.Request, d *Decision) error {
	absent, _ := d.Err.(*auth.Absent)
	if d.Login.Session != nil && g.Challenge != nil {
		return g.challenge(w, r, absent)
	}
	return &web.Error{Status: http.StatusUnauthorized, Code: "insufficient_user_authentication", Title: "A further sign-in is needed",
		Detail: "The sign-in behind this request is not what is asked for here. Get a token by one that is, and send the request again.",
		Header: http.Header{"Www-Authenticate": {absent.Demand.Challenge()}}, Err: absent}
}

// justNow is how long a sign-in was made just now: another would be no fresher.
const justNow = time.Minute

// demanded is what an upstream asks of the sign-in of whoever opened a page, by the
// challenge of RFC 9470 section 3, or nil where it asks nothing, or what it has already:
// coming back with the same would go round for ever. Programs get the challenge itself.
func (c *carriage) demanded(res *http.Response) *auth.Demand {
	if res.StatusCode != http.StatusUnauthorized || c.login == nil || c.login.Session == nil || !web.IsNavigation(c.in) {
		return nil
	}
	if c.in.Method != http.MethodGet && c.in.Method != http.MethodHead {
		return nil // what was sent is with the upstream, and it did not take it
	}
	params := c.tokenChallenge(res.Header, "insufficient_user_authentication")
	if params == nil {
		return nil
	}
	d := auth.DemandOf(params["acr_values"], "", params["max_age"])
	if d.IsZero() {
		d.Fresh = true
	}
	if d.Fresh && !c.login.AuthTime.IsZero() {
		age := c.gate.now().Sub(c.login.AuthTime)
		switch {
		case age <= justNow:
			rest := auth.Demand{ACR: d.ACR}
			if rest.MetBy(c.login, c.gate.now()) {
				return nil
			}
		case age > d.MaxAge:
			// The upstream's clock and ours, or its patience and ours, are a little apart. Its
			// word counts, so that the sign-in at hand is not what is asked for.
			d.MaxAge = min(d.MaxAge, (age-justNow-time.Second)/time.Second*time.Second)
			d.MaxAge = max(d.MaxAge, 0)
			return &d
		}
	}
	if d.MetBy(c.login, c.gate.now()) {
		return nil
	}
	return &d
}

// furtherSignIn is the error by which an upstream's answer gives way to the sign-in that
// it asks for.
type furtherSignIn struct{ demand *auth.Demand }

func (f *furtherSignIn) Error() string { return "the upstream asks for " + f.demand.String() }

// tokenChallenge returns the parameters of the challenge to the token that went up, which is
// of its scheme and has an error code (RFC 6750 section 3, RFC 9449 section 7.1), or nil if
// there is none.
func (c *carriage) tokenChallenge(h http.Header, code string) map[string]string {
	sent := "Bearer"
	if c.proves() {
		sent = "DPoP"
	}
	for _, line := range h["Www-Authenticate"] {
		ours, params := false, map[string]string{}
		for _, part := range append(splitQuoted(line), "end") {
			if scheme, starts := challengeScheme(part); starts {
				if ours && params["error"] == code {
					return params
				}
				ours, params = strings.EqualFold(scheme, sent), map[string]string{}
				part = strings.TrimPrefix(strings.TrimLeft(part, " \t"), scheme)
			}
			name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
			if value = strings.TrimSpace(value); ours && ok {
				if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
					value = value[1 : len(value)-1]
				}
				params[strings.ToLower(strings.TrimSpace(name))] = value
			}
		}
	}
	return nil
}
