package xen

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/internal/host"
)

// Places of letters in the state column of "xl list" (list_domains in tools/xl/xl_info.c): running, blocked,
// paused, shut down, the reason for it, dying.
const (
	statePaused   = 2
	stateShutdown = 3
	stateReason   = 4
	stateDying    = 5
	stateLength   = 6
)

// reasons are the letters of reasons in the state column. Any other reason is "?"; the one that Xen has
// besides these is the soft reset.
var reasons = map[byte]host.Reason{
	'-': host.PowerOff, 'r': host.Reboot, 's': host.Suspend, 'c': host.Crash, 'w': host.Watchdog, '?': host.SoftReset,
}

// list asks the hypervisor for its domains: itself, or with an interface that is unknown here through xl. What xl
// knows is taken from the table of "xl list -v": that has domains that xenstore does not know yet or any more, and its
// form has been the same for many years, while upstream calls the JSON form experimental.
func (x *Toolstack) list(ctx context.Context) ([]host.Domain, error) {
	if x.domains != nil {
		if domains, err := x.domains(); err == nil {
			return x.withNames(ctx, domains)
		}
	}
	return x.listByXL(ctx)
}

// listUnnamed is list without the names, for which xenstored is asked once for each domain.
func (x *Toolstack) listUnnamed(ctx context.Context) ([]host.Domain, error) {
	if x.domains != nil {
		if domains, err := x.domains(); err == nil {
			isDom0 := func(d host.Domain) bool { return d.Domid == 0 }
			return slices.DeleteFunc(domains, isDom0), nil
		}
	}
	return x.listByXL(ctx)
}

func (x *Toolstack) listByXL(ctx context.Context) ([]host.Domain, error) {
	stdout, err := x.xl(ctx, "list", "-v")
	if err != nil {
		return nil, err
	}
	return parseList(bytes.NewReader(stdout))
}

// parseList reads the table of "xl list -v", whose first line is a heading, and leaves dom0 out. The table
// is never empty otherwise: dom0 is always in it.
func parseList(r io.Reader) ([]host.Domain, error) {
	var domains []host.Domain
	dom0 := false
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		if number == 1 || strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		domain, err := parseDomain(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("xl list, line %d: %w", number, err)
		}
		if domain.Domid == 0 {
			dom0 = true
			continue
		}
		domains = append(domains, domain)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("xl list: %w", err)
	}
	if !dom0 {
		return nil, fmt.Errorf("xl list: dom0 is not in it")
	}
	return domains, nil
}

// Columns of the table, counted from its end, because a name may contain spaces.
const (
	columnLabel = iota
	columnReason
	columnUUID
	columnSeconds
	columnState
	columnVCPUs
	columnMiB
	columnID
	columns
)

func parseDomain(line string) (host.Domain, error) {
	rest := line
	var fields [columns]string
	for i := range fields {
		rest = strings.TrimRight(rest, " \t")
		cut := strings.LastIndexAny(rest, " \t")
		if cut < 0 {
			return host.Domain{}, fmt.Errorf("%.160q has too few columns", line)
		}
		fields[i], rest = rest[cut+1:], rest[:cut]
	}
	domid, err := parseNumber(fields[columnID])
	if err != nil {
		return host.Domain{}, fmt.Errorf("%.160q: %w", line, err)
	}
	memory, err := parseNumber(fields[columnMiB])
	if err != nil {
		return host.Domain{}, fmt.Errorf("%.160q: %w", line, err)
	}
	if len(fields[columnState]) != stateLength {
		return host.Domain{}, fmt.Errorf("%.160q: %.20q is no state", line, fields[columnState])
	}
	vcpus, err := parseNumber(fields[columnVCPUs])
	if err != nil {
		return host.Domain{}, fmt.Errorf("%.160q: %w", line, err)
	}
	seconds, err := strconv.ParseFloat(fields[columnSeconds], 64)
	if err != nil || !(seconds >= 0 && seconds < maxSeconds) {
		return host.Domain{}, fmt.Errorf("%.160q: %.20q is no number of seconds", line, fields[columnSeconds])
	}
	domain := host.Domain{
		Domid:      domid,
		UUID:       fields[columnUUID],
		Name:       strings.Trim(rest, " \t"),
		MemoryKiB:  int64(memory) << 10,
		VCPUs:      vcpus,
		CPUSeconds: seconds,
	}
	if domain.Name == "(null)" { // libxl has forgotten it, or does not know it yet
		domain.Name = ""
	}
	readState(&domain, fields[columnState])
	return domain, nil
}

// maxSeconds is more processor time than any domain has: 8,192 processors for some centuries.
const maxSeconds = 1e14

// parseNumber reads a number that is not negative and not absurd.
func parseNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxNumber {
		return 0, fmt.Errorf("%.20q is no number", text)
	}
	return n, nil
}

// readState reads the state column.
func readState(domain *host.Domain, state string) {
	domain.Paused = state[statePaused] == 'p'
	domain.Dying = state[stateDying] == 'd'
	if state[stateShutdown] == 's' {
		domain.Shutdown = reasons[state[stateReason]]
		if domain.Shutdown == "" {
			domain.Shutdown = host.Crash
		}
	}
}
