// Package proxy carries requests: from the browser, past the rule, to the
// upstream and back.
//
//	request ─▶ method ─▶ Clean ─▶ Router ─▶ Authenticator ─▶ Policy ─▶ Upstream
//	           known?    one      one       who?             may       strip, set,
//	                     path     route     renew if due     they?     stream
//
// A [Gate] is that line. [Gate.Decide] is everything up to the rule and writes
// nothing; [Gate.ServeHTTP] acts on the [Decision].
//
// Three ideas hold it together.
//
// One string. [Clean] turns the request target into one canonical path. That
// string is matched, and that string is what the upstream receives: nothing
// parses the target a second time. A path that two servers could read
// differently is refused, or, where a route allows it, accepted only if every
// reading leads to the same route.
//
// Names belong to somebody. A header that says who the person is, where they
// come from or what they asked for is the gateway's. A client that sends one,
// in any spelling an upstream could confuse with it, is not heard; see headers.go.
//
// Cookies go out with the headers. Whether the browser is due a new cookie is
// asked at the last moment, once, when the response header is written: in
// ModifyResponse or in the answer that takes its place.
package proxy
