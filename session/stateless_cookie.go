package session

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/evergate/evergate/auth"
)

const (
	purposeChunk = "chunk"
	// maxChunks bounds how many cookies one session takes. Servers and proxies give
	// up on request headers somewhere above 8 KiB.
	maxChunks = 6
	// maxCookieLine is the longest Set-Cookie that every browser keeps.
	maxCookieLine = 4096

	chunkVersion = 1
	chunkHeader  = 1 + 16 + 8 + 16 + 1 + 1
)

// cookieSet is what all chunks of one cookie carry together.
type cookieSet struct {
	session ID
	// generation counts the sets of a session, from 1.
	generation uint64
	// digest is that of data. Two sets of one generation, from before and after a
	// restart, do not mix either.
	digest [16]byte
	data   []byte // a packed payload
	key    Key    // of session, where the set was read
}

func newSet(generation uint64, data []byte) cookieSet {
	return cookieSet{generation: generation, digest: digestOf(data), data: data}
}

func digestOf(data []byte) [16]byte {
	sum := sha256.Sum256(data)
	return [16]byte(sum[:])
}

func chunkNames(cookie string) (names [maxChunks]string) {
	for i := range names {
		names[i] = cookie
		if i > 0 {
			names[i] += "-" + strconv.Itoa(i)
		}
	}
	return names
}

// chunks cuts the set into pieces. Each bears, authenticated, what set it is of,
// its place in it and how many there are: nothing is read of a set that is not
// whole.
func (c *cookieSet) chunks(room int) [][]byte {
	count := max((len(c.data)+room-1)/room, 1)
	all := make([][]byte, count)
	for i := range all {
		b := append(make([]byte, 0, chunkHeader+room), chunkVersion)
		b = append(b, c.session[:]...)
		b = binary.BigEndian.AppendUint64(b, c.generation)
		b = append(b, c.digest[:]...)
		b = append(b, byte(i), byte(count))
		all[i] = append(b, c.data[i*room:min((i+1)*room, len(c.data))]...)
	}
	return all
}

var errMixed = errors.New("session: the chunks are not those of one set")

// joinChunks is the reverse of chunks.
func joinChunks(chunks [][]byte) (c cookieSet, err error) {
	for i, b := range chunks {
		if len(b) < chunkHeader || b[0] != chunkVersion || int(b[chunkHeader-2]) != i || int(b[chunkHeader-1]) != len(chunks) ||
			string(b[:chunkHeader-2]) != string(chunks[0][:chunkHeader-2]) {
			return cookieSet{}, errMixed
		}
		c.data = append(c.data, b[chunkHeader:]...)
	}
	if len(chunks) == 0 {
		return cookieSet{}, errMixed
	}
	b := chunks[0][1:]
	copy(c.session[:], b)
	c.generation = binary.BigEndian.Uint64(b[16:])
	copy(c.digest[:], b[24:])
	if c.generation == 0 || c.digest != digestOf(c.data) {
		return cookieSet{}, errMixed
	}
	return c, nil
}

// read opens the set that r brings: all of it, or nothing.
func (s *Stateless) read(r *http.Request, host string) (cookieSet, error) {
	if values := s.chunkValues(r); len(values) > 0 {
		if known, ok := s.sets.find(s.cfg.Ring, host, values...); ok {
			return *known, nil
		}
	}
	keys := s.cfg.Ring.keys.Load() // those that it is opened by, or older ones
	c, values, err := s.readAnew(r, host)
	if err == nil {
		known := c
		s.sets.keep(keys, &known, host, values...)
	}
	return c, err
}

// chunkValues are the chunks that r brings, each once and none of the first ones left out;
// nil where it brings them otherwise.
func (s *Stateless) chunkValues(r *http.Request) []string {
	var values [maxChunks]string
	count := 0
	for p := pairsOf(r); ; {
		name, value, ok := p.next()
		if !ok {
			break
		}
		if !strings.HasPrefix(name, s.names[0]) {
			continue
		}
		switch i := slices.Index(s.names[:], name); {
		case i < 0:
		case value == "" || values[i] != "":
			return nil
		default:
			values[i] = value
			count++
		}
	}
	if slices.Contains(values[:count], "") {
		return nil
	}
	return slices.Clone(values[:count])
}

// readAnew is read for what nobody remembers. Values are those of the set, in its order.
func (s *Stateless) readAnew(r *http.Request, host string) (c cookieSet, all []string, err error) {
	var values [maxChunks]string
	var there [maxChunks]bool
	var brought []*http.Cookie // what to delete where it is no good
	count, twice := 0, false
	for _, c := range r.Cookies() {
		for i, name := range s.names {
			if c.Name != name {
				continue
			}
			if there[i] {
				twice = true
				continue
			}
			values[i], there[i] = c.Value, true
			brought = append(brought, s.clear(name))
			count++
		}
	}
	switch {
	case count == 0:
		return cookieSet{}, nil, &auth.Absent{Reason: auth.NoCookie}
	case twice:
		// One of them was planted, and which cannot be told.
		return cookieSet{}, nil, &auth.Absent{Reason: auth.Duplicate, Clear: brought}
	}
	chunks := make([][]byte, 0, count)
	for i, value := range values {
		if !there[i] {
			continue
		}
		plain, err := s.cfg.Ring.Open(purposeChunk, host, value)
		if errors.Is(err, ErrUnknownKey) {
			return cookieSet{}, nil, &auth.Unavailable{What: "the key of this session", Err: err}
		}
		chunks, all = append(chunks, plain), append(all, value) // nil where it does not open
	}
	if c, err = joinChunks(chunks); err != nil {
		return cookieSet{}, nil, &auth.Absent{Reason: auth.Damaged, Clear: brought}
	}
	c.key = c.session.Key()
	return c, all, nil
}

// write adds the cookies of a set to header, and deletes those that larger sets
// of the session may have left in the jar: a response can overtake another. Age is
// what they live for, or zero to end with the browser.
func (s *Stateless) write(header http.Header, host string, c *cookieSet, age time.Duration) error {
	var lines []string
	for i, chunk := range c.chunks(s.room) {
		value, err := s.cfg.Ring.Seal(purposeChunk, host, chunk, 0)
		if err != nil {
			return err
		}
		cookie := s.cookie(s.names[i], value)
		cookie.MaxAge = int(min(age, maxCookieAge) / time.Second)
		lines = append(lines, cookie.String())
	}
	for _, name := range s.names[len(lines):] {
		lines = append(lines, s.clear(name).String())
	}
	for _, line := range lines {
		header.Add("Set-Cookie", line)
	}
	return nil
}

func (s *Stateless) clearAll(header http.Header) {
	for _, name := range s.names {
		header.Add("Set-Cookie", s.clear(name).String())
	}
}

// measure finds out how much of a set fits one Set-Cookie line, by sealing.
func (s *Stateless) measure() (room int, err error) {
	room = sort.Search(maxCookieLine, func(n int) bool {
		value, err2 := s.cfg.Ring.Seal(purposeChunk, "", make([]byte, chunkHeader+n+1), 0)
		if err2 != nil {
			return true // longer than the codec takes
		}
		c := s.cookie(s.names[maxChunks-1], value)
		c.MaxAge = int(maxCookieAge / time.Second)
		return len(c.String()) > maxCookieLine
	})
	if room < 1024 {
		return 0, fmt.Errorf("session: the cookie name %q leaves no room for a session", s.cfg.Cookie)
	}
	return room, nil
}
