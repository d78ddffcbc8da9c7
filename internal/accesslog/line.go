package accesslog

import (
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/evergate/evergate/internal/web"
)

// What is here writes, byte for byte, what slog writes of the same line (a test and a fuzz
// target hold it to that), without its allocations: so that who reads the log by one format
// reads access lines by it, too.

// plain are the bytes that both formats write as they are, wherever they stand.
var plain = func() (is [256]bool) {
	for c := '!'; c <= '~'; c++ {
		is[c] = c != '"' && c != '\\' && c != '='
	}
	return is
}()

func isPlain(s string) bool {
	for i := range len(s) {
		if !plain[s[i]] {
			return false
		}
	}
	return true
}

// appendJSON writes l as slog.JSONHandler does.
func appendJSON(b []byte, l *web.Line, hide *Redaction) []byte {
	b = append(b, `{"time":"`...)
	b = l.At.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","level":"`...)
	b = append(b, l.Level.String()...)
	b = append(b, `","msg":"`+web.AccessMessage+`"`...)
	b = jsonText(b, `,"request_id":`, l.RequestID)
	switch {
	case hide.Client != nil:
		b = jsonText(b, `,"client":`, hide.Client(l.Client))
	case !l.Client.IsValid():
		b = append(b, `,"client":""`...)
	case l.Client.Zone() != "": // any text
		b = jsonText(b, `,"client":`, l.Client.String())
	default:
		b = append(b, `,"client":"`...)
		b = append(l.Client.AppendTo(b), '"')
	}
	b = jsonText(b, `,"method":`, l.Method)
	b = jsonText(b, `,"host":`, l.Host)
	if !hide.Path {
		b = jsonText(b, `,"path":`, l.Path)
	}
	b = jsonSome(b, `,"trace_id":`, l.TraceID)
	b = jsonSome(b, `,"route":`, l.Route)
	b = jsonSome(b, `,"subject":`, subject(l, hide))
	b = jsonSome(b, `,"session":`, l.Session)
	b = jsonSome(b, `,"decision":`, l.Decision)
	b = jsonSome(b, `,"observed":`, l.Observed)
	b = jsonSome(b, `,"upstream":`, l.Upstream)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(l.Status), 10)
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, l.Bytes, 10)
	b = append(b, `,"dur_ms":`...)
	b = millis(b, l.Took, 'f')
	if l.Waited > 0 {
		b = append(b, `,"upstream_ms":`...)
		b = millis(b, l.Waited, 'f')
	}
	if l.Err != nil {
		b = jsonText(b, `,"err":`, l.Err.Error())
	}
	return append(b, "}\n"...)
}

func subject(l *web.Line, hide *Redaction) string {
	if hide.Subject != nil && l.Subject != "" {
		return hide.Subject(l.Subject)
	}
	return l.Subject
}

func jsonSome(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	return jsonText(b, key, s)
}

func jsonText(b []byte, key, s string) []byte {
	b = append(append(b, key...), '"')
	if isPlain(s) {
		b = append(b, s...)
	} else {
		b = appendEscaped(b, s)
	}
	return append(b, '"')
}

const hex = "0123456789abcdef"

// appendEscaped writes s for a JSON string: as encoding/json does, but for <, > and &.
func appendEscaped(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '\\' || c == '"':
				b = append(b, '\\', c)
			case c >= ' ':
				b = append(b, c)
			case c == '\n':
				b = append(b, '\\', 'n')
			case c == '\r':
				b = append(b, '\\', 'r')
			case c == '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, `\ufffd`...)
		case r == '\u2028' || r == '\u2029': // the ends of lines of JavaScript
			b = append(b, `\u202`...)
			b = append(b, hex[r&15])
		default:
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	return b
}

// appendText writes l as slog.TextHandler does.
func appendText(b []byte, l *web.Line, hide *Redaction) []byte {
	b = append(b, "time="...)
	b = appendMillisecond(b, l.At)
	b = append(b, " level="...)
	b = append(b, l.Level.String()...)
	b = append(b, " msg="+web.AccessMessage...)
	b = textText(b, " request_id=", l.RequestID)
	switch {
	case hide.Client != nil:
		b = textText(b, " client=", hide.Client(l.Client))
	case !l.Client.IsValid():
		b = append(b, ` client=""`...)
	case l.Client.Zone() != "": // any text
		b = textText(b, " client=", l.Client.String())
	default:
		b = l.Client.AppendTo(append(b, " client="...))
	}
	b = textText(b, " method=", l.Method)
	b = textText(b, " host=", l.Host)
	if !hide.Path {
		b = textText(b, " path=", l.Path)
	}
	b = textSome(b, " trace_id=", l.TraceID)
	b = textSome(b, " route=", l.Route)
	b = textSome(b, " subject=", subject(l, hide))
	b = textSome(b, " session=", l.Session)
	b = textSome(b, " decision=", l.Decision)
	b = textSome(b, " observed=", l.Observed)
	b = textSome(b, " upstream=", l.Upstream)
	b = append(b, " status="...)
	b = strconv.AppendInt(b, int64(l.Status), 10)
	b = append(b, " bytes="...)
	b = strconv.AppendInt(b, l.Bytes, 10)
	b = append(b, " dur_ms="...)
	b = millis(b, l.Took, 'g')
	if l.Waited > 0 {
		b = append(b, " upstream_ms="...)
		b = millis(b, l.Waited, 'g')
	}
	if l.Err != nil {
		b = textText(b, " err=", l.Err.Error())
	}
	return append(b, '\n')
}

func textSome(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	return textText(b, key, s)
}

func textText(b []byte, key, s string) []byte {
	b = append(b, key...)
	if isPlain(s) && s != "" || !needsQuotes(s) {
		return append(b, s...)
	}
	return strconv.AppendQuote(b, s)
}

// needsQuotes is slog's rule.
func needsQuotes(s string) bool {
	if s == "" {
		return true
	}
	for _, r := range s {
		switch {
		case r == '\\' || r == '\u007f': // and the latter stands there as it is
		case r < utf8.RuneSelf:
			if !plain[r] {
				return true
			}
		case r == utf8.RuneError || unicode.IsSpace(r) || !unicode.IsPrint(r):
			return true
		}
	}
	return false
}

// appendMillisecond writes t as RFC 3339 with three digits of a second.
func appendMillisecond(b []byte, t time.Time) []byte {
	// AppendFormat is quick with RFC3339Nano alone, which drops zeros at the end: a tenth of a
	// millisecond keeps it at four digits.
	end := len(b) + len("2006-01-02T15:04:05.000")
	b = t.Truncate(time.Millisecond).Add(time.Millisecond/10).AppendFormat(b, time.RFC3339Nano)
	return append(b[:end], b[end+1:]...)
}

// millis writes d in milliseconds, as the shortest number that is that one: in the form 'f' of
// JSON, or in 'g', which has an exponent from a million on.
func millis(b []byte, d time.Duration, form byte) []byte {
	us := d.Microseconds()
	if us < 0 || us >= 1e9 { // a clock that was put back, and streams
		return strconv.AppendFloat(b, float64(us)/1000, form, -1, 64)
	}
	b = strconv.AppendInt(b, us/1000, 10)
	if us %= 1000; us == 0 {
		return b
	}
	b = append(b, '.', '0'+byte(us/100))
	if us %= 100; us == 0 {
		return b
	}
	b = append(b, '0'+byte(us/10))
	if us %= 10; us == 0 {
		return b
	}
	return append(b, '0'+byte(us))
}
