package event

// Name is what happened. Names are stable: rules of monitoring are made of them.
type Name string

// The events.
const (
	SessionStarted       Name = "session.started"
	SessionEnded         Name = "session.ended"
	SessionRevoked       Name = "session.revoked"
	SessionWithdrawn     Name = "session.withdrawn"
	SessionHandedOver    Name = "session.handed_over"
	SessionRenewed       Name = "session.renewed"
	SessionRenewalFailed Name = "session.renewal_failed"
	SessionRotated       Name = "session.rotated"
	SessionBound         Name = "session.bound"
	DeviceMismatch       Name = "session.device_mismatch"
	ReuseSuspected       Name = "session.reuse_suspected"
	ReuseDetected        Name = "session.reuse_detected"
	RevocationFailed     Name = "session.revoke_failed"
	StoreFailed          Name = "session.store_failed"
	NewDevice            Name = "risk.new_device"
	NewNetwork           Name = "risk.new_network"
	ChangedBrowser       Name = "risk.changed_browser"
	ParallelUse          Name = "risk.parallel_use"
	LoginFailed          Name = "login.failed"
	PasswordChanged      Name = "password.changed"
	SecondFactorAdded    Name = "second_factor.added"
	SecondFactorRemoved  Name = "second_factor.removed"
	RecoveryCodesMade    Name = "second_factor.recovery_codes_made"
	RecoveryCodeUsed     Name = "second_factor.recovery_code_used"
	PasskeyAdded         Name = "passkey.added"
	PasskeyRemoved       Name = "passkey.removed"
	CloneSuspected       Name = "passkey.clone_suspected"
	PasswordReset        Name = "password.reset"
	ConfigReloaded       Name = "config.reloaded"
	ConfigBad            Name = "config.bad"
	KeysReloaded         Name = "keys.reloaded"
	KeysBad              Name = "keys.bad"
	UsersReloaded        Name = "users.reloaded"
	AdminSignedIn        Name = "admin.signed_in"
	AdminRefused         Name = "admin.refused"
	AdminRevoked         Name = "admin.revoked"
	AdminReloaded        Name = "admin.reload"
	AdminUpgraded        Name = "admin.upgrade"
	AdminShown           Name = "admin.decisions_shown"
	AdminInvited         Name = "admin.invited"
	AdminFactorsReset    Name = "admin.mfa_reset"
	AdminForgot          Name = "admin.forgot"
	ProviderAway         Name = "provider.away"
	ProviderBack         Name = "provider.back"
	UpstreamAway         Name = "upstream.away"
	UpstreamBack         Name = "upstream.back"
	StoreAway            Name = "store.away"
	StoreBack            Name = "store.back"
	GatewayStarted       Name = "gateway.started"
	GatewayStopped       Name = "gateway.stopped"
	AuditLost            Name = "audit.lost"
)

// Kind is what the catalogue says of a Name.
type Kind struct {
	Name Name
	// Audit has it in the audit log.
	Audit bool
	// Own shows it to the person that it is about, on their account page.
	Own bool
	// Says is what it means, in a sentence.
	Says string
	// Fields are those of its line that are there besides the common ones; a field with
	// nothing to say is left out of a line.
	Fields []string
	// Reasons are the words of its field "reason", where it has one.
	Reasons []string
}

// Fields of the audit log.
const (
	fUser, fProvider, fSubject, fSession = "user", "provider", "subject", "session"
	fReason, fResource, fPart, fActor    = "reason", "resource", "part", "actor"
	fChanged, fCount, fTook, fDetail     = "changed", "count", "took_ms", "detail"
	fBefore, fNow, fAction               = "before", "now", "action"
)

var who = []string{fUser, fProvider, fSubject, fSession}

func with(fields ...string) []string { return append(append([]string{}, who...), fields...) }

// Why somebody was not signed in: reasons of LoginFailed.
const (
	BadCredentials  = "credentials"   // no such user, a wrong password, or disabled
	BadSecondFactor = "second_factor" // the password was right, and what was to prove more was not
	BadPasskey      = "passkey"       // a passkey without a password could not be verified, or its user is disabled
	BadInvite       = "invite"        // a one-time code for a new password that was never made, is over or was used
	TooMany         = "throttled"     // too many attempts failed lately
	ProviderRefused = "refused"       // the provider said no
	NotAllowed      = "not_allowed"   // the provider's `allow` does not let them in
	Insufficient    = "insufficient"  // it was not the sign-in that the page demands
	Unavailable     = "unavailable"   // a provider or a store was out of order
	CookieLost      = "cookie_lost"   // the browser did not bring the cookie back
	BadCallback     = "bad_callback"  // the callback was malformed, foreign or over
	SubjectChanged  = "other_subject" // a renewal answered for somebody else
)

// How a session ended: reasons of SessionEnded and SessionRevoked.
const (
	SignedOut     = "signed_out"      // the person did it here
	ByProvider    = "by_provider"     // back-channel or front-channel logout
	ByOperator    = "by_operator"     // the admin listener, or `evergate session revoke`
	ByPerson      = "by_person"       // on their account page, from another device
	Replaced      = "replaced"        // somebody else signed in in the same browser
	IdleTooLong   = "idle"            // idle_timeout
	LifetimeOver  = "lifetime"        // max_lifetime, or there was nothing to renew with
	NewPassword   = "password"        // it was changed
	GrantRefused  = "grant_refused"   // the provider said a clear no to a renewal
	WithoutDevice = "device"          // bound to a key, and asked for again and again without the proof of it
	OtherBrowser  = "changed_browser" // the signal of that name, where the config says revoke
	InParallel    = "parallel_use"    // the same
	UserWithdrawn = "user_withdrawn"  // gone from the users file, or disabled
	ProviderGone  = "provider_gone"   // its provider is not configured any more
)

// What it was: reasons of SecondFactorAdded and SecondFactorRemoved.
const (
	ByApp = "app" // an app that makes one-time codes
)

// Why a renewal did not work: reasons of SessionRenewalFailed.
const (
	RenewalUnavailable = "unavailable" // the provider or the store is out of order
	RenewalUnclear     = "unclear"     // an answer that is neither a yes nor a clear no
)

// Why a config was read again: reasons of ConfigReloaded and ConfigBad.
const (
	ByFile    = "file"    // one of its files holds something else
	BySignal  = "signal"  // SIGHUP
	ByCommand = "command" // `evergate reload`, or the dashboard
)

// Kinds is the catalogue, in the order of the reference. Nobody edits it.
var Kinds = []Kind{
	{Name: SessionStarted, Audit: true, Own: true, Says: "Somebody signed in.", Fields: with()},
	{Name: LoginFailed, Audit: true, Own: true, Says: "Somebody was not signed in. The user is named where there is such a user.",
		Fields:  []string{fUser, fProvider, fSubject, fReason, fDetail},
		Reasons: []string{BadCredentials, BadSecondFactor, BadPasskey, BadInvite, TooMany, ProviderRefused, NotAllowed, Insufficient, Unavailable, CookieLost, BadCallback}},
	{Name: SessionHandedOver, Audit: true, Says: "A sign-in was handed to the host of an app.", Fields: with()},
	{Name: SessionEnded, Audit: true, Own: true, Says: "A session ended: its person signed out, or its time was over when it was used next.",
		Fields: with(fReason), Reasons: []string{SignedOut, Replaced, IdleTooLong, LifetimeOver}},
	{Name: SessionRevoked, Audit: true, Own: true, Says: "Somebody else, or the same person elsewhere, ended a session.",
		Fields: with(fReason), Reasons: []string{ByProvider, ByOperator, ByPerson, NewPassword, WithoutDevice, OtherBrowser, InParallel}},
	{Name: SessionWithdrawn, Audit: true, Own: true, Says: "A session was ended since its grant or its user is not good any more.",
		Fields: with(fReason, fDetail), Reasons: []string{GrantRefused, SubjectChanged, UserWithdrawn, NewPassword, ProviderGone}},
	{Name: SessionRenewed, Says: "An access token was renewed.", Fields: with(fResource, fTook)},
	{Name: SessionRenewalFailed, Audit: true, Says: "A renewal did not work, and the session is kept.",
		Fields: with(fReason, fResource, fTook, fDetail), Reasons: []string{RenewalUnavailable, RenewalUnclear}},
	{Name: SessionRotated, Says: "A handle rotated.", Fields: with()},
	{Name: SessionBound, Audit: true, Says: "A session was bound to a key that only its browser has.", Fields: with()},
	{Name: DeviceMismatch, Audit: true, Own: true, Says: "A bound session was asked for without the proof of its device, and not served: its cookies were copied, or the browser has lost the key.",
		Fields: with(fCount)},
	{Name: ReuseSuspected, Audit: true, Says: "A spent handle came: a late request, or the first sign of a theft.", Fields: with()},
	{Name: ReuseDetected, Audit: true, Own: true, Says: "A spent handle is in a cookie jar still: it was stolen, and the session is revoked.", Fields: with()},
	{Name: NewDevice, Audit: true, Own: true, Says: "Somebody signed in by a browser that is not known at their account: before has those that are.",
		Fields: with(fBefore, fNow, fAction)},
	{Name: NewNetwork, Audit: true, Own: true, Says: "A session is used from a network that it was not used from yet: before has that of the sign-in.",
		Fields: with(fBefore, fNow, fAction)},
	{Name: ChangedBrowser, Audit: true, Own: true, Says: "A session is used by another browser, or on another system, than it was signed in by. A cookie does not go from one to the other by itself.",
		Fields: with(fBefore, fNow, fAction)},
	{Name: ParallelUse, Audit: true, Own: true, Says: "A session is used by two browsers in two networks, by turns and within seconds.",
		Fields: with(fBefore, fNow, fAction)},
	{Name: RevocationFailed, Audit: true, Says: "The tokens of an ended session could not be revoked at the provider.", Fields: with(fDetail)},
	{Name: StoreFailed, Says: "What changed of a session could not be stored; it is kept in memory until it can.", Fields: with(fDetail)},
	{Name: PasswordChanged, Audit: true, Own: true, Says: "A password was changed on the account page.", Fields: with()},
	{Name: SecondFactorAdded, Audit: true, Own: true, Says: "Somebody set up what they prove who they are with, besides their password.",
		Fields: with(fReason), Reasons: []string{ByApp}},
	{Name: SecondFactorRemoved, Audit: true, Own: true, Says: "Somebody took away what they proved who they are with, besides their password.",
		Fields: with(fReason), Reasons: []string{ByApp}},
	{Name: RecoveryCodesMade, Audit: true, Own: true, Says: "Somebody got recovery codes; those of before are worth nothing.", Fields: with()},
	{Name: RecoveryCodeUsed, Audit: true, Own: true, Says: "Somebody signed in by a recovery code; count is how many they have left, and is not there where that is none.",
		Fields: []string{fUser, fProvider, fSubject, fCount}},
	{Name: PasskeyAdded, Audit: true, Own: true, Says: "Somebody made a passkey; \"part\" is what they call it.", Fields: with(fPart)},
	{Name: PasskeyRemoved, Audit: true, Own: true, Says: "Somebody removed a passkey of theirs.", Fields: with(fPart)},
	{Name: CloneSuspected, Audit: true, Own: true, Says: "A passkey counted backwards and was refused: somebody may have a copy of it.", Fields: with(fPart)},
	{Name: PasswordReset, Audit: true, Own: true, Says: "A password was set by a one-time code that the operator had made.", Fields: []string{fUser, fProvider, fSubject}},
	{Name: ConfigReloaded, Audit: true, Says: "Another config is in force: the policy may have changed.", Fields: []string{fReason, fChanged},
		Reasons: []string{ByFile, BySignal, ByCommand}},
	{Name: ConfigBad, Audit: true, Says: "A config could not be used; the one of before stays in force.", Fields: []string{fReason, fDetail},
		Reasons: []string{ByFile, BySignal, ByCommand}},
	{Name: UsersReloaded, Audit: true, Says: "The users file was read again.", Fields: []string{fCount}},
	{Name: KeysReloaded, Audit: true, Says: "The key ring was read again.", Fields: []string{fCount}},
	{Name: KeysBad, Audit: true, Says: "The key ring changed and cannot be used; the keys of before stay in force.", Fields: []string{fDetail}},
	{Name: AdminSignedIn, Audit: true, Says: "Somebody opened the dashboard with the operator's token.", Fields: []string{fActor}},
	{Name: AdminRefused, Audit: true, Says: "Somebody came to the admin listener without the operator's token.", Fields: []string{fReason}},
	{Name: AdminRevoked, Audit: true, Says: "The operator ended sessions.", Fields: []string{fActor, fUser, fSession, fCount}},
	{Name: AdminReloaded, Audit: true, Says: "The operator had the config read again.", Fields: []string{fActor}},
	{Name: AdminUpgraded, Audit: true, Says: "The operator had another process take over.", Fields: []string{fActor}},
	{Name: AdminShown, Audit: true, Says: "The operator had decisions shown in the answers to somebody, or ended that.", Fields: []string{fActor, fUser, fDetail}},
	{Name: AdminInvited, Audit: true, Says: "The operator had a one-time code made by which somebody sets their password.", Fields: []string{fActor, fUser}},
	{Name: AdminFactorsReset, Audit: true, Says: "The operator had somebody's passkeys, authenticator and recovery codes taken away, and their sessions ended.", Fields: []string{fActor, fUser, fCount, fDetail}},
	{Name: AdminForgot, Audit: true, Says: "The operator had everything taken away that was kept of a user beside the users file.", Fields: []string{fActor, fUser}},
	{Name: ProviderAway, Audit: true, Says: "A provider does not answer: renewals wait, sessions are kept.", Fields: []string{fProvider, fDetail}},
	{Name: ProviderBack, Audit: true, Says: "A provider answers again.", Fields: []string{fProvider}},
	{Name: UpstreamAway, Says: "A target of an upstream fails its health check, or was set aside for its errors.", Fields: []string{fPart, fDetail}},
	{Name: UpstreamBack, Says: "A target of an upstream is well again.", Fields: []string{fPart}},
	{Name: StoreAway, Audit: true, Says: "The session store is out of order.", Fields: []string{fPart, fDetail}},
	{Name: StoreBack, Audit: true, Says: "The session store is back.", Fields: []string{fPart}},
	{Name: GatewayStarted, Audit: true, Says: "A gateway is up; part is its version.", Fields: []string{fPart}},
	{Name: GatewayStopped, Audit: true, Says: "A gateway goes down; detail is there where it does not do so because it was asked to.", Fields: []string{fPart, fDetail}},
	{Name: AuditLost, Audit: true, Says: "Events were lost between the last line and this one: what takes them was too slow.", Fields: []string{fCount}},
}

var byName = func() map[Name]*Kind {
	m := make(map[Name]*Kind, len(Kinds))
	for i := range Kinds {
		m[Kinds[i].Name] = &Kinds[i]
	}
	return m
}()

// KindOf returns what the catalogue says of a name, or nil.
func KindOf(n Name) *Kind { return byName[n] }
