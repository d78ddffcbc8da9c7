package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"
)

// FuzzHandle: a handle has one spelling, and only what is whole is one.
func FuzzHandle(f *testing.F) {
	h := handle{session: ID{1}, generation: 7, child: Child{2}, key: DataKey{3}}
	f.Add(h.encode())
	f.Add(append(h.encode(), 0))
	f.Add(h.encode()[:handleSize-1])
	f.Add(make([]byte, handleSize))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHandle(b)
		whole := len(b) == 1+16+8+16+32 && b[0] == 1 && string(b[17:25]) != string(make([]byte, 8)) && string(b[25:41]) != string(make([]byte, 16))
		if (err == nil) != whole {
			t.Fatalf("%x: got %v, is it whole? %v", b, err, whole)
		}
		if err != nil {
			if !errors.Is(err, errHandle) || h != (handle{}) {
				t.Fatalf("%x: got %+v, %v, want nothing and errHandle", b, h, err)
			}
			return
		}
		if !bytes.Equal(h.encode(), b) {
			t.Fatalf("%x: it is written as %x", b, h.encode())
		}
		if h.generation != binary.BigEndian.Uint64(b[17:]) || !bytes.Equal(h.session[:], b[1:17]) || !bytes.Equal(h.child[:], b[25:41]) || !bytes.Equal(h.key[:], b[41:]) {
			t.Fatalf("%x: it is read as %+v", b, h)
		}
		// A probe names this handle and no neighbour of it; a store key, this session.
		for _, o := range []handle{
			{h.session, h.generation + 1, h.child, h.key}, {ID(flipped(h.session[:])), h.generation, h.child, h.key},
			{h.session, h.generation, Child(flipped(h.child[:])), h.key}, {h.session, h.generation, h.child, DataKey(flipped(h.key[:]))},
		} {
			if bytes.Equal(h.probe(), o.probe()) || (h.session == o.session) != (h.session.Key() == o.session.Key()) {
				t.Fatalf("%+v and %+v are taken for one another", h, o)
			}
		}
	})
}

// flipped is b with one bit changed.
func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

// FuzzChunks cuts what it is given into chunks, which give it back, all of them in their
// places and nothing less; and joins what it is given, cut at a place, as a plain reading says.
func FuzzChunks(f *testing.F) {
	for _, seed := range ChunkSeeds() {
		f.Add(seed, uint64(1), uint16(20), uint16(len(seed)/2))
	}
	f.Add([]byte("payload"), uint64(1<<63), uint16(0), uint16(3))
	f.Add([]byte{}, uint64(0), uint16(1), uint16(0))
	f.Fuzz(func(t *testing.T, data []byte, generation uint64, room, at uint16) {
		cut := int(at) % (len(data) + 1)
		for _, chunks := range [][][]byte{{data}, {data[:cut], data[cut:]}, {}} {
			got, err := joinChunks(chunks)
			want, ok := plainJoin(chunks)
			if (err == nil) != ok || !bytes.Equal(got.data, want) {
				t.Fatalf("%x: got %x, %v, want %x, %v", chunks, got.data, err, want, ok)
			}
			if err != nil {
				continue
			}
			if p, err := unpack(got.data); err == nil {
				samePayload(t, p)
			}
		}
		if p, err := unpack(data); err == nil {
			samePayload(t, p)
		}

		set := newSet(generation, data)
		copy(set.session[:], data)
		chunks := set.chunks(int(room%4000) + 1)
		if len(chunks) > 255 {
			return // more than any browser keeps
		}
		got, err := joinChunks(chunks)
		if ok := err == nil && got.session == set.session && got.generation == generation && bytes.Equal(got.data, data); ok != (generation > 0) {
			t.Fatalf("%d chunks of generation %d: got %+v, %v", len(chunks), generation, got, err)
		}
		i := int(at) % len(chunks)
		wrong := map[string][][]byte{
			"one is missing": slices.Delete(slices.Clone(chunks), i, i+1), "one comes twice": slices.Insert(slices.Clone(chunks), i, chunks[i]),
			"one is short": withChunk(chunks, i, chunks[i][:len(chunks[i])-1]), "one is nothing": withChunk(chunks, i, nil), "one is damaged": withChunk(chunks, i, flipped(chunks[i])),
		}
		if j := (i + 1) % len(chunks); j != i {
			wrong["two are exchanged"] = withChunk(withChunk(chunks, i, chunks[j]), j, chunks[i])
		}
		// Of another set of the same session: the generation before, and after a restart.
		older, other := newSet(generation-1, data), newSet(generation, append([]byte{1}, data...))
		older.session, other.session = set.session, set.session
		if len(chunks) > 1 {
			wrong["one is of the set before"] = withChunk(chunks, i, older.chunks(int(room%4000) + 1)[i])
			wrong["one is of another set"] = withChunk(chunks, i, other.chunks(int(room%4000) + 1)[i])
		}
		for what, chunks := range wrong {
			// The session and the generation of a set of one chunk are whatever it says: the
			// seal around it is what vouches for them.
			if got, err := joinChunks(chunks); err == nil && (len(chunks) > 1 || !bytes.Equal(got.data, data)) {
				t.Fatalf("%s: they join to %+v", what, got)
			}
		}
	})
}

func withChunk(chunks [][]byte, i int, c []byte) [][]byte {
	chunks = slices.Clone(chunks)
	chunks[i] = c
	return chunks
}

// plainJoin says what stands in chunks, by the text of the format.
func plainJoin(chunks [][]byte) (data []byte, ok bool) {
	for i, c := range chunks {
		if len(c) < 43 || !bytes.Equal(c[:41], chunks[0][:41]) || c[0] != 1 || c[41] != byte(i) || c[42] != byte(len(chunks)) {
			return nil, false
		}
		data = append(data, c[43:]...)
	}
	if len(chunks) == 0 || binary.BigEndian.Uint64(chunks[0][17:]) == 0 {
		return nil, false
	}
	if sum := sha256.Sum256(data); !bytes.Equal(sum[:16], chunks[0][25:41]) {
		return nil, false
	}
	return data, true
}

// samePayload: what unpacks is packed and unpacks as the same.
func samePayload(t *testing.T, p payload) {
	t.Helper()
	data, err := p.pack()
	if err != nil {
		if _, large := errors.AsType[*TooLarge](err); !large && !odd(p) {
			t.Fatalf("what was unpacked is not packed: %v", err)
		}
		return
	}
	again, err := unpack(data)
	if err != nil || asJSON(t, again) != asJSON(t, p) {
		t.Fatalf("it unpacks as %s, %v, want %s", asJSON(t, again), err, asJSON(t, p))
	}
}

// odd reports whether v is among those few that JSON reads and does not write, such as a
// time in a zone of more than a day.
func odd(v any) bool {
	_, err := json.Marshal(v)
	return err != nil
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// FuzzOpenState goes behind the seal of a record: what opens is sealed again and opens as the
// same, in its own place, under its own key, and nowhere else.
func FuzzOpenState(f *testing.F) {
	now := time.Unix(1_800_000_000, 0).UTC()
	family := NewFamily(Child{1}, now)
	whole, err := json.Marshal(state{Created: now, Seen: now, Families: map[string]Family{"a.test": family, "b.test": family.Join(now)},
		Home: "a.test", Handed: map[string]time.Time{"b.test": now}, Replaced: []Key{{9}}, Login: storedLogin{RefreshToken: "r", storedToken: storedToken{Token: "a", Issued: now, Expires: now}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, plain := range []string{string(whole), "{}", "null", "", "{", `{"families":null}`, `{"families":{"a.test":{"g":2,"p":"x"}}}`, `{"floor":-1}`, `{"created":"yesterday"}`} {
		f.Add([]byte(plain), uint64(7), uint16(3))
	}
	f.Fuzz(func(t *testing.T, plain []byte, version uint64, at uint16) {
		dk, key := DataKey{1}, Key{2}
		aead, err := newAEAD(dk)
		if err != nil {
			t.Fatal(err)
		}
		data := aead.Seal(nil, nil, plain, sealContext(key, version))
		damaged := bytes.Clone(data)
		damaged[int(at)%len(data)] ^= 1
		for what, open := range map[string]func() (state, error){
			"under another data key": func() (state, error) { return openState(data, DataKey{3}, key, version) },
			"at another place":       func() (state, error) { return openState(data, dk, Key{4}, version) },
			"as another version":     func() (state, error) { return openState(data, dk, key, version+1) },
			"damaged":                func() (state, error) { return openState(damaged, dk, key, version) },
			"cut short":              func() (state, error) { return openState(data[:int(at)%len(data)], dk, key, version) },
			"with more behind it":    func() (state, error) { return openState(append(bytes.Clone(data), byte(at)), dk, key, version) },
		} {
			if _, err := open(); !errors.Is(err, ErrSeal) {
				t.Fatalf("%s: got %v, want ErrSeal", what, err)
			}
		}
		// What a session keeps is sealed with the same key, and is no record.
		if _, err := openKept(dk, key, Record{Version: version, Data: data}); !errors.Is(err, ErrSeal) {
			t.Fatalf("as something kept: got %v, want ErrSeal", err)
		}
		s, err := openState(data, dk, key, version)
		if errors.Is(err, ErrSeal) {
			t.Fatal("in its place it does not open")
		}
		if err != nil || odd(s) {
			return
		}
		data, err = s.seal(dk, key, version+1)
		if err != nil {
			t.Fatal(err)
		}
		again, err := openState(data, dk, key, version+1)
		if err != nil || asJSON(t, again) != asJSON(t, s) {
			t.Fatalf("it opens as %s, %v, want %s", asJSON(t, again), err, asJSON(t, s))
		}
		login := again.Login.login()
		if login.AccessToken.Value.Reveal() != s.Login.Token || login.RefreshToken.Reveal() != s.Login.RefreshToken || len(login.Resources) != len(s.Login.Resources) {
			t.Fatalf("the login has other tokens than the record: %s", asJSON(t, s))
		}
		// A store that lost something is given back what both know: each with itself is itself.
		if merged := s.merged(&again); asJSON(t, merged) != asJSON(t, s) {
			t.Fatalf("with itself it merges to %s, want %s", asJSON(t, merged), asJSON(t, s))
		}
		before := asJSON(t, s)
		with := s.withRoom("new.test").withFamily("new.test", family).withBase("new.test", s.Floor).withHanded("new.test", now)
		if f, _ := with.family("new.test", 1<<63); !with.Handed["new.test"].Equal(now) || f.Settled != family.Settled || len(with.Families) > max(maxFamilies, len(s.Families)+1) {
			t.Fatalf("one host more makes of it %s", asJSON(t, with))
		}
		if after := asJSON(t, s); after != before {
			t.Fatalf("a copy was to be changed, and it became %s from %s", after, before)
		}
	})
}
