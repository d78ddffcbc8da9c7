package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestReferenceCLI: docs/reference/cli.md has every command, as its --help has it.
func TestReferenceCLI(t *testing.T) {
	root := (&program{}).root()
	var b strings.Builder
	b.WriteString("Data goes to standard output, talk to standard error, so that `evergate … > file` holds nothing but data.\n" +
		"Every command says the same under `--help`.\n\n")
	fmt.Fprintf(&b, "| exit code | means |\n|---|---|\n| %d | done |\n| %d | it did not work; standard error says what, and what to do |\n| %d | the command was not understood; nothing was done |\n\n", exitOK, exitFailed, exitMisuse)
	b.WriteString("| command | does |\n|---|---|\n")
	var sections strings.Builder
	commands := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, child := range c.Commands() {
			if !child.IsAvailableCommand() || child.Name() == "help" {
				continue
			}
			if child.Runnable() && child.HasExample() {
				commands++
				slug := strings.ReplaceAll(child.CommandPath(), " ", "-")
				fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", child.CommandPath(), slug, cell(child.Short))
				describeCommand(t, &sections, child)
			}
			walk(child)
		}
	}
	walk(root)
	if commands < 25 {
		t.Errorf("got %d commands, want 25", commands)
	}
	holdReference(t, "cli.md", "The command", b.String()+"\n"+strings.TrimSuffix(sections.String(), "\n"))
}

func describeCommand(t *testing.T, b *strings.Builder, c *cobra.Command) {
	t.Helper()
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	text = strings.ReplaceAll(text, "\n#", "\n\\#") // no heading
	fmt.Fprintf(b, "## %s\n\n%s\n\n```text\n%s\n```\n\n", c.CommandPath(), text, c.UseLine())
	examples := strings.Split(c.Example, "\n")
	for i, line := range examples {
		examples[i] = strings.TrimPrefix(line, "  ")
	}
	fmt.Fprintf(b, "```sh\n%s\n```\n\n", strings.Join(examples, "\n"))
	var flags []string
	for line := range strings.Lines(c.LocalFlags().FlagUsages()) {
		if !strings.HasPrefix(strings.TrimSpace(line), "-h, --help") {
			flags = append(flags, strings.TrimRight(line, "\n"))
		}
	}
	if len(flags) > 0 {
		fmt.Fprintf(b, "```text\n%s\n```\n\n", strings.Join(flags, "\n"))
	}
}
