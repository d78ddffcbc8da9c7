// Package dashboard is what an operator looks at while something is going wrong: pages that
// say what is wrong now, what happened, who is signed in and which config is in force.
//
//	events, requests ─▶ History ─┐
//	                             ├─▶ pages, and the same once a second by event stream
//	the parts of a gateway ─▶ Source ─┘
//
// Pages are whole without a script. The script that comes with them is sent the same cells
// that the templates render, and puts them in their places.
//
// There are two ways in, which lead to the same pages: Handler.Private, on the admin
// listener, asks for the operator's token; Handler.Published is for a route whose rules have
// let somebody pass.
package dashboard
