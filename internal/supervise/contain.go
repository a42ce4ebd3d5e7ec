package supervise

import (
	"fmt"
	"runtime/debug"
)

// PanicError is a panic that [Contain] made an error of.
type PanicError struct {
	Value any
	Stack []byte // as debug.Stack writes it
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Contain calls do, and makes a [PanicError] of a panic in it. A goroutine that a service starts needs it: what
// supervises the service sees only panics of the goroutine in which Run runs, and any other one ends the process. Where
// the error comes out of Run, its stack is written to the service's output.
func Contain(do func() error) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = &PanicError{reason, debug.Stack()}
		}
	}()
	return do()
}
