package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// nowhere is a database that does not answer.
const nowhere = "http://127.0.0.1:1"

// TestCallsAreFound: a program that calls what the snapshot knows to be vulnerable does not pass,
// and why is said; neither does one with a module that the snapshot was written without.
func TestCallsAreFound(t *testing.T) {
	t.Parallel()
	toy := func(change func(*snapshot), age time.Duration) (said string, err error) {
		t.Helper()
		s, err := readSnapshot("snapshot.json")
		if err != nil {
			t.Fatal(err)
		}
		change(s)
		file := filepath.Join(t.TempDir(), "snapshot.json")
		if err := os.WriteFile(file, s.text(), 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		err = check{Dir: "testdata/toy", Package: ".", Live: nowhere, Snapshot: file, Now: func() time.Time { return s.day().Add(age) }, Out: &out}.run(t.Context())
		return out.String(), err
	}
	said, err := toy(func(*snapshot) {}, old)
	if err == nil || !strings.Contains(said, "GO-2021-0113") || !strings.Contains(said, "language.Parse") {
		t.Errorf("got %v and\n%s\nwant GO-2021-0113 at language.Parse", err, said)
	}
	if !strings.Contains(said, "as of 20") || strings.Contains(said, "WARNING") {
		t.Errorf("by a snapshot that is %s old it says\n%s", old, said)
	}
	without := func(s *snapshot) {
		s.Entries = slices.DeleteFunc(s.Entries, func(e entry) bool { return e.ID == "GO-2021-0113" })
	}
	if said, err := toy(without, old+time.Hour); err != nil || !strings.Contains(said, "WARNING") {
		t.Errorf("without the entry, a little later: got %v and\n%s\nwant no error, and a warning of its age", err, said)
	}
	unknown := func(s *snapshot) {
		s.Modules = slices.DeleteFunc(s.Modules, func(m string) bool { return m == "golang.org/x/text" })
	}
	if said, err := toy(unknown, 0); err == nil || !strings.Contains(err.Error(), "golang.org/x/text") {
		t.Errorf("with a module that the snapshot does not know: got %v and\n%s", err, said)
	}
}

// TestLiveDatabaseIsAsked: where the database answers it is asked, and the snapshot is not.
func TestLiveDatabaseIsAsked(t *testing.T) {
	t.Parallel()
	s, err := readSnapshot("snapshot.json")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(s.Entries, func(e entry) bool { return e.ID == "GO-2021-0113" })
	if i < 0 {
		t.Fatal("GO-2021-0113 is not in the snapshot")
	}
	files := map[string]any{
		"index/db":        map[string]any{"modified": s.day()},
		"index/modules":   []any{map[string]any{"path": "golang.org/x/text", "vulns": []any{map[string]any{"id": "GO-2021-0113", "modified": s.day(), "fixed": "0.3.7"}}}},
		"index/vulns":     []any{map[string]any{"id": "GO-2021-0113", "modified": s.day()}},
		"ID/GO-2021-0113": s.Entries[i].osv(s.day()),
	}
	live := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, zipped := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/"), ".gz")
		v, ok := files[strings.TrimSuffix(name, ".json")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		var to io.Writer = w
		if zipped {
			z := gzip.NewWriter(w)
			defer z.Close()
			to = z
		}
		_ = json.NewEncoder(to).Encode(v)
	}))
	t.Cleanup(live.Close)
	var out strings.Builder
	err = check{Dir: "testdata/toy", Package: ".", Live: live.URL, Snapshot: "none", Now: time.Now, Out: &out}.run(t.Context())
	if said := out.String(); err == nil || !strings.Contains(said, "GO-2021-0113") || !strings.Contains(said, "as of now") {
		t.Errorf("got %v and\n%s\nwant GO-2021-0113, by the live database", err, said)
	}
}

// TestTake: a folder of the database is cut down to what concerns us, and to facts.
func TestTake(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	of := func(id, module, more string) {
		write("ID/"+id+".json", fmt.Sprintf(`{"id":%q,"summary":"prose","details":"prose","affected":[{"package":{"name":%q,"ecosystem":"Go"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}],
"ecosystem_specific":{"imports":[{"path":%[2]q,"symbols":["F"]}],"custom":"prose"}},{"package":{"name":"example.com/other","ecosystem":"Go"}}]%s}`, id, module, more))
	}
	of("GO-2026-0002", "example.com/linked", "")
	of("GO-2026-0001", "stdlib", "")
	of("GO-2026-0003", "example.com/else", "")
	of("GO-2026-0004", "stdlib", `,"withdrawn":"2026-01-01T00:00:00Z"`)
	database := "file://" + filepath.ToSlash(dir)
	if _, err := take(database, "", []string{"example.com/linked"}); err == nil || !strings.Contains(err.Error(), "-date") {
		t.Errorf("without a date: got %v", err)
	}
	write("index/db.json", `{"modified":"2026-11-20T10:00:00Z"}`)
	s, err := take(database, "", []string{"example.com/linked"})
	if err != nil {
		t.Fatal(err)
	}
	text := string(s.text())
	if s.Date != "2026-11-20" || len(s.Entries) != 2 || s.Entries[0].ID != "GO-2026-0001" || strings.Contains(text, "prose") || strings.Contains(text, "example.com/other") {
		t.Errorf("got\n%s\nwant two entries of 2026-11-20, without prose", text)
	}
	for _, bad := range []string{"", "https://vuln.go.dev", "file:///nowhere-at-all"} {
		if _, err := take(bad, "2026-11-20", nil); err == nil {
			t.Errorf("VULNDB=%q is taken", bad)
		}
	}
}

// TestSnapshotIsSmall: it is facts, and says whose they are.
func TestSnapshotIsSmall(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("snapshot.json")
	if err != nil {
		t.Fatal(err)
	}
	s, err := readSnapshot("snapshot.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 512<<10 || !strings.Contains(s.Source, "CC-BY-4.0") || strings.Contains(string(b), `"details"`) {
		t.Errorf("got %d bytes that begin %.300s", len(b), b)
	}
	if string(s.text()) != string(b) {
		t.Error("the file is not as the program writes it")
	}
}
