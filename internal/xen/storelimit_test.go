package xen

import (
	"os"
	"testing"
	"time"
)

func TestStoreLoad(t *testing.T) {
	var load storeLoad
	var used time.Duration
	for n, step := range []struct {
		took time.Duration
		busy bool
	}{
		{time.Hour, false}, // before the first look
		{storeBusy, false}, {storeBusy, true}, {storeBusy, true}, {storeBusy - 1, false},
		{storeBusy, false}, {0, false}, {storeBusy, false}, {storeLook, true},
	} {
		used += step.took
		if got := load.busy(used); got != step.busy {
			t.Errorf("look %d: %v", n, got)
		}
	}
}

func TestProcessorTime(t *testing.T) {
	before, err := ProcessorTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for {
		if after, err := ProcessorTime(os.Getpid()); err != nil || after > before+time.Hour {
			t.Fatalf("%v and then %v, %v", before, after, err)
		} else if after > before {
			return
		}
	}
}
