// Package stage runs a boot as a table of stages: each has a name, a function, and a remedy for when it
// fails.
package stage

import (
	"context"
	"fmt"
	"time"
)

// Stage is one row of the table.
type Stage struct {
	Name string
	Run  func(context.Context) error
	// Remedy goes with a failure: what a person can do about it.
	Remedy string
}

// Result is how a stage has ended.
type Result struct {
	Stage
	Took time.Duration
	Err  error
}

// Run runs the stages in order and reports each. If a stage fails or panics, the next ones run all the
// same: a machine that lacks something is more useful than none.
func Run(ctx context.Context, report func(Result), stages []Stage) {
	for _, s := range stages {
		start := time.Now()
		err := protect(ctx, s.Run)
		report(Result{Stage: s, Took: time.Since(start), Err: err})
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
