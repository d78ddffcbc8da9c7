// Package web is the HTTP plumbing that every part shares: handlers that
// return errors, the one place that answers them, request ids, the access
// line, the client's address, the limit on bodies, and the frame of the pages.
//
//	listener ─▶ Serve ─▶ LimitBody ─▶ everything else
//	            note, X-Request-Id,   │
//	            access line, panics   └─▶ Handler returns an error ─▶ Respond
//	                                       a page for a person, problem+json for a program
package web
