// Package totp checks the codes that an authenticator app shows (RFC 6238), and the recovery codes
// of those who have lost theirs. What it has to remember lies in a credential.Book, so that a
// code is taken once by all gateways on one store, and a restart forgets no wrong one.
package totp
