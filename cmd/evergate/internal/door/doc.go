// Package door is the front of the gateway: where connections come in, before
// anything is asked of who sends them.
//
//	socket ─▶ limits ─▶ PROXY header ─▶ TLS ─▶ HTTP/1.1 or HTTP/2 ─▶ the handler
//	systemd's  connections  trusted       Files
//	or ours    per address  proxies       or ACME
//
// What comes without TLS is thrifty: it spares quick requests what net/http does for slow ones.
//
// Beside it stands the listener that sends plain http on to https and answers the
// authority's HTTP-01 challenges.
package door
