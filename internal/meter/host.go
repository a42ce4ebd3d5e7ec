package meter

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// Host is what dom0 uses.
type Host struct {
	Uptime                    time.Duration
	Load                      float64 // over the last minute
	TotalKiB, AvailableKiB    int64   // of dom0's memory
	SwapTotalKiB, SwapFreeKiB int64
}

// ReadHost reads what dom0 uses in proc, which is /proc: proc(5), meminfo, uptime and loadavg.
func ReadHost(proc fs.FS) (h Host, err error) {
	var seconds float64
	for _, f := range []struct {
		name string
		into *float64
	}{{"uptime", &seconds}, {"loadavg", &h.Load}} {
		text, err := fs.ReadFile(proc, f.name)
		if err != nil {
			return h, err
		}
		if _, err := fmt.Sscan(string(text), f.into); err != nil {
			return h, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	h.Uptime = time.Duration(seconds * float64(time.Second))
	text, err := fs.ReadFile(proc, "meminfo")
	if err != nil {
		return h, err
	}
	fields := map[string]*int64{
		"MemTotal": &h.TotalKiB, "MemAvailable": &h.AvailableKiB,
		"SwapTotal": &h.SwapTotalKiB, "SwapFree": &h.SwapFreeKiB,
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if into := fields[name]; into != nil {
			if _, err := fmt.Sscan(value, into); err != nil {
				return h, fmt.Errorf("meminfo: %s: %w", name, err)
			}
		}
	}
	return h, nil
}
