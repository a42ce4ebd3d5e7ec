package xen

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Domain is one line of "xl list".
type Domain struct {
	ID        int
	Name      string // "(null)" once libxl has forgotten a domain that Xen still tears down
	MemoryKiB int64  // whole MiB
	VCPUs     int
	State     string // six letters or dashes: running, blocked, paused, shut down, reason, dying
}

// Places of letters in State (tools/xl/xl_info.c).
const (
	statePaused = 2
	stateDying  = 5
)

// Paused says that the domain does not get to run: it is being built, or somebody has paused it.
func (d Domain) Paused() bool { return d.is(statePaused, 'p') }

// Dying says that the domain is being torn down: it has no future but may still hold memory.
func (d Domain) Dying() bool { return d.is(stateDying, 'd') }

func (d Domain) is(place int, letter byte) bool {
	return len(d.State) > place && d.State[place] == letter
}

// List returns all domains, dom0 included. It is taken from the table of "xl list": that is the
// hypervisor's own list, with domains that xenstore does not know any more, and its form has
// been the same for many years, while upstream calls the JSON form experimental.
func (d *Domains) List(ctx context.Context) ([]Domain, error) {
	stdout, stderr, err := d.run(ctx, XL, "list")
	if err != nil {
		return nil, fmt.Errorf("xl list: %w", programError(stderr, err))
	}
	return parseList(bytes.NewReader(stdout))
}

// parseList reads the table of "xl list", whose first line is a heading.
func parseList(r io.Reader) ([]Domain, error) {
	var domains []Domain
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		if number == 1 || strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		domain, err := parseDomain(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("xl list, line %d: %w", number, err)
		}
		domains = append(domains, domain)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("xl list: %w", err)
	}
	return domains, nil
}

// parseDomain reads a line from its end, because a name may contain spaces: name, ID, MiB, VCPUs,
// state, seconds.
func parseDomain(line string) (Domain, error) {
	rest := line
	var fields [5]string // from the right: seconds, state, VCPUs, MiB, ID
	for i := range fields {
		rest = strings.TrimRight(rest, " \t")
		cut := strings.LastIndexAny(rest, " \t")
		if cut < 0 {
			return Domain{}, fmt.Errorf("%.120q has too few columns", line)
		}
		fields[i], rest = rest[cut+1:], rest[:cut]
	}
	var numbers [3]int // ID, MiB, VCPUs
	for i := range numbers {
		n, err := strconv.Atoi(fields[len(fields)-1-i])
		if err != nil || n < 0 || n > maxNumber {
			return Domain{}, fmt.Errorf("%.120q: %.20q is no number", line, fields[len(fields)-1-i])
		}
		numbers[i] = n
	}
	return Domain{
		ID:        numbers[0],
		Name:      strings.TrimRight(rest, " \t"),
		MemoryKiB: int64(numbers[1]) << 10,
		VCPUs:     numbers[2],
		State:     fields[1],
	}, nil
}
