package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// snapshot is what the database knew on a day.
type snapshot struct {
	// Source says whose the facts are, and under which licence.
	Source string `json:"source"`
	Date   string `json:"date"`
	// Modules are those that it was asked about.
	Modules []string `json:"modules"`
	Entries []entry  `json:"entries"`
}

const source = "Names, versions and symbols out of the Go vulnerability database, https://vuln.go.dev, which is under CC-BY-4.0 (https://creativecommons.org/licenses/by/4.0/). Entries about other modules are left out, and so are all texts."

// always are Go's own library and toolchain, as the database calls them.
var always = []string{"stdlib", "toolchain"}

// entry is one of the database, in the form of https://ossf.github.io/osv-schema/, less its prose.
type entry struct {
	ID        string     `json:"id"`
	Aliases   []string   `json:"aliases,omitempty"`
	Withdrawn string     `json:"withdrawn,omitempty"`
	Affected  []affected `json:"affected"`
}

type affected struct {
	Package struct {
		Name      string `json:"name"`
		Ecosystem string `json:"ecosystem"`
	} `json:"package"`
	Ranges []struct {
		Type   string              `json:"type"`
		Events []map[string]string `json:"events"`
	} `json:"ranges,omitempty"`
	Specific *specific `json:"ecosystem_specific,omitempty"`
}

type specific struct {
	Imports []struct {
		Path    string   `json:"path"`
		GOOS    []string `json:"goos,omitempty"`
		GOARCH  []string `json:"goarch,omitempty"`
		Symbols []string `json:"symbols,omitempty"`
	} `json:"imports,omitempty"`
}

// take reads a folder that has the database, as a file URL, and keeps what concerns modules.
func take(database, date string, modules []string) (*snapshot, error) {
	u, err := url.Parse(database)
	if err != nil || u.Scheme != "file" || u.Path == "" {
		return nil, fmt.Errorf("VULNDB is %q; it has to be file:/// and the folder of the database", database)
	}
	dir := filepath.FromSlash(u.Path)
	if date == "" {
		if date, err = dateOf(dir); err != nil {
			return nil, err
		}
	}
	s := &snapshot{Source: source, Date: date, Modules: append(slices.Clone(always), modules...)}
	if _, err := time.Parse(time.DateOnly, date); err != nil {
		return nil, fmt.Errorf("the date %q is not one like 2026-08-21", date)
	}
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".json" || !strings.HasPrefix(d.Name(), "GO-") {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var e entry
		if err := json.Unmarshal(b, &e); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		e.Affected = slices.DeleteFunc(e.Affected, func(a affected) bool { return !slices.Contains(s.Modules, a.Package.Name) })
		if len(e.Affected) > 0 && e.Withdrawn == "" {
			s.Entries = append(s.Entries, e)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the database: %w", err)
	}
	if len(s.Entries) == 0 {
		return nil, fmt.Errorf("there is no entry in %s that concerns us; want a folder of files such as GO-2024-2611.json", dir)
	}
	slices.SortFunc(s.Entries, func(a, b entry) int { return cmp.Compare(a.ID, b.ID) })
	return s, nil
}

// dateOf is when a whole copy of the database was changed last.
func dateOf(dir string) (string, error) {
	var db struct{ Modified time.Time }
	b, err := os.ReadFile(filepath.Join(dir, "index", "db.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s does not say of which day it is; name it with -date", dir)
	}
	if err == nil {
		err = json.Unmarshal(b, &db)
	}
	if err != nil {
		return "", fmt.Errorf("find out of which day the database is: %w", err)
	}
	return db.Modified.Format(time.DateOnly), nil
}

// text is the file: an entry a line, so that changes can be read.
func (s *snapshot) text() []byte {
	var b bytes.Buffer
	line := func(v any) []byte {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // plain data
		}
		return text
	}
	fmt.Fprintf(&b, "{\n\"source\": %s,\n\"date\": %s,\n\"modules\": %s,\n\"entries\": [\n", line(s.Source), line(s.Date), line(s.Modules))
	for i, e := range s.Entries {
		if i > 0 {
			b.WriteString(",\n")
		}
		b.Write(line(e))
	}
	b.WriteString("\n]\n}\n")
	return b.Bytes()
}

// readSnapshot reads the file.
func readSnapshot(file string) (*snapshot, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s := &snapshot{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if _, err := time.Parse(time.DateOnly, s.Date); err != nil || len(s.Entries) == 0 {
		return nil, fmt.Errorf("%s: it has the date %q and %d entries", file, s.Date, len(s.Entries))
	}
	return s, nil
}

// day is the date as a time.
func (s *snapshot) day() time.Time {
	t, _ := time.Parse(time.DateOnly, s.Date) // readSnapshot has tried
	return t
}

// spread writes the entries into a folder as govulncheck reads them.
func (s *snapshot) spread(dir string) error {
	for _, e := range s.Entries {
		b, err := json.Marshal(e.osv(s.day()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, e.ID+".json"), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// osv is the entry with what govulncheck wants to know besides: when it was changed, by which it
// tells whether it knows it already, and where people can read of it.
func (e entry) osv(day time.Time) any {
	var o struct {
		entry
		Modified time.Time `json:"modified"`
		Page     struct {
			URL string `json:"url"`
		} `json:"database_specific"`
	}
	o.entry, o.Modified, o.Page.URL = e, day, "https://pkg.go.dev/vuln/"+e.ID
	return o
}
