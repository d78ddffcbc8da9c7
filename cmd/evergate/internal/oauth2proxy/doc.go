// Package oauth2proxy turns a configuration of oauth2-proxy into one of Evergate.
//
//	text ─▶ Read ─▶ settings ─▶ importer ─▶ outline ─▶ YAML that config.Parse takes
//	        which form?  with lines   table of options    in the order of the source
//
// Every option of oauth2-proxy has a row in a table (options*.go). The row says
// what becomes of it, and the guide in docs/ is made of the same rows. A setting
// that no code has turned into a line of the result leaves its row's note there, so
// that nothing is dropped in silence.
//
// Two rules stand above likeness. What comes out lets nobody pass who could not
// pass before: a restriction that cannot be carried over closes the way it guarded,
// and says so. And no secret is repeated: the result names a file, and how to make it.
package oauth2proxy
