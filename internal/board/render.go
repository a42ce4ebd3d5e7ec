package board

import (
	"fmt"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/host"
)

// Styles of a line (ECMA-48, SGR). Show ends each line with the usual one.
const (
	usual   = "\x1b[m"
	bold    = "\x1b[1m"
	reverse = "\x1b[7m"
)

// The least size that is drawn for. On a smaller terminal the right and lower edges are missing.
const minColumns, minRows = 80, 24

// Lines of the screen below the list of guests: the chosen guest, problems, the message and the keys.
const (
	problemRows = 3
	belowRows   = 2 + problemRows + 2
)

// Lines is the screen, a string with styles for each of its rows.
func (v *View) Lines(columns, rows int) []string {
	columns, rows = max(columns, minColumns), max(rows, minRows)
	if v.page != nil {
		return v.page.lines(columns, rows)
	}
	lines := []string{v.title(columns)}
	lines = append(lines, v.machine(columns)...)
	if v.Help {
		lines = append(lines, helpLines(columns, rows-len(lines)-1)...)
		return append(lines, v.keys(columns))
	}
	room := rows - len(lines) - 1 - belowRows
	lines = append(lines, bold+fit(heading(columns), columns))
	lines = append(lines, v.list(columns, room)...)
	lines = append(lines, "", v.detail(columns))
	lines = append(lines, v.problems(columns)...)
	return append(lines, v.message(columns), v.keys(columns))
}

// fit cuts or fills text to so many columns.
func fit(text string, columns int) string {
	return runewidth.FillRight(runewidth.Truncate(text, columns, "~"), columns)
}

// width is how many columns a line takes.
func width(line string) int {
	columns := 0
	for line != "" {
		text, rest, styled := strings.Cut(line, "\x1b[")
		columns += runewidth.StringWidth(text)
		if _, line, _ = strings.Cut(rest, "m"); !styled {
			break
		}
	}
	return columns
}

// title says what this is, how long it has been up, and what time it is.
func (v *View) title(columns int) string {
	version, _, _ := strings.Cut(v.snapshot.Host.Version, " ")
	left := " zerodisc " + version + "  " + v.name
	right := "up " + elapsed(v.up) + "  " + v.now.Format("15:04") + " "
	return reverse + fit(left, columns-len(right)) + right
}

// machine is what the machine is, how to reach it and how to get in.
func (v *View) machine(columns int) []string {
	lines := []string{"Address   " + address(v.snapshot.Host.Network)}
	if text := v.memory(); text != "" {
		lines = append(lines, "Machine   "+text)
	}
	for i, text := range v.LogIn {
		label := "          "
		if i == 0 {
			label = "Log in    "
		}
		lines = append(lines, label+text)
	}
	lines = append(lines, "")
	for i, line := range lines {
		lines[i] = fit(line, columns)
	}
	return lines
}

// address is dom0's own, or why there is none.
func address(n host.Network) string {
	switch first := n.First(); {
	case first.IsValid() && n.NIC != "":
		return fmt.Sprintf("%s  (%s, %s)", first, n.Interface, n.NIC)
	case first.IsValid():
		return fmt.Sprintf("%s  (%s)", first, n.Interface)
	case n.Problem != "":
		return "none yet: " + n.Problem
	}
	return "waiting for one"
}

// memory is how much of the machine guests have.
func (v *View) memory() string {
	m := v.snapshot.Host.Machine
	if m.Xen == "" {
		return ""
	}
	var used int64
	for _, owner := range v.snapshot.Host.Memory {
		used += owner.XenKiB
	}
	return fmt.Sprintf("Xen %s, %d CPUs, %s of %s memory with guests", m.Xen, m.CPUs, mib(used), mib(m.TotalKiB))
}

func mib(kib int64) string { return fmt.Sprintf("%d MiB", kib>>10) }

// heading stands above the guests, in the columns of guestLine.
func heading(columns int) string {
	name, address := widths(columns)
	return fmt.Sprintf(rowFormat, "", fit("GUEST", name), "STATE", fit("ADDRESS", address), "CPU", "MEMORY", "NETWORK",
		"FOR")
}

// rowFormat is a line of the table: mark, name, state, address, CPU, memory, traffic, time. With the least widths of
// the name and the address it has 80 columns.
const rowFormat = "%1s %s %-10s %s %5s %8s %9s %8s"

// widths are those of a guest's name and address: a wide terminal has room for long names, and any IPv6 address.
func widths(columns int) (name, address int) {
	const leastName, leastAddress, mostName, mostAddress = 16, 15, 40, 39
	more := max(0, columns-minColumns)
	address = min(mostAddress, leastAddress+more)
	return min(mostName, leastName+more-(address-leastAddress)), address
}

// list is the guests, as many as there is room for, with the chosen one among them.
func (v *View) list(columns, room int) []string {
	guests := v.snapshot.Guests
	lines := make([]string, 0, room)
	if len(guests) == 0 {
		lines = append(lines, v.nothing())
	}
	v.scroll(room)
	for i := v.first; i < len(guests) && len(lines) < room; i++ {
		line := fit(v.guestLine(&guests[i], columns), columns)
		if i == v.place() {
			line = reverse + line
		}
		lines = append(lines, line)
	}
	for len(lines) < room {
		lines = append(lines, "")
	}
	return lines
}

// scroll has the chosen guest on the screen.
func (v *View) scroll(room int) {
	place := max(0, v.place())
	v.first = min(v.first, place)
	v.first = max(v.first, place-room+1)
	v.first = max(0, min(v.first, len(v.snapshot.Guests)-room))
}

// nothing stands in place of guests.
func (v *View) nothing() string {
	if v.snapshot.Host.Ready {
		return "  There are no guests. Put some on a volume labelled ZERODISC-..., or see docs/guests.md."
	}
	return "  Starting ..."
}

// guestLine is a guest in the table.
func (v *View) guestLine(g *host.Guest, columns int) string {
	mark, cpu, traffic, memory := "", "", "", ""
	if g.Problem != "" && g.Phase != host.Stopped {
		mark = "!"
	}
	if share := v.usage.CPU[g.Domid]; share.Known {
		cpu = fmt.Sprintf("%.0f%%", share.Percent)
	}
	if bytes, known := v.usage.Traffic[g.Domid]; known {
		traffic = bytesize.Text(int64(bytes)) + "/s"
	}
	if g.Domid != 0 && g.NeedKiB > 0 {
		memory = mib(g.NeedKiB)
	}
	where := ""
	if a := g.Address(); a.IsValid() {
		where = a.String()
	}
	nameWidth, addressWidth := widths(columns)
	return fmt.Sprintf(rowFormat, mark, fit(g.Name, nameWidth), state(g), fit(where, addressWidth), cpu, memory,
		traffic, elapsed(v.now.Sub(g.Since)))
}

// state is a guest's phase in a word.
func state(g *host.Guest) string {
	switch {
	case g.Paused:
		return "paused"
	case g.Shutdown == host.Suspend:
		return "suspended"
	}
	return string(g.Phase)
}

// elapsed is a time that has passed, "" for one that is not known.
func elapsed(d time.Duration) string {
	if d < 0 || d > 100*365*24*time.Hour {
		return ""
	}
	s := int(d.Seconds())
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
}

// detail is what the table has no room for about the chosen guest.
func (v *View) detail(columns int) string {
	g := v.Chosen()
	if g == nil {
		return ""
	}
	parts := []string{g.Name + ": " + state(g)}
	if g.Problem != "" {
		parts = append(parts, g.Problem)
	}
	if g.Restarts > 0 {
		parts = append(parts, fmt.Sprintf("%d restarts", g.Restarts))
	}
	if a := g.Address(); a.IsValid() {
		parts = append(parts, a.String())
	}
	if g.Changes.BudgetKiB > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s of disk changed", mib(g.Changes.UsedKiB), mib(g.Changes.BudgetKiB)))
	}
	if g.Origin != "" {
		parts = append(parts, g.Origin)
	}
	return fit(strings.Join(parts, ", "), columns)
}

// problems is what went wrong last with the machine, or how far its start is.
func (v *View) problems(columns int) []string {
	h := v.snapshot.Host
	var texts []string
	switch {
	case h.Ending != "":
		texts = []string{"This machine is ending: " + h.Ending}
	case !h.Ready:
		const label = "Starting: "
		texts = []string{label + stages(h.Stages, columns-len(label))}
	}
	problems := h.Wrong()
	if more := len(problems) + len(texts) - problemRows; more > 0 {
		problems = problems[more:]
	}
	for _, p := range problems {
		texts = append(texts, "! "+p)
	}
	for len(texts) < problemRows {
		texts = append(texts, "")
	}
	for i := range texts {
		texts[i] = fit(texts[i], columns)
	}
	return texts
}

// stages is how far the start is, in so many columns: the newest stages.
func stages(ended []host.Stage, columns int) string {
	var names []string
	for _, s := range ended {
		if s.Problem != "" {
			names = append(names, s.Name+" FAILED")
		} else {
			names = append(names, s.Name)
		}
	}
	text := strings.Join(names, ", ") + " ..."
	for len(text) > columns {
		_, rest, _ := strings.Cut(text, ", ")
		text = "... " + rest
	}
	return text
}

// message is the question that waits, or what became of the last key.
func (v *View) message(columns int) string {
	if v.Question != nil {
		return bold + fit(v.Question.Text+"  y/n", columns)
	}
	return fit(v.Message, columns)
}

// keys is what keys there are.
func (v *View) keys(columns int) string {
	var labels []string
	for _, a := range actions {
		if a.label != "" {
			labels = append(labels, a.label)
		}
	}
	if v.Leave {
		labels = append(labels, "q quit")
	} else {
		labels = append(labels, "P power off")
	}
	return reverse + fit(" "+strings.Join(labels, "  "), columns)
}

// helpLines are all keys.
func helpLines(columns, room int) []string {
	lines := []string{bold + fit("KEYS", columns)}
	for _, a := range actions {
		if a.help != "" {
			lines = append(lines, fit("  "+a.help, columns))
		}
	}
	for len(lines) < room {
		lines = append(lines, "")
	}
	return lines[:room]
}
