package main

import (
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/watchdog"
)

func TestWatchdogTimeout(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": defaultWatchdogTimeout, "zerodisc.watchdog": defaultWatchdogTimeout, "zerodisc.watchdog=no": 0,
		"zerodisc.watchdog=0": 0, "zerodisc.watchdog=1": defaultWatchdogTimeout, "zerodisc.watchdog=60": time.Minute,
		"zerodisc.watchdog=2": watchdog.MinTimeout,
	} {
		if got, err := watchdogTimeout(boot.ParseCmdline(text)); got != want || err != nil {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	got, err := watchdogTimeout(boot.ParseCmdline("zerodisc.watchdog=soon"))
	if got != defaultWatchdogTimeout || err == nil {
		t.Errorf("%v, %v", got, err)
	}
}
