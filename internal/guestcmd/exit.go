package guestcmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/zerodisc/zerodisc/internal/api"
	"github.com/zerodisc/zerodisc/internal/client"
)

// Exit statuses. docs/operations.md has them: scripts rely on them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNoGuest     = 3 // there is no such guest, or device of it
	exitState       = 4 // not possible in the state in which the guest is
	exitTimeout     = 5
	exitUnreachable = 6 // the host's API does not answer
)

// usageError is a call that makes no sense.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// toldError is an error that was printed already.
type toldError struct{ error }

func (e *toldError) Unwrap() error { return e.error }

// opError is an operation that failed.
func opError(op api.Operation) error {
	if op.StatusCode == api.OperationSuccess {
		return nil
	}
	return &client.Error{Code: op.ErrorCode, Text: op.Error}
}

// exitCode is the exit status for an error.
func exitCode(err error) int {
	var usage usageError
	var said *client.Error
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, client.ErrUnreachable):
		return exitUnreachable
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	case !errors.As(err, &said):
		return exitFailed
	}
	switch said.Code {
	case http.StatusBadRequest:
		return exitUsage
	case http.StatusNotFound:
		return exitNoGuest
	case http.StatusConflict:
		return exitState
	case http.StatusGatewayTimeout:
		return exitTimeout
	}
	return exitFailed
}

// seconds is a flag with a time: a number of seconds, or as Go writes it.
type seconds struct {
	time.Duration
	given bool
}

func (s *seconds) Set(text string) error {
	d, err := time.ParseDuration(text)
	if n, noUnit := strconv.Atoi(text); noUnit == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 {
		return errors.New("want seconds, or a time such as 1m30s")
	}
	s.Duration, s.given = d, true
	return nil
}

func (s *seconds) String() string {
	if !s.given {
		return ""
	}
	return s.Duration.String()
}
