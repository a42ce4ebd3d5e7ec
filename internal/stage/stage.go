// Package stage runs a boot as a table of stages: each has a name, a function, and a remedy that is
// printed when it fails. Every stage prints one console line with its duration.
package stage

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/zerodisc/zerodisc/boot"
)

// Stage is one row of the table.
type Stage struct {
	Name string
	Run  func(context.Context) error
	// Remedy is printed with a failure: what a person can do about it.
	Remedy string
}

// Run runs the stages in order and reports each. If a stage fails or panics, the next ones run all the
// same: a machine that lacks something is more useful than none.
func Run(ctx context.Context, log *slog.Logger, stages []Stage) {
	for _, s := range stages {
		start := time.Now()
		err := protect(ctx, s.Run)
		ms := time.Since(start).Milliseconds()
		if err != nil {
			log.Error(boot.MsgStage, "name", s.Name, "ms", ms, "err", err, "remedy", s.Remedy)
			continue
		}
		log.Info(boot.MsgStage, "name", s.Name, "ms", ms)
	}
}

// protect turns a panic of run into an error, so that a bug in one stage does not end the boot.
func protect(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return run(ctx)
}
