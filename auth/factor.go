package auth

import (
	"context"
	"slices"
	"time"
)

// Factors are what the gateway's own users prove who they are with besides their password. Nil
// parts are those that there are none of.
type Factors struct {
	// Credentials says who has what. It is required.
	Credentials Credentials
	// Users makes Logins of what was proven. It is required.
	Users Prover
	// Codes checks one-time and recovery codes, and sets authenticators up.
	Codes OneTimeCodes
	// Passkeys makes and checks passkeys.
	Passkeys Passkeys
	// Prefix stands before user names in rules: see local.Method.
	Prefix string
	// Required has everybody prove more than a password: who has nothing to do it with sets it
	// up at their next sign-in.
	Required bool
}

// Credentials says what users have enrolled. The error is a *Unavailable.
type Credentials interface {
	Enrolled(ctx context.Context, user string) (Enrolled, error)
}

// Enrolled is what a user can prove who they are with besides the password.
type Enrolled struct {
	// Passkeys are theirs, in the order in which they were made.
	Passkeys []Passkey
	// Authenticator is when an app that makes one-time codes was set up; zero is never.
	Authenticator time.Time
	// Codes is how many recovery codes are left.
	Codes int
}

// Passkey is one of them, as pages show it.
type Passkey struct {
	// ID names it in forms.
	ID string
	// Name is what its user calls it.
	Name string
	// Created and Used are when it was made, and used last; the zero Used is never.
	Created, Used time.Time
	// Synced says that it is not tied to one device.
	Synced bool
}

// Any reports whether there is anything.
func (e *Enrolled) Any() bool { return len(e.Passkeys) > 0 || !e.Authenticator.IsZero() }

// Proof is how somebody proved who they are, beyond what they are called.
type Proof struct {
	// AMR are the methods (RFC 8176), and ACR the class of all of them.
	AMR []string
	ACR string
}

// Classes of the sign-ins of the gateway's own users. What is phishing-resistant is by several
// factors too, so that a rule that asks for the latter takes it.
const (
	// ACRMulti is a sign-in by two factors.
	ACRMulti = "mfa"
	// ACRResistant is one that nobody can be talked out of (OpenID Connect Extended
	// Authentication Profile ACR Values 1.0, "phr"): a passkey, and a second factor.
	ACRResistant = "phr"
)

// appMeets reports whether a password and a code of an app are what d demands.
func (f *Factors) appMeets(d *Demand) bool {
	return (len(d.ACR) == 0 || slices.Contains(d.ACR, ACRMulti)) && (len(d.AMR) == 0 || overlap(d.AMR, []string{"pwd", "otp", "mfa"}))
}

// isOfClass reports whether a sign-in of class acr at a provider is of one of those that are wanted.
func isOfClass(provider, acr string, wanted []string) bool {
	return acr != "" && slices.Contains(wanted, acr) ||
		provider == passwordProvider && acr == ACRResistant && slices.Contains(wanted, ACRMulti)
}

// Prover makes Logins of users whose proof was looked at elsewhere. local.Method is one.
type Prover interface {
	// Proven returns the login of a user who proved who they are at a time, by the password of
	// stamp; "" is that of now, for whoever did so without a password. The error is a *Refused if
	// there is no such user any more, if they are disabled or if the password was changed
	// since, or a *Unavailable.
	Proven(ctx context.Context, user, stamp string, at time.Time, p Proof) (*Login, error)
}

// localCanMeet reports whether there is any sign-in of a local user that d demands, given what
// the gateway can check. Its age is not looked at: it would be made now.
func (f *Factors) localCanMeet(d *Demand) bool {
	if passwordMeets(d) {
		return true
	}
	if f == nil || f.Codes == nil && f.Passkeys == nil {
		return false
	}
	var amr []string
	acr := []string{ACRMulti}
	if f.Codes != nil {
		amr = append(amr, "pwd", "otp", "mfa")
	}
	if f.Passkeys != nil {
		amr = append(append(amr, "pwd"), passkeyAMR...)
		acr = append(acr, ACRResistant)
	}
	return (len(d.ACR) == 0 || overlap(d.ACR, acr)) && (len(d.AMR) == 0 || overlap(d.AMR, amr))
}

// with is p after what was proven by amr.
func (p Proof) with(amr []string) Proof {
	all := slices.Clone(amr)
	for _, m := range p.AMR {
		if !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	return Proof{AMR: all, ACR: p.ACR}
}
