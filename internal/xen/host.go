package xen

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Host is what the hypervisor says about the machine.
type Host struct {
	TotalKiB int64 // RAM, whole MiB
	FreeKiB  int64 // RAM that no domain has and that is not claimed for one, whole MiB
	CPUs     int
	Version  string   // of Xen, "4.20.2"
	VirtCaps []string // virt_caps: "pv", "hvm", "hap", "shadow", ...
}

// PVH says whether PVH and HVM guests can run: the CPU has VT-x or AMD-V, and there are nested
// pages, or the hypervisor's shadow pages in their place.
func (h Host) PVH() bool {
	return slices.Contains(h.VirtCaps, "hvm") &&
		(slices.Contains(h.VirtCaps, "hap") || slices.Contains(h.VirtCaps, "shadow"))
}

// Info asks the hypervisor about the machine through "xl info". (/sys/hypervisor has the abilities, but not
// the free memory.) A failure is tried again twice.
func (x *Toolstack) Info(ctx context.Context) (Host, error) { return again(ctx, x.info) }

func (x *Toolstack) info(ctx context.Context) (Host, error) {
	stdout, err := x.xl(ctx, "info")
	if err != nil {
		return Host{}, err
	}
	return parseInfo(bytes.NewReader(stdout))
}

// parseInfo reads the output of "xl info", lines "key : value" (tools/xl/xl_info.c). Keys it does
// not know are skipped; memory is required, since guests are admitted by it.
func parseInfo(r io.Reader) (Host, error) {
	values := map[string]string{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		values[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	if err := lines.Err(); err != nil {
		return Host{}, fmt.Errorf("xl info: %w", err)
	}
	host := Host{Version: values["xen_version"], VirtCaps: strings.Fields(values["virt_caps"])}
	var failures [3]error
	host.TotalKiB, failures[0] = mebibytes(values, "total_memory")
	host.FreeKiB, failures[1] = mebibytes(values, "free_memory")
	host.CPUs, failures[2] = number(values, "nr_cpus")
	return host, errors.Join(failures[:]...)
}

// mebibytes reads a number of MiB as KiB.
func mebibytes(values map[string]string, key string) (int64, error) {
	mib, err := number(values, key)
	return int64(mib) << 10, err
}

// maxNumber keeps a count of MiB from overflowing as KiB.
const maxNumber = 1 << 40

func number(values map[string]string, key string) (int, error) {
	text, ok := values[key]
	if !ok {
		return 0, fmt.Errorf("xl info: no line %q", key)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxNumber {
		return 0, fmt.Errorf("xl info: %s is %.40q, want a number", key, text)
	}
	return n, nil
}
