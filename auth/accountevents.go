package auth

import (
	"net/http"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

// maxOwnEvents bounds what the account page shows of them.
const maxOwnEvents = 50

// eventView is one thing that happened, in words.
type eventView struct {
	Words   web.Message
	Times   int  // how often it came in a row
	Alarm   bool // it may be somebody else's doing
	When    moments
	Address string
	Device  web.Text // "" where nobody came
	Current bool     // it is about the session at hand
}

// listEvents fills in what happened, or says why there is nothing to be seen.
func (h *Handler) listEvents(r *http.Request, login *Login, v *accountView) {
	if h.cfg.Journal == nil {
		v.EventsNote = "This gateway keeps no record of what happened to accounts where you could read it."
		return
	}
	all, err := h.cfg.Journal.Own(r.Context(), login)
	if err != nil {
		web.NoteOf(r.Context()).Err = err
		v.EventsNote = "What happened lately cannot be shown right now. Try again shortly."
		return
	}
	now := h.cfg.Now()
	for _, e := range all[:min(len(all), maxOwnEvents)] {
		kind := event.KindOf(e.Name)
		if kind == nil || !kind.Own {
			continue
		}
		row := eventView{Words: eventWords(e.Name, e.Reason), Times: max(e.Count, 1), When: moments{ago(e.At, now), e.At}, Address: e.Origin.Client,
			Alarm:   alarming(e.Name),
			Current: login.Session != nil && e.Session == login.Session.ID()}
		if e.Origin.Agent != "" {
			row.Device = device(e.Origin.Agent)
		}
		v.Events = append(v.Events, row)
	}
	if len(v.Events) == 0 {
		v.EventsNote = "Nothing has happened lately."
	}
}

// alarming reports whether something may be somebody else's doing.
func alarming(name event.Name) bool {
	switch name {
	case event.ReuseDetected, event.DeviceMismatch, event.CloneSuspected, event.LoginFailed, event.NewDevice, event.ChangedBrowser, event.ParallelUse:
		return true
	}
	return false
}

// ownEvents are the words for what happened, by name, and by reason where it has one; "" is
// any other.
var ownEvents = map[event.Name]map[string]web.Message{
	event.SessionStarted: {"": "Signed in"},
	event.LoginFailed: {
		"":                    "A sign-in failed",
		event.BadCredentials:  "A sign-in failed: the password was wrong",
		event.BadSecondFactor: "A sign-in failed: the password was right, and the second proof was not",
		event.BadPasskey:      "A sign-in failed: the passkey could not be verified",
		event.BadInvite:       "A sign-in failed: a one-time code for a new password was not good",
		event.TooMany:         "A sign-in was put off: too many had failed",
		event.ProviderRefused: "A sign-in failed: the provider said no",
		event.NotAllowed:      "A sign-in failed: the account is not allowed here",
		event.Insufficient:    "A sign-in was not as strong as the page asked for",
		event.Unavailable:     "A sign-in failed: something was out of order",
		event.CookieLost:      "A sign-in did not stick: the browser kept no cookie",
		event.BadCallback:     "A sign-in failed: it could not be verified",
	},
	event.SessionEnded: {
		"":                 "A sign-in ended",
		event.SignedOut:    "Signed out",
		event.Replaced:     "Signed out: somebody signed in anew in the same browser",
		event.IdleTooLong:  "A sign-in ended: it was not used for long",
		event.LifetimeOver: "A sign-in ended: its time was over",
	},
	event.SessionRevoked: {
		"":                  "A device was signed out",
		event.ByProvider:    "A device was signed out by the provider",
		event.ByOperator:    "A device was signed out by whoever runs this gateway",
		event.ByPerson:      "A device was signed out on the account page",
		event.NewPassword:   "A device was signed out: the password was changed",
		event.OtherBrowser:  "A device was signed out for safety: another browser used its sign-in",
		event.InParallel:    "A device was signed out for safety: two browsers in two places used its sign-in at the same time",
		event.WithoutDevice: "A device was signed out for safety: somebody else asked for its sign-in again and again",
	},
	event.NewDevice:      {"": "Signed in by a browser that was not known at this account"},
	event.NewNetwork:     {"": "A sign-in was used from another network"},
	event.ChangedBrowser: {"": "A sign-in was used by another browser than the one it was made with"},
	event.ParallelUse:    {"": "A sign-in was used by two browsers in two places at the same time"},
	event.DeviceMismatch: {"": "A copy of a sign-in was tried on another device, and did not open anything"},
	event.SessionWithdrawn: {
		"":                   "A sign-in was withdrawn",
		event.GrantRefused:   "A sign-in was withdrawn by the provider",
		event.SubjectChanged: "A sign-in was withdrawn: the provider answered for somebody else",
		event.UserWithdrawn:  "A sign-in was withdrawn: the account was removed or disabled",
		event.NewPassword:    "A device was signed out: the password was changed",
		event.ProviderGone:   "A sign-in was withdrawn: this way to sign in is not set up any more",
	},
	event.ReuseDetected:   {"": "A device was signed out for safety: a copy of its sign-in was used"},
	event.PasskeyAdded:    {"": "A passkey was made"},
	event.PasskeyRemoved:  {"": "A passkey was removed"},
	event.CloneSuspected:  {"": "A passkey was refused for safety: somebody may have a copy of it. Remove it, and make a new one"},
	event.PasswordChanged: {"": "The password was changed"},
	event.SecondFactorAdded: {
		"":          "A second way to prove that it is you was set up",
		event.ByApp: "An app that makes codes was set up",
	},
	event.SecondFactorRemoved: {
		"":          "A second way to prove that it is you was removed",
		event.ByApp: "The app that makes codes was removed",
	},
	event.RecoveryCodesMade: {"": "Recovery codes were made; older ones are worth nothing"},
	event.RecoveryCodeUsed:  {"": "A recovery code was used to sign in"},
	event.PasswordReset:     {"": "The password was set by a one-time code"},
}

func eventWords(name event.Name, reason string) web.Message {
	if m, ok := ownEvents[name][reason]; ok {
		return m
	}
	if m, ok := ownEvents[name][""]; ok {
		return m
	}
	return web.Verbatim(string(name)) // one that a newer gateway wrote
}
