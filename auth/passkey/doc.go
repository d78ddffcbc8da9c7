// Package passkey makes and checks passkeys (WebAuthn Level 3) of the users that are kept here. It
// keeps them in a credential.Book, so that all gateways on one store take them.
//
// A passkey belongs to the host of public_url, the relying party, and what is signed at any other
// origin is refused, also at one of the same host: a page that only looks like the gateway's
// gets nothing that is worth anything here. No attestation is asked for, so nobody is told what
// kind of device somebody has.
package passkey
