package hotplug

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// parseMountInfo reads /proc/PID/mountinfo (proc_pid_mountinfo(5)): number, parent, MAJOR:MINOR,
// root, DIR, options, tags..., "-", type, source, super options. Read-only means that the file
// system is: a read-only mount of a writable one does not keep others from writing.
func parseMountInfo(r io.Reader) ([]Mount, error) {
	var mounts []Mount
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20) // overlay mounts have long options
	for number := 1; lines.Scan(); number++ {
		m, err := parseMount(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("mountinfo line %d: %w", number, err)
		}
		mounts = append(mounts, m)
	}
	return mounts, lines.Err()
}

func parseMount(line string) (Mount, error) {
	fields := strings.Fields(line)
	dash := slices.Index(fields, "-")
	if dash < 6 || len(fields) < dash+4 {
		return Mount{}, fmt.Errorf("%.80q has too few fields", line)
	}
	n, err := parseNumber(fields[2])
	if err != nil {
		return Mount{}, err
	}
	super := strings.Split(fields[len(fields)-1], ",")
	return Mount{Number: n, Source: fields[dash+2], Dir: fields[4], ReadOnly: slices.Contains(super, "ro")}, nil
}

// findSources gives mounts without a device number that of their source. Btrfs, which may lie on several devices,
// has a number of its own making.
func findSources(mounts []Mount, identify func(string) (Medium, error)) {
	for i, m := range mounts {
		if m.Number.Major != 0 || !strings.HasPrefix(m.Source, "/dev/") {
			continue
		}
		// The source is a word of whoever mounted it and may be no device.
		if device, err := identify(m.Source); err == nil && device.Block {
			mounts[i].Number = device.Number
		}
	}
}

// parseNumber reads the kernel's decimal "MAJOR:MINOR".
func parseNumber(text string) (Number, error) {
	majorText, minorText, _ := strings.Cut(strings.TrimSpace(text), ":")
	major, err := strconv.ParseUint(majorText, 10, 32)
	if err != nil {
		return Number{}, fmt.Errorf("device number %.40q: %w", text, err)
	}
	minor, err := strconv.ParseUint(minorText, 10, 32)
	if err != nil {
		return Number{}, fmt.Errorf("device number %.40q: %w", text, err)
	}
	return Number{uint32(major), uint32(minor)}, nil
}
