// Package tracing records spans and hands them to an OpenTelemetry collector, by OTLP over
// HTTP. A span is made as the message in which it travels, goes into a queue of fixed size
// when it ends, and leaves in batches. No request waits for any of that: where the
// collector does not keep up, spans are dropped and counted.
//
//	web.Serve ─▶ Tracer.Begin ─▶ span.Span ─▶ End ─▶ queue ─▶ sender ─▶ collector
//	             who is believed?  children            512 at a time, each 5 s
//
// The messages are those of opentelemetry-proto; the SDK is not needed for what is left.
package tracing
