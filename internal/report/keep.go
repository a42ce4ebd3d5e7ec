package report

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
)

// keepPause is the shortest time between two writes of the snapshot's file.
const keepPause = 200 * time.Millisecond

// Keep writes the newest snapshot to a file, for `status` and for the emergency process, until ctx ends.
// What could not be written is tried again with the next change, and after a while. problem gets why.
func Keep(ctx context.Context, write func(text string) error, updates <-chan host.Update, problem func(error)) {
	var last host.Update
	retry := make(<-chan time.Time)
	for {
		select {
		case last = <-updates:
		case <-retry:
		case <-ctx.Done():
			return
		}
		retry = nil
		text, err := json.Marshal(last.Snapshot)
		if err == nil {
			err = write(string(text))
		}
		if err != nil {
			problem(err)
			retry = time.After(time.Second)
		}
		select {
		case <-time.After(keepPause):
		case <-ctx.Done():
			return
		}
	}
}

// Read reads the snapshot that Keep has written.
func Read(file string) (*host.Snapshot, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the host's state: %w", err)
	}
	var s host.Snapshot
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read the host's state: %s: %w", file, err)
	}
	return &s, nil
}
