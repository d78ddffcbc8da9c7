// Package bound has browsers prove that they hold a key which cannot be copied: Device Bound
// Session Credentials, as the W3C's draft of 2026-02-17 and Chromium have them.
//
// A browser that knows of it is offered a registration after the sign-in. It makes a key, in
// hardware where there is some, and sends the public half with a proof. From then on it has to
// prove every few minutes that it still holds the key, and gets a bound cookie for that, which
// a request needs beside the cookie of the session. Whoever copies all cookies of a browser has
// a session for as long as the bound cookie lives, and can never renew it.
//
// A proof names no session, no audience and no time: it is a signature over a challenge. So all
// of that is the challenge's matter, which is for whoever remembers the session (Bindings).
package bound
