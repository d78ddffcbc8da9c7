package session_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// mutant is a change to the code that the simulation must notice: what stands in
// a file, and what stands there instead.
type mutant struct {
	name    string
	changes []change
	plan    string // of simChanges
	// few is how many histories are enough to notice it.
	few int
}

type change struct{ file, from, to string }

// mutants are the shortcuts that others take, and the slips that a later change may
// make. The contract names each (design, section 3.1).
var mutants = []mutant{
	{name: "one successor shared by all", few: 3000, changes: []change{
		{"live.go", "fam.Generation, newChild()", "fam.Generation, Child{1, byte(fam.Generation), 1}"}}},
	{name: "the parent dead at first sight of a child", few: 3000, changes: []change{
		{"family.go", "return f.open() && u.Generation+1", "return f.open() && len(f.Children) == 0 && u.Generation+1"}}},
	{name: "the parent dead S after the rotation", few: 3000, changes: []change{
		{"family.go", "case f.isParent(u):", "case f.isParent(u) && now.Sub(f.Rotated) <= rules.Grace:"}}},
	{name: "settling at once", few: 3000, changes: []change{
		{"family.go", "f.Children = append(children, Sight{u.Child, now, now})\n\t\treturn f, true, Serve",
			"return Family{Generation: f.Generation, Settled: u.Child, Rotated: f.Rotated}, true, Serve"}}},
	{name: "settling without a probe", few: 20000, changes: []change{
		{"family.go", "case f.Minted <= 1, u.Probed,", "case true, u.Probed,"}}},
	{name: "settling while a sibling is on its way", few: 20000, changes: []change{
		{"family.go", "case late && f.Minted > 1 &&", "case false && f.Minted > 1 &&"}}},
	{name: "delivering late", few: 3000, changes: []change{
		{"family.go", "if !f.isParent(u) {\n\t\treturn f, false, false", "if u.Generation+1 != f.Generation {\n\t\treturn f, false, false"},
		{"live.go", "known == nil || !known.Families[s.host].isParent(use)", "known == nil"}}},
	{name: "rotating on an unsettled child", few: 3000, changes: []change{
		{"family.go", "\twas := f.Children[i]\n",
			"\twas := f.Children[i]\n\tif now.Sub(f.Rotated) >= rules.every() {\n\t\treturn Family{Generation: f.Generation + 1, Parent: u.Child, Rotated: now}, true, Serve\n\t}\n"},
		{"family.go", "\tcase u.Safe:\n\t\treturn Probe", "\tcase false:\n\t\treturn Probe"}}},
	{name: "waiting for siblings for ever", few: 3000, changes: []change{
		{"family.go", "case late && f.Minted > 1 &&", "case f.Minted > 1 &&"},
		{"family.go", "if now.Sub(s.Last) <= rules.Grace+rules.coarse() {", "if now.Sub(s.First) <= rules.Grace {"}}},
	{name: "revoking at first sight of a spent handle", few: 3000, changes: []change{
		{"family.go", "\treturn f, false, Probe\n}\n\n// forward", "\treturn f, false, Reuse\n}\n\n// forward"}}},
	{name: "delivering after a child was seen", few: 20000, changes: []change{
		{"family.go", "if now.Sub(s.Last) <= rules.Grace+rules.coarse() {", "if s.Last.IsZero() {"}}},
	{name: "times from a replica's clock", few: 20000, changes: []change{
		{"load.go", "l.inStore, l.now, l.entry, l.shown = rec.Version, rec.Now,", "rec.Now = m.cfg.Now()\n\tl.inStore, l.now, l.entry, l.shown = rec.Version, rec.Now,"}}},
	{name: "delivery through forward-auth", few: 3000, plan: "forward-auth"},
	{name: "nobody behind a front proxy is sent to fetch", few: 3000, plan: "front", changes: []change{
		{"family.go", "\tu.Fetch = true\n\t_, _, ok := f.Deliver(u, now, rules)\n\treturn ok", "\treturn false"}}},
	{name: "compare-and-set on the generation alone", few: 20000, changes: []change{
		{"load.go", "\tdata, err := next.seal(", `	if cur, err := m.cfg.Store.Get(ctx, l.entry.key, l.entry.at.number); err == nil && l.state != nil {
		if s, err := openState(cur.Data, l.dk, l.entry.key, cur.Version); err == nil && len(s.Families) == 1 {
			for host, f := range s.Families {
				if f.Generation == l.state.Families[host].Generation {
					l.inStore, number = cur.Version, cur.Version+1
				}
			}
		}
	}
	data, err := next.seal(`}}},
	{name: "no compare-and-set", few: 20000, changes: []change{
		{"load.go", "\tdata, err := next.seal(", `	if cur, err := m.cfg.Store.Get(ctx, l.entry.key, l.entry.at.number); err == nil {
		l.inStore, number = cur.Version, cur.Version+1
	}
	data, err := next.seal(`}}},
	{name: "no lease", few: 3000, changes: []change{
		{"hold.go", "leased, err := m.cfg.Store.Lease(ctx, e.key, holder, m.set().Lease)\n\t\tif other,",
			"rec, err := m.cfg.Store.Get(ctx, e.key, 0)\n\t\tleased := Leased{Record: rec}\n\t\tif other,"}}},
	{name: "a lease without heartbeat", few: 20000, changes: []change{
		{"hold.go", "held.done.Go(held.keep)", ""}}},
	{name: "the record not read again under the lease", few: 3000, changes: []change{
		{"hold.go", "l, err := m.opened(ctx, h.key, e.key, leased.Record, asked)\n\t\tif errors.Is(err, ErrConflict) {",
			"l, err := m.opened(ctx, h.key, e.key, leased.Record, asked)\n\t\tif first == nil {\n\t\t\tfirst = &l\n\t\t}\n\t\tl, need = *first, func(*loaded) bool { return true }\n\t\tif errors.Is(err, ErrConflict) {"},
		{"hold.go", "\tdefer stop()\n", "\tdefer stop()\n\tvar first *loaded\n\tif l, err := m.load(ctx, h); err == nil {\n\t\tfirst = &l\n\t}\n"}}},
	{name: "a renewal on the request's context", few: 3000, changes: []change{
		{"authenticate.go", "\tl.entry.use(l.now)\n\tstored := l.stored()", "\tl.entry.use(l.now)\n\tl.entry.asking = ctx\n\tstored := l.stored()"},
		{"manager.go", "type entry struct {\n", "type entry struct {\n\tasking context.Context\n"},
		{"renew.go", "m.runRenewal(span.Onto(m.grants, s),", "m.runRenewal(e.asking,"}}},
	{name: "a reply before it is persisted", few: 20000, changes: []change{
		{"renew.go", "\treturn m.commit(ctx, l, h, stored, storeLogin(fresh), resource, took)", `	next := storeLogin(fresh)
	l.entry.settled(&unsavedLogin{next, l.state.Login.grant(), stored.grant()}, resource)
	m.wg.Go(func() {
		time.Sleep(20 * time.Second)
		m.commit(context.WithoutCancel(ctx), l, h, stored, next, resource, took)
		held.end(true)
	})
	return false`},
		{"renew.go", "\theld.end(saved)", "\tif saved {\n\t\theld.end(true)\n\t}"}}},
	{name: "nobody puts back what the store lost", few: 3000, plan: "lossy", changes: []change{
		{"house.go", "\tm.heal(ctx)\n", ""}, {"heal.go", "return v.number > o.number ||", "return false && v.number > o.number ||"},
		{"heal.go", "v.state.Renewals > o.state.Renewals", "false"}}},
	{name: "no calm after the store was away", few: 3000, plan: "lossy", changes: []change{
		{"heal.go", "return max(0, min(calmTime, calmTime-now.Sub(m.since)))", "return 0"}}},
	{name: "a revoked session is put back", few: 3000, plan: "lossy sign-out", changes: []change{
		{"heal.go", "case deleted || at.state", "case false || at.state"},
		{"heal.go", "!m.mayBeLost(key)", "false"}, {"load.go", "if known.deleted {", "if false {"},
		{"simstore_test.go", "if old.deleted || version != prev", "if version != prev"}}},
	{name: "a revocation that the store lost is not made again", few: 3000, plan: "lossy sign-out", changes: []change{
		{"heal.go", "return m.cfg.Store.Delete(ctx, e.key)", "return nil"}, {"load.go", "if known.deleted {", "if false {"}}},
	{name: "a session that the store lost is said to have ended", few: 3000, plan: "lossy sign-out", changes: []change{
		{"heal.go", "m.unrest() > 0:\n\t\treturn loaded{}, errUnrest", "false:\n\t\treturn loaded{}, errUnrest"}}},
	{name: "a hand-over begins the family of its host anew", few: 3000, plan: "hosts", changes: []change{
		{"handover.go", "fam = fam.Join(l.now)\n\t\t\th.generation, h.child = fam.Generation, newChild()", "h.child = newChild()\n\t\t\tfam = NewFamily(h.child, l.now)\n\t\t\th.generation = fam.Generation"}}},
	{name: "a handle whose family is not known yet is refused", few: 3000, plan: "hosts", changes: []change{
		{"record.go", "return f, generation > s.Floor", "return f, false"}}},
	{name: "what is handed to a host stands by itself for ever", few: 3000, plan: "hosts", changes: []change{
		{"record.go", "now.Sub(s.Handed[host]) >= than", "false"}}},
	{name: "a hand-over leaves the handle before it settled", few: 3000, plan: "hosts", changes: []change{
		{"family.go", "return Family{Generation: f.Generation + 1, Parent: f.Settled, Minted: 2, MintedAt: now, Rotated: now}",
			"return Family{Generation: f.Generation + 1, Parent: f.Settled, Settled: f.Settled, MintedAt: now, Rotated: now}"}}},
}

// TestMutantsFit: what they change stands in the code. Whether the simulation notices them
// takes minutes, and is asked by make simulate.
func TestMutantsFit(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) { m.overlay(t) })
	}
}

func TestSimulationNotices(t *testing.T) {
	if os.Getenv("EVERGATE_MUTANTS") == "" {
		t.Skip("SKIPPED: each mutant is built and run, which takes minutes; make simulate does it")
	}
	only := os.Getenv("EVERGATE_MUTANT")
	for _, m := range mutants {
		if only != "" && !regexp.MustCompile(only).MatchString(m.name) {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel() // to build one leaves a core to another
			program := m.build(t)
			cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestSimulation$", "-test.v")
			cmd.Env = append(os.Environ(), "EVERGATE_ENOUGH=1", "EVERGATE_HISTORIES="+strconv.Itoa(m.few), "EVERGATE_PLAN="+m.plan)
			out, err := cmd.CombinedOutput()
			text := string(out)
			if err == nil || !strings.Contains(text, "FAULT") {
				t.Fatalf("the simulation does not notice it: %v\n%.2000s", err, text)
			}
			line := regexp.MustCompile(`\d+ histories.*`).FindString(text)
			fault := regexp.MustCompile(`FAULT .*`).FindString(text)
			t.Logf("%s; %s", fault, line)
		})
	}
}

// overlay writes the changed files to dir, and returns them by the path that each
// stands for.
func (m *mutant) overlay(t *testing.T) (dir string, replace map[string]string) {
	t.Helper()
	dir, replace = t.TempDir(), map[string]string{}
	for _, c := range m.changes {
		path, err := filepath.Abs(c.file)
		if err != nil {
			t.Fatal(err)
		}
		from := path
		if done, ok := replace[path]; ok {
			from = done
		}
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(b), c.from); n != 1 {
			t.Fatalf("%s: what is to be changed stands there %d times, want once: %s", c.file, n, c.from)
		}
		replace[path] = filepath.Join(dir, c.file)
		if err := os.WriteFile(replace[path], []byte(strings.Replace(string(b), c.from, c.to, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, replace
}

// build makes the test program of the changed package.
func (m *mutant) build(t *testing.T) string {
	t.Helper()
	dir, replace := m.overlay(t)
	for _, name := range notOfTheSimulation(t) {
		replace[name] = "" // is not there
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "mutant.test")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", file, "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// notOfTheSimulation are the files of other tests. Without them no store is compiled and linked
// for each mutant, which takes a third of the time.
func notOfTheSimulation(t *testing.T) (files []string) {
	t.Helper()
	all, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if strings.HasPrefix(name, "sim") || name == "export_test.go" {
			continue
		}
		path, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	return files
}
