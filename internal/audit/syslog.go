package audit

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"
)

// Facilities of syslog (RFC 5424 section 6.2.1) that logs of this kind go to.
var Facilities = map[string]int{"user": 1, "daemon": 3, "auth": 4, "authpriv": 10, "local0": 16, "local1": 17, "local2": 18,
	"local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23}

const (
	severityNotice = 5
	syslogTimeout  = 2 * time.Second
	// redialEvery is how long a syslog that does not answer is left alone: lines are lost
	// meanwhile, rather than queue behind a dial each.
	redialEvery = 5 * time.Second
)

// syslog sends lines as messages of RFC 5424: over UDP one datagram each (RFC 5426), over TCP
// with their length in front (RFC 6587 section 3.4.1). A unix socket is the one of syslog(3), at
// which rsyslog and the journal understand the older form alone, without a host.
type syslog struct {
	network, address string
	name             string
	facility         int
	host             string

	conn  net.Conn
	tried time.Time
}

// Syslog returns a Sink that sends to udp://host:port, tcp://host:port or
// unix:///path/to/socket. It connects when there is something to say.
func Syslog(to *url.URL, facility string) (Sink, error) {
	s := &syslog{name: "the syslog at " + to.String(), facility: Facilities[facility]}
	switch to.Scheme {
	case "udp", "tcp":
		s.network, s.address = to.Scheme, to.Host
	case "unix":
		s.network, s.address = "unixgram", to.Path
	default:
		return nil, fmt.Errorf("syslog %s: want udp://host:514, tcp://host:601 or unix:///dev/log", to)
	}
	if s.facility == 0 {
		return nil, fmt.Errorf("syslog: there is no facility %q", facility)
	}
	var err error
	if s.host, err = os.Hostname(); err != nil || s.host == "" {
		s.host = "-"
	}
	return s, nil
}

// Write implements Sink.
func (s *syslog) Write(line []byte) (int, error) {
	now, priority := time.Now(), s.facility*8+severityNotice
	var message []byte
	if s.network == "unixgram" {
		message = fmt.Appendf(nil, "<%d>%s evergate[%d]: ", priority, now.Format(time.Stamp), os.Getpid())
	} else {
		message = fmt.Appendf(nil, "<%d>1 %s %s evergate %d audit - ", priority, now.UTC().Format("2006-01-02T15:04:05.000Z"), s.host, os.Getpid())
	}
	message = append(message, bytes.TrimRight(line, "\n")...)
	if s.network == "tcp" {
		message = append(strconv.AppendInt(nil, int64(len(message)), 10), append([]byte{' '}, message...)...)
	}
	// A daemon that was restarted shows by the first write alone: that one goes again.
	for again := s.conn != nil; ; again = false {
		err := s.send(message)
		if err == nil {
			return len(line), nil
		}
		if !again {
			return 0, err
		}
	}
}

func (s *syslog) send(message []byte) error {
	if s.conn == nil {
		if time.Since(s.tried) < redialEvery {
			return fmt.Errorf("it did not answer a moment ago")
		}
		conn, err := net.DialTimeout(s.network, s.address, syslogTimeout)
		if err != nil {
			s.tried = time.Now()
			return err
		}
		s.conn = conn
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(syslogTimeout))
	if _, err := s.conn.Write(message); err != nil {
		_ = s.conn.Close() // half a message would spoil the next
		s.conn = nil
		return err
	}
	return nil
}

// Close implements Sink.
func (s *syslog) Close() error {
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}

func (s *syslog) String() string { return s.name }
