package attacks

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// framingH2 is what came of a request over HTTP/2.
type framingH2 struct {
	status string // of the answer; "reset" is the end of the stream, "closed" of the connection
	header map[string]string
	body   string
}

// h2 sends one request over HTTP/2, on a connection of its own: the fields as they are
// given, in pairs of name and value, and then each of bodies in a DATA frame of its own.
func (l *lab) h2(fields []string, bodies ...string) *framingH2 {
	l.t.Helper()
	c, err := tls.Dial("tcp", l.address, l.tlsConfig(gatewayHost, "h2"))
	if err != nil {
		l.t.Fatalf("connect to the gateway: %v", err)
	}
	defer c.Close()
	if p := c.ConnectionState().NegotiatedProtocol; p != "h2" {
		l.t.Fatalf("got the protocol %q, want h2", p)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	var out bytes.Buffer // all of it goes out at once
	f := http2.NewFramer(&out, c)
	f.AllowIllegalWrites = true
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	out.WriteString(http2.ClientPreface)
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	err = errors.Join(f.WriteSettings(),
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: len(bodies) == 0, EndHeaders: true}))
	for i, b := range bodies {
		err = errors.Join(err, f.WriteData(1, i == len(bodies)-1, []byte(b)))
	}
	if err == nil {
		_, err = c.Write(out.Bytes())
	}
	if err != nil {
		l.t.Fatal(err)
	}
	got := &framingH2{header: map[string]string{}}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			if isTimeout(err) {
				l.t.Fatalf("no answer over HTTP/2 to %.300q", fields)
			}
			if !errors.Is(err, io.EOF) && !isReset(err) {
				l.t.Fatalf("HTTP/2: %v", err)
			}
			got.status = "closed"
			return got
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				out.Reset()
				_ = f.WriteSettingsAck()
				_, _ = c.Write(out.Bytes())
			}
		case *http2.MetaHeadersFrame:
			for _, h := range frame.Fields {
				got.header[h.Name] = h.Value
			}
			got.status = got.header[":status"]
			if frame.StreamEnded() {
				return got
			}
		case *http2.DataFrame:
			got.body += string(frame.Data())
			if frame.StreamEnded() {
				return got
			}
		case *http2.RSTStreamFrame:
			if got.status == "" || frame.ErrCode != http2.ErrCodeNo {
				got.status = "reset"
			}
			return got
		case *http2.GoAwayFrame:
			if frame.ErrCode != http2.ErrCodeNo {
				got.status = "closed"
				return got
			}
		}
	}
}

// h2Get are the fields of GET, with more behind them.
func (l *lab) h2Get(path string, more ...string) []string {
	return append([]string{":method", "GET", ":scheme", "https", ":authority", l.host, ":path", path}, more...)
}

// is fails the case unless the status is one of them.
func (got *framingH2) is(t *testing.T, what string, want ...string) {
	t.Helper()
	for _, w := range want {
		if got.status == w {
			return
		}
	}
	t.Errorf("%s over HTTP/2: got %s %.200q, want %s", what, got.status, got.body, strings.Join(want, " or "))
}

// h2Fields are the lines of an HTTP/1.1 header as fields.
func h2Fields(lines ...string) (fields []string) {
	for _, line := range lines {
		if name, value, ok := strings.Cut(line, ": "); ok {
			fields = append(fields, strings.ToLower(name), value)
		}
	}
	return fields
}
