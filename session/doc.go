// Package session remembers a sign-in between requests.
//
// A session is one browser's sign-in. The browser holds a handle in a cookie,
// the store holds a sealed record, and the key to the record lies in the
// handle alone: a stolen store opens nothing, and a handle opens one session
// for as long as the store knows it.
//
// # The handle protocol
//
// A handle rotates, so that a copied cookie shows. The handles of one host's
// cookie are a [Family], and every step of its life is one call of
// [Family.Present] or [Family.Deliver]: pure functions of the family, the
// handle and the store's time, so that a simulation can drive the very code
// that serves.
//
//	           sign-in                     the settled child comes,
//	              │                        max(0.8 × token life, 2 S) after
//	              ▼                        the last rotation
//	┌──────── settled ───────────────────────────────┐
//	│   accepts: the settled child                   │  generation + 1,
//	│   writes nothing, delivers nothing             │  that child is the parent
//	└──────▲─────────────────────────────────────────┘
//	       │                                         ▼
//	       │  a child is used again        ┌──────── open ──────────────────────┐
//	       │  more than S after its        │  accepts: the parent, any child    │
//	       │  first use                    │  of this generation                │
//	       └───────────────────────────────│  delivers: a child of its own to   │
//	          siblings and parent are      │  each response to the parent, until│
//	          spent from here on           │  a child was seen in the last S    │
//	                                       └────────────────────────────────────┘
//
// S is [Rules.Grace]. Every response that hands out a handle hands out a child
// of its own, so two cookie jars never share one past the next rotation: where
// a thief and the owner are both active, one of them comes with a child that
// another child's settling has spent.
//
// A spent handle is never served, and is never a verdict by itself: a request
// may arrive minutes after its cookie was attached. It is sent back once
// ([Probe]) with a sealed cookie that names it, valid for 60 s. A request that
// was merely late comes again with the cookies the jar holds now and is
// served; a jar that really holds the spent handle brings handle and probe
// together, and that is reuse ([Reuse]). A child that would settle is probed the
// same way, on GET and HEAD, so that a late request cannot settle a child that the
// jar has replaced, or lost in a crash, since. Other methods leave it unsettled
// until nothing from that time can still be under way: 11 S, a request that is ten
// S late and the answer before it. And while a sibling was handed out less than S
// (and a quarter of it) ago, nothing settles: the answer that carries it may still be
// on its way to the jar.
//
// The simulation (TestSimulation) decided on the last two. Where a child that was
// handed out alone settled without a probe, 3 of 24,000 histories ended with an honest
// browser signed out: it crashed, its jar went back to the parent, and a late request
// settled the child. Without the wait for siblings, 1 in 400 with slow upstreams did.
//
// What follows, and must stay true:
//
//   - A lost Set-Cookie costs nothing: the parent works until a child settles.
//   - A browser that crashes and comes back with a jar less than S old is accepted.
//   - A handle of a later generation than the store's is accepted and moves
//     the record forward: the store lost its last writes, the browser did not.
//   - The hot path, a settled child, writes nothing.
//
// # Renewal
//
// The access token behind a session is renewed by a request that needs it, in
// a goroutine of the [Manager]'s own which no browser can cancel, once for all
// requests that wait. While the token is valid nobody waits: the request goes
// up with the token at hand. Only a *auth.Refused ends a session.
package session
