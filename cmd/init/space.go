package main

import (
	"context"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/space"
)

// memoryDirs are where dom0's file systems in memory are that somebody may fill.
var memoryDirs = []string{"/", "/dev", "/run", boot.RunDir, "/tmp", boot.Home, "/var/log"}

// spacePause is the time between two looks at them, which take some microseconds.
const spacePause = 10 * time.Second

// watchSpace tells when a file system in memory is full, and when it has room again.
func (s *system) watchSpace(ctx context.Context) error {
	watcher := space.Watcher{
		Dirs: memoryDirs, Every: spacePause, Look: space.Statfs,
		Tell: func(dir string, full bool, u space.Usage) {
			s.state.Tell(host.FileSystem{Dir: dir, Full: full, KiB: u.Bytes >> 10})
		},
	}
	return watcher.Run(ctx)
}
