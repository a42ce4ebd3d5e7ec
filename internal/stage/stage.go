// Package stage runs a boot as a table: stages in order, each with a name, a function and what
// its failure means. Every stage prints one console line with its duration.
package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"zerodisc/boot"
)

// Policy says what a stage's failure means for the boot.
type Policy int

const (
	// Degrade reports the failure and goes on: the machine lacks something but is of use.
	Degrade Policy = iota
	// Fatal ends the run: nothing after this stage could work.
	Fatal
)

// Stage is one row of the table.
type Stage struct {
	Name    string
	Run     func(context.Context) error
	OnError Policy
	// Remedy is printed with a failure: what a person can do about it.
	Remedy string
}

// ErrFatal is wrapped by what Run returns when a Fatal stage failed.
var ErrFatal = errors.New("boot stopped")

// Run runs the stages in order. A panic inside a stage counts as its failure.
func Run(ctx context.Context, log *slog.Logger, stages []Stage) error {
	for _, s := range stages {
		start := time.Now()
		err := protect(ctx, s.Run)
		ms := time.Since(start).Milliseconds()
		if err == nil {
			log.Info(boot.MsgStage, "name", s.Name, "ms", ms)
			continue
		}
		log.Error(boot.MsgStage, "name", s.Name, "ms", ms, "err", err, "remedy", s.Remedy)
		if s.OnError == Fatal {
			return fmt.Errorf("%w: stage %s: %w", ErrFatal, s.Name, err)
		}
	}
	return nil
}

// protect turns a panic of run into an error, so that one stage's bug is that stage's failure.
func protect(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return run(ctx)
}
