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
// together, and that is reuse ([Reuse]). A child that would settle while siblings
// were handed out is probed the same way, on GET and HEAD, so that a late request
// cannot settle a child that the jar has replaced since. Other methods leave it
// unsettled until nothing from that time can still be under way: 11 S, a request that
// is ten S late and the answer before it. And while a sibling was handed out less than
// S (and a quarter of it) ago, nothing settles: the answer that carries it may still be
// on its way to the jar. Without that, 1 in 400 simulated histories with slow upstreams
// ended with an honest browser signed out. It waits no longer than 11 S, and a child that
// is in use keeps the parent from being handed another: a thief who kept coming with the
// parent would otherwise keep every child from settling, and was not seen in the
// simulation.
//
// # Behind a front proxy
//
// Where a proxy in front gives the answers and asks before, the cookie of now would go out
// with the answer of later: such answers carry none. A person who opens a page is sent round
// by an answer of the gateway's own instead ([Family.Due]). Their browser sends what is in the
// jar just then, so that a child which was seen for a moment does not keep it from getting
// another. Who opens no page, and asks for nothing else of the gateway's own, goes on with the
// parent: a thief of that cookie is seen within two rotations of somebody's opening pages.
//
// # Hosts
//
// A session has a family for each host that it is used on. A further host gets its own by
// a code ([Manager.Send], [Manager.Receive]); where it has one already, a browser comes for
// another handle, since its cookie is gone or two tabs are at it, and [Family.Join] gives it
// a child of the next generation, or of this one while that is open. What was handed out before
// goes on working until a child settles. A sealed handle whose family the record does not
// have is ahead of it: of a copy that is a moment old, or of a store that lost its last writes.
//
// # What is left
//
// The simulation (TestSimulation; make soak plays a million histories) knows one class of
// histories in which an honest browser is signed out: a browser crashes within 30 s of
// being handed a lone child and comes back with the jar of before, while a request with
// that child is still under way for more than S. The request settles the child, and the
// jar holds its parent. With both troubles far more frequent than they are anywhere, that
// was 3 in 24,000 histories. To probe lone children too ends it (none in 40,000), and
// would send every client that makes one request at a time round a 307 at each rotation.
// Likewise a session ends whose grant was on the wire, or could not be stored, when its
// gateway was killed (R10), and one whose renewal both the store and every gateway that
// knew of it have lost. And where a store loses a sign-out, a gateway that had not heard of
// it yet may serve the session once more in the second until whoever made it makes it again.
//
// What follows, and must stay true:
//
//   - A lost Set-Cookie costs nothing: the parent works until a child settles.
//   - A browser that crashes and comes back with a jar less than S old is accepted.
//   - A handle of a later generation than the store's is accepted and moves
//     the record forward: the store lost its last writes, the browser did not.
//   - The hot path, a settled child, writes nothing.
//
// # Risk signals
//
// A handle says which session, and not who has it. What else a request says of that is compared
// with what the session's record and its entry remember: see [Risks]. The protocol above knows nothing of it.
//
// # Renewal
//
// The access token behind a session is renewed by a request that needs it, in
// a goroutine of the [Manager]'s own which no browser can cancel, once for all
// requests that wait. While the token is valid nobody waits: the request goes
// up with the token at hand. Only a *auth.Refused ends a session.
//
// Several processes on one [Store] renew under its lease, read again under it, and
// store by compare and set; what the store loses they put back.
//
// # With no store
//
// A [Stateless] keeps sessions in cookies alone: the refresh token itself, sealed.
// There is nothing to look a handle up in, so no handle protocol either; the refresh
// token is what rotates.
package session
