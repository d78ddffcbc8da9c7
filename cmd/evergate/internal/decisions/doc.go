// Package decisions is what a gateway that runs tells of its decisions: the last ones of
// each session with the rules behind them, what rules that are only observed would have
// decided, and a header on the answers of whoever an operator looks after.
//
// Requests only leave a fact behind, in a ring that is there already. Which rule held and
// which did not is worked out when somebody asks, by the rules of then and from the same
// Question. So a request costs a copy of some hundred bytes, and an explanation cannot
// disagree with the decision: it is the same code.
//
//	request ─▶ gate ─▶ Edition.Decided ─▶ ring of the session     ─▶ Log.List, with Policy.Explain
//	                                   ├▶ differences, where rules observe ─▶ Log.Differences
//	                                   └▶ header, where the user is shown
package decisions
