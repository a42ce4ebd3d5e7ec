package xenstore

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrClosed is what every operation returns once the connection is gone, whoever ended it.
var ErrClosed = errors.New("xenstore connection closed")

// errnos are the errors xenstored may name in an ERROR reply (xsd_errors in xs_wire.h).
var errnos = map[string]syscall.Errno{
	"EINVAL": syscall.EINVAL, "EACCES": syscall.EACCES, "EEXIST": syscall.EEXIST,
	"EISDIR": syscall.EISDIR, "ENOENT": syscall.ENOENT, "ENOMEM": syscall.ENOMEM,
	"ENOSPC": syscall.ENOSPC, "EIO": syscall.EIO, "ENOTEMPTY": syscall.ENOTEMPTY,
	"ENOSYS": syscall.ENOSYS, "EROFS": syscall.EROFS, "EBUSY": syscall.EBUSY,
	"EAGAIN": syscall.EAGAIN, "EISCONN": syscall.EISCONN, "E2BIG": syscall.E2BIG,
	"EPERM": syscall.EPERM,
}

// Error is a refusal by xenstored. It unwraps to a syscall.Errno, so that
// errors.Is(err, fs.ErrNotExist) and errors.Is(err, syscall.EAGAIN) work.
type Error struct {
	Op   string // "read", "write", ...
	Path string // empty where the operation has none
	Err  error
}

func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("xenstore %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("xenstore %s %s: %v", e.Op, e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// decodeError turns the payload of an ERROR reply into an error; a name that is not in the
// table is kept as it is.
func decodeError(payload []byte) error {
	parts := splitStrings(payload)
	if len(parts) == 0 {
		return errors.New("xenstored refused without naming an error")
	}
	if errno, ok := errnos[parts[0]]; ok {
		return errno
	}
	return fmt.Errorf("xenstored refused: %q", parts[0])
}
