package main

import (
	"slices"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
)

func TestServicesText(t *testing.T) {
	now := time.Unix(1e9, 0)
	got := servicesText([]host.Daemon{
		{Name: "ntp", Phase: "running", Since: now.Add(-90 * time.Second)},
		{Name: "xenconsoled", Phase: "waiting", PID: 7, Restarts: 2, Since: now.Add(time.Hour), Problem: "killed"},
		{Name: "z", Phase: "stopped"},
	}, now, func(int) int64 { return 1536 })
	const want = `SERVICE      STATE    PID   MEMORY   RESTARTS  SINCE  PROBLEM
ntp          running  init           0         1m30s
xenconsoled  waiting  7     1.5 MiB  2                killed
z            stopped  -              0
`
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestSwitchedOff(t *testing.T) {
	settings := []host.Setting{
		{Key: "ntp.enabled", Source: "disc"}, {Key: "watchdog.enabled", Value: "no", Source: "kernel command line"},
	}
	for key, want := range map[string]string{
		"watchdog.enabled": "switched off by watchdog.enabled (kernel command line)",
		"ssh.enabled":      "switched off by ssh.enabled",
	} {
		if got := switchedOff(key, settings); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTimeServers(t *testing.T) {
	for _, test := range []struct {
		asked  []string
		leased string
		want   []string
	}{
		{nil, "", publicTimeServers}, {nil, "10.0.0.1\n10.0.0.2\n", []string{"10.0.0.1", "10.0.0.2"}},
		{[]string{"a", "b:123"}, "10.0.0.1\n", []string{"a", "b:123"}}, {nil, " \n", publicTimeServers},
	} {
		if got := timeServers(test.asked, test.leased); !slices.Equal(got, test.want) {
			t.Errorf("%q, %q: %q", test.asked, test.leased, got)
		}
	}
}
