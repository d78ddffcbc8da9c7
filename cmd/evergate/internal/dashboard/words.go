package dashboard

import (
	"fmt"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/event"
)

// what says in a sentence what happened, and how bad that is.
func (m *Moment) what() (words, tone string) {
	who := m.User
	if who == "" {
		who = "Somebody"
	}
	at := m.Provider
	if at == "" {
		at = "a provider"
	}
	switch m.Name {
	case event.SessionStarted:
		return who + " signed in.", ""
	case event.LoginFailed:
		return who + " was not signed in: " + reason(m.Reason) + ".", "warn"
	case event.SessionHandedOver:
		return "The sign-in of " + who + " was handed to the host of an app.", ""
	case event.SessionEnded:
		return "A session of " + who + " ended: " + reason(m.Reason) + ".", ""
	case event.SessionRevoked:
		return "A session of " + who + " was ended " + reason(m.Reason) + ".", ""
	case event.SessionWithdrawn:
		return "A session of " + who + " was ended: " + reason(m.Reason) + ".", "warn"
	case event.SessionRenewed:
		return "Renewals by provider " + at + " work again.", "good"
	case event.SessionRenewalFailed:
		return "A renewal for " + who + " did not work, and the session is kept: " + reason(m.Reason) + ".", "warn"
	case event.DeviceMismatch:
		return "A bound session of " + who + " was asked for without the proof of its device, and not served: a copy of its cookies, or a browser that has lost the key.", "warn"
	case event.ReuseSuspected:
		return "A spent handle of " + who + " came: a late request, or the first sign of a theft.", "warn"
	case event.ReuseDetected:
		return "A stolen handle of " + who + " was used. The session is revoked.", "bad"
	case event.NewDevice:
		return who + " signed in by a browser that is not known at their account.", "warn"
	case event.NewNetwork:
		return "A session of " + who + " is used from another network" + m.then() + ".", ""
	case event.ChangedBrowser:
		return "A session of " + who + " is used by another browser than it was signed in by" + m.then() + ".", "warn"
	case event.ParallelUse:
		return "A session of " + who + " is used by two browsers in two networks at the same time" + m.then() + ".", "bad"
	case event.ProviderAway:
		return "Provider " + at + " does not answer: renewals wait, sessions are kept.", "bad"
	case event.ProviderBack:
		return "Provider " + at + " answers again.", "good"
	case event.UpstreamAway:
		return "Upstream " + m.Part + " is out of order.", "bad"
	case event.UpstreamBack:
		return "Upstream " + m.Part + " is well again.", "good"
	case event.StoreAway:
		return "The session store is out of order.", "bad"
	case event.StoreBack:
		return "The session store is back.", "good"
	case event.GatewayStarted:
		return "The gateway is up (" + m.Part + ").", ""
	case event.GatewayStopped:
		return "The gateway goes down.", ""
	case event.UsersReloaded:
		return "The users file was read again.", ""
	case event.ConfigReloaded:
		if len(m.Changed) == 0 {
			return "The config was read again, and is the same.", ""
		}
		return "Another config is in force: " + strings.Join(m.Changed, ", ") + " changed.", ""
	case event.ConfigBad:
		return "The config file cannot be used; the config of before stays in force.", "bad"
	case event.AdminSignedIn:
		return "The dashboard was opened with the operator's token.", ""
	case event.AdminRefused:
		return "Somebody came to the admin listener without the operator's token.", "warn"
	case event.AdminRevoked:
		return m.by() + " ended " + count(m.Count, "session", "sessions") + m.of() + ".", ""
	case event.AdminReloaded:
		return m.by() + " had the config read again.", ""
	case event.AdminUpgraded:
		return m.by() + " had another process take over.", ""
	case event.AdminShown:
		return m.by() + " had decisions shown to " + who + ", or ended that.", ""
	case event.RevocationFailed, event.StoreFailed, event.KeysBad, event.AuditLost:
		tone = "warn"
	}
	if k := event.KindOf(m.Name); k != nil {
		return k.Says, tone
	}
	return string(m.Name), tone
}

// then is what was done about a risk signal.
func (m *Moment) then() string {
	switch m.Action {
	case "step_up":
		return ", and goes on after a fresh sign-in alone"
	case "revoke":
		return ", and was ended"
	}
	return ""
}

func (m *Moment) by() string {
	if m.Actor == "" || m.Actor == byToken {
		return "The operator's token"
	}
	return m.Actor
}

func (m *Moment) of() string {
	switch {
	case m.User != "":
		return " of " + m.User
	case m.Session != "":
		return " (" + m.Session + ")"
	}
	return ""
}

// reason is one of the words of events, for people.
func reason(word string) string {
	if words, ok := reasons[word]; ok {
		return words
	}
	if word == "" {
		return "nobody knows why"
	}
	return strings.ReplaceAll(word, "_", " ")
}

var reasons = map[string]string{
	event.BadCredentials: "wrong name or password", event.TooMany: "too many attempts lately", event.ProviderRefused: "the provider said no",
	event.NotAllowed: "the rules of the provider's config do not let them in", event.Insufficient: "the page wants a stronger sign-in",
	event.Unavailable: "a provider or the store is out of order", event.CookieLost: "the browser did not bring the cookie back",
	event.BadCallback: "the callback was malformed or too late", event.SubjectChanged: "the provider answered for somebody else",
	event.SignedOut: "they signed out", event.ByProvider: "by the provider", event.ByOperator: "by the operator", event.ByPerson: "by the same person, elsewhere",
	event.Replaced: "somebody else signed in in the same browser", event.IdleTooLong: "nobody had used it for too long", event.LifetimeOver: "its time was over",
	event.OtherBrowser: "since it was used by another browser than it was signed in by", event.InParallel: "since it was used by two browsers in two networks at the same time",
	event.WithoutDevice: "since it was asked for again and again without the proof of its device",
	event.NewPassword:   "the password was changed", event.GrantRefused: "the provider said a clear no", event.UserWithdrawn: "the user is gone or disabled",
	event.ProviderGone: "its provider is not configured any more", event.RenewalUnclear: "the answer was neither a yes nor a clear no",
}

// row is a moment in the timeline.
func (m *Moment) row(now time.Time) []Cell {
	words, tone := m.what()
	var more []string
	if m.Times > 1 {
		more = append(more, fmt.Sprintf("%d times since %s; the last one is told", m.Times, moment(m.At, now).Text))
	}
	if m.Detail != "" {
		more = append(more, m.Detail)
	}
	for _, a := range []struct{ label, value string }{{"provider", m.Provider}, {"session", m.Session}, {"from", m.Client}} {
		if a.value != "" {
			more = append(more, a.label+" "+a.value)
		}
	}
	return []Cell{moment(m.Until, now), {Text: words, Tone: tone, More: strings.Join(more, " · ")}, {Text: string(m.Name), Tone: "quiet"}}
}
