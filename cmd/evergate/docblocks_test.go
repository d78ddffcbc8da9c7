package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Examples of these kinds are run or loaded by the tests that are named; sh and no kind at all are
// commands, which TestCommandsInPages reads.
var exampleTests = map[string]string{
	"yaml": "TestGuides, TestProviderGuides, TestREADME and, of the chart, TestKubernetesGuide",
	"html": "TestResponsesGuide and TestSessionAwareGuide",
	"go":   "TestTutorial",

	// in deploy/check
	"prometheus": "TestMetricsGuide",
	"promql":     "TestMetricsGuide",
	"jq":         "TestAuditGuide and TestLogsGuide",
	"logrotate":  "TestAuditRotates",
	"rsyslog":    "TestAuditAtRsyslog",
}

// followedBy are the tests that type what stands in the console blocks of a page, and compare
// what is printed.
var followedBy = map[string]string{
	"docs/tutorial.md":               "TestTutorial",
	"docs/key-rotation.md":           "TestKeyRotationPage",
	"docs/incident-stolen-token.md":  "TestIncidentStolenToken",
	"docs/incident-provider-down.md": "TestIncidentProviderDown",
}

// notRun says how many examples of a page no test runs, which it marks as text (what is said
// or drawn) or by a language that nothing here runs, and why that is so.
var notRun = map[string]struct {
	n   int
	why string
}{
	"ARCHITECTURE.md":       {2, "the tree and a drawing"},
	"docs/audit.md":         {1, "lines, which TestAuditGuide compares with those of a gateway"},
	"docs/health.md":        {1, "an answer, which TestHealthGuide compares with that of a gateway"},
	"docs/doctor.md":        {1, "TestDoctorGuide finds its lines in the code"},
	"docs/logs.md":          {1, "a line, which TestLogsPage compares with that of a gateway"},
	"docs/legacy-apps.md":   {1, "of Apache, which e2e runs with an app"},
	"docs/observe.md":       {4, "what is said, and a query for Prometheus"},
	"docs/pages.md":         {1, "messages, which TestPagesGuide loads"},
	"docs/protection.md":    {1, "headers of an answer"},
	"docs/risk.md":          {1, "lines, which TestRiskGuide of deploy/check asks the queries of"},
	"docs/redis.md":         {2, "of Redis: TestRedisGuide holds the rule against the one that is tested"},
	"docs/threat-model.md":  {1, "a drawing"},
	"docs/users.md":         {2, "a users file, and what a command prints whose code is another each time: TestInvite has it made and used"},
	"docs/step-up.md":       {3, "answers of an app and of the gateway, and a script of a page"},
	"docs/reference/cli.md": {-1, "usage, as the command has it"},
}

// TestExamplesAreOfAKind: every fenced example is of a kind that some test runs, or is counted
// among the few that none does.
func TestExamplesAreOfAKind(t *testing.T) {
	sum := 0
	for name, test := range followedBy {
		if !strings.Contains(sources(t, "*_test.go"), "func "+test+"(") || !strings.Contains(sources(t, "*_test.go"), `pageOf(t, "`+name+`")`) {
			t.Errorf("%s: there is no %s that reads it", name, test)
		}
	}
	for _, p := range pages(t) {
		idle := 0
		for _, b := range p.blocks {
			if b.kind == "console" && followedBy[p.name] == "" {
				t.Errorf("%s:%d: no test follows this page; write one like TestKeyRotationPage, or have sh in place of console", p.name, b.line)
			}
			if _, ok := exampleTests[b.kind]; !ok && b.kind != "sh" && b.kind != "" && b.kind != "console" {
				idle++
			}
		}
		allowed := notRun[p.name]
		if allowed.n >= 0 {
			sum += idle
		}
		if allowed.n >= 0 && idle != allowed.n {
			t.Errorf("%s: got %d examples that no test runs, want %d; have it run (a config is yaml, commands are sh), or count it in notRun with the reason", p.name, idle, allowed.n)
		}
	}
	if sum > 30 {
		t.Errorf("got %d examples that no test runs, want few", sum)
	}
}

// tools are what commands begin with besides evergate itself. They are not here, or not ours to try.
var tools = regexp.MustCompile(`^(?:docker|kubectl|helm|systemctl|dpkg|rpm|apt|dnf|sha256sum|tar|cosign|useradd|install|chown|chmod|cp|cd|mkdir|curl|yq|grep|tail|jq|sleep|mv|cat|sed|export|python3|openssl|certutil|chromium|pass|haproxy|nginx|caddy|EVERGATE_FULL=1|journalctl)$`)

// TestCommandsInPages: what pages have people type is understood: the command is there, with these
// flags and as many arguments; targets of make, packages and scripts of the repository are there too.
func TestCommandsInPages(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	ours, mentioned := 0, 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.kind != "sh" && b.kind != "" && b.kind != "console" {
				continue
			}
			for i, line := range commandLines(b) {
				for _, words := range commandsIn(line) {
					where := fmt.Sprintf("%s:%d+%d", p.name, b.line, i)
					switch name := words[0]; {
					case strings.TrimPrefix(name, "./") == "evergate" || strings.HasSuffix(name, "_linux_amd64/evergate"):
						ours++
						if err := understood(words[1:], true); err != nil {
							t.Errorf("%s: %s: %v", where, line, err)
						}
					case name == "go" && words[1] == "run" && words[2] == "./cmd/evergate":
						ours++
						if err := understood(words[3:], true); err != nil {
							t.Errorf("%s: %s: %v", where, line, err)
						}
					case name == "go":
						for _, w := range words[1:] {
							if _, err := os.Stat("../../" + w); strings.HasPrefix(w, "./") && err != nil {
								t.Errorf("%s: %s: %v", where, line, err)
							}
						}
					case name == "make":
						if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(words[1]) + `:`).Match(makefile) {
							t.Errorf("%s: the Makefile has no target %s", where, words[1])
						}
					case strings.HasSuffix(name, ".sh"):
						if _, err := os.Stat("../../deploy/" + name); err != nil {
							t.Errorf("%s: %s: %v", where, line, err)
						}
					case b.kind != "console" && !tools.MatchString(name): // a console is typed by its test
						t.Errorf("%s: nobody here knows the command %q; what is said rather than typed is a block of the kind text", where, name)
					}
				}
			}
		}
		for _, code := range p.inline {
			if words := strings.Fields(code); words[0] == "evergate" && len(words) > 1 && !strings.ContainsAny(code, "…|") {
				mentioned++
				if err := understood(words[1:], false); err != nil {
					t.Errorf("%s: `%s`: %v", p.name, code, err)
				}
			}
		}
	}
	if ours < 60 || mentioned < 100 {
		t.Errorf("got %d commands and %d mentions, want 60 and 100: the test reads less than there is", ours, mentioned)
	}
	for _, bad := range [][]string{{"serv"}, {"serve", "--confg", "x"}, {"user", "ad", "x"}, {"check"}} {
		if understood(bad, true) == nil {
			t.Errorf("evergate %v is understood", bad)
		}
	}
}

// commandLines are what is typed in a block: of a console what stands behind the prompt.
func commandLines(b block) (lines []string) {
	for line := range strings.Lines(strings.ReplaceAll(b.text, "\\\n", " ")) {
		line = strings.TrimSpace(line)
		if b.kind == "console" {
			typed, ok := strings.CutPrefix(line, "$ ")
			if !ok {
				continue
			}
			line = typed
		}
		if line = regexp.MustCompile(`(?:^|\s+)#.*$`).ReplaceAllString(line, ""); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

var word = regexp.MustCompile(`'[^']*'|"[^"]*"|&&|\|\||[|;&<>]|[^\s'"|;&<>]+`)

// commandsIn are the commands of a line of the shell, each in words. Where one runs the gateway
// in a container, it is the gateway's.
func commandsIn(line string) (all [][]string) {
	words := []string{}
	end := func() {
		if i := slices.Index(words, "gateway"); i > 0 && words[0] == "docker" {
			words = append([]string{"evergate"}, words[i+1:]...)
		}
		if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "evergate:") && strings.HasSuffix(w, ".3") }); i > 0 && i < len(words)-1 && words[0] == "docker" {
			words = append([]string{"evergate"}, words[i+1:]...)
		}
		if len(words) > 1 && words[0] == "sudo" {
			words = words[1:]
		}
		if len(words) > 0 {
			all = append(all, words)
		}
		words = []string{}
	}
	skip := false
	for _, w := range word.FindAllString(strings.ReplaceAll(line, "2>&1", ""), -1) {
		switch {
		case skip:
			skip = false
		case w == "&&" || w == "||" || w == "|" || w == ";" || w == "&":
			end()
		case w == ">" || w == "<":
			skip = true
		default:
			words = append(words, strings.Trim(w, `'"`))
		}
	}
	end()
	return all
}

// understood reports what the command line would say against words. In full, as they are typed, it
// looks at the arguments too; where they are merely mentioned, at the names of commands and flags.
func understood(words []string, full bool) error {
	cmd, rest, err := (&program{}).root().Find(words)
	if err != nil {
		return err
	}
	if len(rest) > 0 && cmd.HasSubCommands() && !strings.HasPrefix(rest[0], "-") && !cmd.HasExample() {
		return fmt.Errorf("%s has no command %s", cmd.CommandPath(), rest[0])
	}
	if full {
		cmd.InitDefaultHelpFlag()
		if err := cmd.ParseFlags(rest); err != nil {
			return err
		}
		if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
			return err
		}
		return cmd.ValidateFlagGroups()
	}
	for _, w := range rest {
		name, isFlag := strings.CutPrefix(w, "--")
		if name, _, _ = strings.Cut(strings.Trim(name, "[],."), "="); isFlag && name != "help" && cmd.Flags().Lookup(name) == nil {
			return fmt.Errorf("%s has no flag --%s", cmd.CommandPath(), name)
		}
	}
	return nil
}
