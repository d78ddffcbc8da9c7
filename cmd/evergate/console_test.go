//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// console is a terminal in which a page is followed: its blocks of the kind console, with
// what each command prints. Ports and what is drawn by lot are others than on the page.
type console struct {
	*testing.T
	dir    string
	typed  io.Writer
	said   *bufio.Reader
	pipe   *os.File          // under said
	ports  []string          // what the page has, and what is here: pairs
	drawn  map[string]string // passwords and the like, as the page has them
	others []*exec.Cmd
}

// newConsole opens a terminal in dir. Ports of the page are replaced by free ones.
func newConsole(t *testing.T, dir string, env []string, ports ...string) *console {
	t.Helper()
	for _, needed := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(needed); err != nil {
			why := needed + " is not installed, so the page is not followed"
			if os.Getenv("CI") == "true" {
				t.Fatal(why)
			}
			t.Skip("SKIPPED: " + why)
		}
	}
	c := &console{T: t, dir: dir, drawn: map[string]string{}}
	for _, port := range ports {
		free, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		c.ports = append(c.ports, port, free)
	}
	shell := exec.Command("sh")
	shell.Dir, shell.Env = dir, append(os.Environ(), env...)
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	shell.Stdout, shell.Stderr = write, write
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	c.typed, c.said, c.pipe = in, bufio.NewReader(read), read
	t.Cleanup(func() {
		_ = in.Close()
		_ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL)
		_ = shell.Wait()
		_ = read.Close()
		for _, o := range c.others {
			_ = syscall.Kill(-o.Process.Pid, syscall.SIGKILL)
			_ = o.Wait()
		}
	})
	return c
}

// here is text of the page as it is here.
func (c *console) here(text string) string {
	text = strings.NewReplacer(c.ports...).Replace(text)
	for page, here := range c.drawn {
		text = strings.ReplaceAll(text, page, here)
	}
	return text
}

const endOfCommand = "-- end of the command:"

// run types a command, and returns what it printed.
func (c *console) run(command string) string {
	c.Helper()
	if _, err := fmt.Fprintf(c.typed, "%s\necho '%s' $?\n", c.here(command), endOfCommand); err != nil {
		c.Fatalf("%s: %v", command, err)
	}
	var out strings.Builder
	if err := c.pipe.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		c.Fatal(err)
	}
	for {
		line, err := c.said.ReadString('\n')
		if before, _, ok := strings.Cut(line, endOfCommand); ok {
			return out.String() + before
		}
		out.WriteString(line)
		if err != nil {
			c.Fatalf("%s: %v after\n%s", command, err, &out)
		}
	}
}

// beside runs a command that goes on, in a terminal of its own, and waits for what it is to print.
func (c *console) beside(command string, want []string) {
	c.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c.Cleanup(cancel)
	o := exec.CommandContext(ctx, "sh", "-c", "exec "+c.here(command))
	o.Dir = strings.TrimSpace(c.run("pwd"))
	o.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out safeBuffer
	o.Stdout, o.Stderr = &out, &out
	if err := o.Start(); err != nil {
		c.Fatal(err)
	}
	c.others = append(c.others, o)
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		missing := ""
		for _, line := range want {
			if !c.likely(line).MatchString(out.String()) {
				missing = line
			}
		}
		if missing == "" && c.listening(out.String()) {
			c.draw(strings.Join(want, "\n"), out.String())
			return
		}
		if time.Now().After(end) {
			c.Fatalf("%s: does not print %q within a minute, but\n%s", command, missing, &out)
		}
	}
}

// listening reports whether something answers at each address on this machine that was printed.
func (c *console) listening(said string) bool {
	for _, at := range regexp.MustCompile(`(?:127\.0\.0\.1|localhost):\d+`).FindAllString(said, -1) {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			return false
		}
		_ = conn.Close()
	}
	return true
}

// passwords, times and names of sessions are others each time.
var lots = regexp.MustCompile(`[a-z0-9]{4}(?:-[a-z0-9]{4}){4}|\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d|\b[A-Za-z0-9_-]{12}\b(?:  )|\S*…\S*`)

// likely matches a line of the page with what stands in its place here.
func (c *console) likely(line string) *regexp.Regexp {
	var b strings.Builder
	at := 0
	for _, m := range lots.FindAllStringIndex(line, -1) {
		b.WriteString(c.quoted(line[at:m[0]]))
		switch one := line[m[0]:m[1]]; {
		case strings.Contains(one, "…"):
			for i, part := range strings.Split(one, "…") {
				if i > 0 {
					b.WriteString(".*")
				}
				b.WriteString(c.quoted(part))
			}
		case lots.MatchString(one) && strings.HasSuffix(one, "  "):
			b.WriteString(`[A-Za-z0-9_-]{12}  `)
		default:
			b.WriteString(regexp.MustCompile(`[a-z0-9]`).ReplaceAllString(regexp.QuoteMeta(one), `[a-z0-9]`))
		}
		at = m[1]
	}
	b.WriteString(c.quoted(line[at:]))
	// Columns are as wide as what stands in them.
	return regexp.MustCompile("(?m)^" + regexp.MustCompile(` {2,}`).ReplaceAllString(b.String(), " +") + "$")
}

// quoted matches text, with the ports of the page or with those of here: some are defaults.
func (c *console) quoted(text string) string {
	for page, here := range c.drawn {
		text = strings.ReplaceAll(text, page, here)
	}
	text = regexp.QuoteMeta(text)
	for i := 0; i < len(c.ports); i += 2 {
		text = strings.ReplaceAll(text, c.ports[i], "(?:"+c.ports[i]+"|"+c.ports[i+1]+")")
	}
	return text
}

var password = regexp.MustCompile(`[a-z0-9]{4}(?:-[a-z0-9]{4}){4}`)

// draw remembers what was drawn by lot, by what the page has in its place.
func (c *console) draw(page, here string) {
	a, b := password.FindAllString(page, -1), password.FindAllString(here, -1)
	for i := range min(len(a), len(b)) {
		c.drawn[a[i]] = b[i]
	}
}

// follow does what the page says in a block, and compares what comes of it. It returns what the
// last command printed.
func (c *console) follow(p page, b block) (said string) {
	c.Helper()
	lines := strings.Split(strings.TrimSuffix(b.text, "\n"), "\n")
	waited := false
	for len(lines) > 0 {
		command, ok := strings.CutPrefix(lines[0], "$ ")
		if !ok {
			c.Fatalf("%s:%d: %q stands behind no command", p.name, b.line, lines[0])
		}
		lines = lines[1:]
		var want []string
		for len(lines) > 0 && !strings.HasPrefix(lines[0], "$ ") {
			want, lines = append(want, lines[0]), lines[1:]
		}
		if apart(p, b) {
			c.beside(command, want)
			continue
		}
		well := false
		for end := time.Now().Add(20 * time.Second); !well; time.Sleep(200 * time.Millisecond) {
			said = c.run(command)
			well = c.likelyAll(want, said)
			if !waited || time.Now().After(end) {
				break
			}
		}
		waited = strings.HasPrefix(command, "sleep ") // a page knows how long that takes, a busy machine does not
		if !well {
			c.Fatalf("%s:%d: %s\nprints\n%s\nand the page says\n%s", p.name, b.line, command, said, strings.Join(want, "\n"))
		}
		c.draw(strings.Join(want, "\n"), said)
	}
	return said
}

// likelyAll reports whether every line is as the page has it.
func (c *console) likelyAll(want []string, said string) bool {
	var got []string
	if said != "" {
		got = strings.Split(strings.TrimSuffix(said, "\n"), "\n")
	}
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if !c.likely(want[i]).MatchString(got[i]) {
			return false
		}
	}
	return true
}

// apart reports whether a block is for a terminal of its own: the words before it say so.
func apart(p page, b block) bool {
	before := strings.Split(p.text, "\n")[:b.line-1]
	return len(before) > 1 && strings.Contains(strings.Join(before[max(0, len(before)-3):], " "), "terminal of its own")
}
