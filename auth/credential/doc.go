// Package credential keeps what the gateway itself writes down of how its own users prove who
// they are: their passkeys, the secret of their authenticator, their recovery codes, and the
// passwords that they changed. The users file stays the operator's, to be read and edited by
// hand; this lies beside the sessions, sealed, so that all gateways on one store have it.
package credential
