package tracing

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/slim/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// askTimeout bounds one attempt to hand over a batch.
	askTimeout = 10 * time.Second
	// tries is how often a batch is tried before it is dropped; pauses between them begin
	// with backOff, double, and are no longer than mostBackOff, whatever the collector says.
	tries       = 4
	backOff     = time.Second
	mostBackOff = 30 * time.Second
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 64 << 10
)

// sender hands batches to the collector (OTLP/HTTP with protobuf).
type sender struct {
	url      string
	header   http.Header
	resource *resourcepb.Resource
	scope    *commonpb.InstrumentationScope
	client   *http.Client
	close    func()
	timing
}

func newSender(o *Options) *sender {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: o.TLS, ForceAttemptHTTP2: true, TLSHandshakeTimeout: askTimeout,
		MaxIdleConnsPerHost: 1, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10}
	s := &sender{url: collectorOf(o.Endpoint), header: o.Header.Clone(), timing: o.timing, close: transport.CloseIdleConnections,
		scope: &commonpb.InstrumentationScope{Name: "github.com/evergate/evergate", Version: o.Version},
		// A redirect is not followed: a header of ours may be a secret.
		client:   &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		resource: &resourcepb.Resource{},
	}
	if s.header == nil {
		s.header = http.Header{}
	}
	s.header.Set("Content-Type", "application/x-protobuf")
	s.header.Set("Content-Encoding", "gzip")
	s.header.Set("User-Agent", "Evergate/"+o.Version)
	s.askTimeout, s.backOff = orElse(s.askTimeout, askTimeout), orElse(s.backOff, backOff)
	var instance [16]byte
	_, _ = rand.Read(instance[:]) // never fails (crypto/rand)
	for _, a := range [][2]string{{"service.name", o.Service}, {"service.version", o.Version}, {"service.instance.id", hex.EncodeToString(instance[:])},
		{"telemetry.sdk.name", "evergate"}, {"telemetry.sdk.language", "go"}, {"telemetry.sdk.version", o.Version}} {
		s.resource.Attributes = append(s.resource.Attributes,
			&commonpb.KeyValue{Key: a[0], Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: clean(a[1])}}})
	}
	return s
}

// send hands a batch over, and says how many of it were refused. It tries again where the
// collector may take it later; once hurry is closed it tries without a pause, and once.
func (s *sender) send(ctx context.Context, hurry <-chan struct{}, batch []*tracepb.Span) (refused int, err error) {
	body, err := s.pack(batch)
	if err != nil {
		return 0, err
	}
	for try := 1; ; try++ {
		var after time.Duration
		if refused, after, err = s.ask(ctx, body); err == nil {
			return refused, nil
		}
		if final, ok := errors.AsType[*finalError](err); ok {
			return 0, final
		}
		select {
		case <-hurry: // one more, which began after it was known that there is no later
			if refused, _, again := s.ask(ctx, body); again == nil {
				return refused, nil
			}
			return 0, err
		default:
		}
		if try == tries || ctx.Err() != nil {
			return 0, err
		}
		pause := s.backOff << (try - 1)
		pause = pause/2 + mrand.N(pause/2+1)
		sleep(ctx, hurry, min(max(pause, after), mostBackOff))
	}
}

func (s *sender) pack(batch []*tracepb.Span) ([]byte, error) {
	plain, err := proto.Marshal(&collectorpb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: s.resource, ScopeSpans: []*tracepb.ScopeSpans{{Scope: s.scope, Spans: batch}}}}})
	if err != nil {
		return nil, fmt.Errorf("pack spans: %w", err)
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(plain) // into memory
	_ = z.Close()
	return out.Bytes(), nil
}

// finalError is an answer that will be the same the next time.
type finalError struct{ text string }

func (e *finalError) Error() string { return e.text }

// ask sends a batch once. After is how long the collector asks to wait.
func (s *sender) ask(ctx context.Context, body []byte) (refused int, after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return 0, 0, &finalError{"send spans: " + err.Error()}
	}
	req.Header = s.header
	res, err := s.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return 0, 0, fmt.Errorf("the collector cannot be reached: %w", err)
	}
	defer res.Body.Close()
	said, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode >= 502 && res.StatusCode <= 504:
		return 0, retryAfter(res.Header.Get("Retry-After")), fmt.Errorf("the collector answered %d", res.StatusCode)
	case res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden:
		return 0, 0, &finalError{fmt.Sprintf("the collector answered %d: check tracing.headers_file and the client certificate", res.StatusCode)}
	case res.StatusCode >= 300 && res.StatusCode <= 399:
		return 0, 0, &finalError{"the collector answered with a redirect, which is not followed: set tracing.endpoint to where it leads"}
	case res.StatusCode == http.StatusNotFound:
		return 0, 0, &finalError{"the collector answered 404: check tracing.endpoint, and whether its OTLP receiver speaks http there"}
	case res.StatusCode < 200 || res.StatusCode > 299:
		return 0, 0, &finalError{fmt.Sprintf("the collector answered %d", res.StatusCode)}
	case err != nil:
		return 0, 0, nil // it has them, whatever it was about to say
	}
	return rejected(res.Header.Get("Content-Type"), said), 0, nil
}

// rejected reads how many spans of a batch were not taken.
func rejected(kind string, said []byte) int {
	var answer collectorpb.ExportTraceServiceResponse
	if !strings.HasPrefix(kind, "application/x-protobuf") || proto.Unmarshal(said, &answer) != nil {
		return 0
	}
	return int(min(max(answer.GetPartialSuccess().GetRejectedSpans(), 0), batchSize))
}

// retryAfter reads a time to wait (RFC 9110 section 10.2.3), in seconds or as a date.
func retryAfter(text string) time.Duration {
	if n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return time.Until(at)
	}
	return 0
}
