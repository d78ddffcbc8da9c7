// Package accesslog writes the log so that no request waits for it. An access line is encoded
// by hand into a queue of bytes, and one goroutine writes the queue, many lines at a time:
//
//	request ── line ──▶ ┌─────────────────┐
//	                    │ at most 4 MiB   │ ──▶ writer ──▶ standard error
//	slog ── record ───▶ │ first in, first │     50 ms later at most,
//	        (waits)     │ out             │     at once for a record
//	                    └─────────────────┘
//
// Every other record goes through the same queue, so the log reads from top to bottom, and
// whoever logs one waits until it is written with all before it: what is logged ahead of a crash
// is there. Where what takes the log is stuck nobody waits: lines that find no place are counted,
// and a line says so once there is place again.
package accesslog
