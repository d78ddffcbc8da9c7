package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
)

// module is one that is linked into a binary, or Go's own library as "std".
type module struct {
	path, version string
	sum           string // go.sum's, of what was linked; none for std
	dir           string // where its sources are on this machine
	license       string // an SPDX expression
}

// modules reads what a binary says of itself, and what the module cache knows of that.
func (w *work) modules(ctx context.Context, info *debug.BuildInfo) ([]module, error) {
	goroot, err := output(w.goCommand(ctx, allTargets[0], "env", "GOROOT"))
	if err != nil {
		return nil, fmt.Errorf("find Go's own library: %w", err)
	}
	std := module{path: "std", version: strings.TrimPrefix(strings.Fields(info.GoVersion)[0], "go"), dir: strings.TrimSpace(goroot)}
	all := []module{std}
	dirs, err := w.moduleDirs(ctx)
	if err != nil {
		return nil, err
	}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		m := module{path: dep.Path, version: dep.Version, sum: dep.Sum, dir: dirs[dep.Path+"@"+dep.Version]}
		if m.version == "" || m.sum == "" || m.dir == "" {
			return nil, fmt.Errorf("%s %s is linked and cannot be traced to a module that go.sum vouches for", dep.Path, dep.Version)
		}
		all = append(all, m)
	}
	for i := range all {
		if all[i].license, err = licenseOf(all[i].dir); err != nil {
			return nil, fmt.Errorf("find the licence of %s %s: %w", all[i].path, all[i].version, err)
		}
	}
	slices.SortFunc(all, func(a, b module) int { return cmp.Compare(a.path, b.path) })
	return all, nil
}

// moduleDirs finds the modules of the build in the cache, by path@version.
func (w *work) moduleDirs(ctx context.Context) (map[string]string, error) {
	out, err := output(w.goCommand(ctx, allTargets[0], "list", "-m", "-json", "all"))
	if err != nil {
		return nil, fmt.Errorf("list the modules: %w", err)
	}
	dirs := map[string]string{}
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var m struct{ Path, Version, Dir string }
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return dirs, nil
		} else if err != nil {
			return nil, fmt.Errorf("list the modules: %w", err)
		}
		dirs[m.Path+"@"+m.Version] = m.Dir
	}
}

// licenseFiles are named by their modules' authors.
var licenseFiles = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)([-._].*)?$`)

// readLicenses reads the files at the top of a module that say what it may be used for.
func readLicenses(dir string) (texts [][]byte, err error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !licenseFiles.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		texts = append(texts, b)
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("there is no file with one in %s", dir)
	}
	return texts, nil
}

// licenseOf is the SPDX expression of the licences that a module comes under.
func licenseOf(dir string) (string, error) {
	texts, err := readLicenses(dir)
	if err != nil {
		return "", err
	}
	var ids []string
	for _, text := range texts {
		ids = append(ids, identify(string(text))...)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(ids) == 0 {
		return "", fmt.Errorf("what %s comes under is none of those that are known here; look at it, and add it to known", dir)
	}
	return strings.Join(ids, " AND "), nil
}

// known are licences by what only they say, in small letters with single spaces.
var known = []struct {
	id     string
	says   []string
	unless string
}{
	{"Apache-2.0", []string{"apache license", "version 2.0"}, ""},
	{"MIT", []string{"permission is hereby granted, free of charge, to any person obtaining a copy of this software", "this permission notice shall be included in all copies"}, ""},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "may be used to endorse or promote products"}, ""},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms"}, "may be used to endorse or promote products"},
	{"ISC", []string{"distribute this software for any purpose with or without fee is hereby granted", "this permission notice appear in all copies"}, ""},
	{"MPL-2.0", []string{"mozilla public license", "version 2.0"}, ""},
}

// identify finds the licences that a text has.
func identify(text string) (ids []string) {
	text = strings.Join(strings.Fields(strings.ToLower(text)), " ")
	for _, l := range known {
		says := func(s string) bool { return strings.Contains(text, s) }
		if !slices.ContainsFunc(l.says, func(s string) bool { return !says(s) }) && (l.unless == "" || !says(l.unless)) {
			ids = append(ids, l.id)
		}
	}
	return ids
}

// copied is what is in the program besides modules: folders of the sources that are somebody
// else's, each with its licence in it.
var copied = []module{{path: "uPlot", dir: "cmd/evergate/internal/dashboard/uplot"}}

// licenseTexts is one text with the licences of all that is linked, as most of them want
// to be handed on with a binary.
func (w *work) licenseTexts(ctx context.Context, linked []module) ([]byte, error) {
	linked = slices.Clone(linked)
	for _, m := range copied {
		var err error
		m.dir, m.version = filepath.Join(w.source.dir, filepath.FromSlash(m.dir)), "(a copy of it)"
		if m.license, err = licenseOf(m.dir); err != nil {
			return nil, fmt.Errorf("find the licence of %s: %w", m.path, err)
		}
		linked = append(linked, m)
	}
	var b strings.Builder
	b.WriteString("Evergate is linked with the following modules, each under its own licence.\n")
	for _, m := range linked {
		texts, err := readLicenses(m.dir)
		if err != nil {
			return nil, fmt.Errorf("read the licence of %s: %w", m.path, err)
		}
		fmt.Fprintf(&b, "\n%s\n%s %s (%s)\n%[1]s\n", strings.Repeat("-", 80), m.path, m.version, m.license)
		for _, text := range texts {
			fmt.Fprintf(&b, "\n%s\n", strings.TrimRight(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"))
		}
	}
	return []byte(b.String()), nil
}
