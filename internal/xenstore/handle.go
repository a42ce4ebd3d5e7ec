package xenstore

import (
	"context"
	"fmt"
	"strconv"
)

// handle carries the operations that exist both inside and outside a transaction. Paths are
// absolute, or relative to the caller's own /local/domain/DOMID.
type handle struct {
	client *Client
	tx     uint32 // 0: outside transactions
}

// call checks path, sends a request whose payload is path, a NUL and rest, and names operation
// and path in the error.
func (h handle) call(ctx context.Context, op string, kind uint32, path, rest string) ([]byte, error) {
	err := checkPath(path)
	if err != nil {
		return nil, &Error{Op: op, Path: fmt.Sprintf("%.80q", path), Err: err}
	}
	reply, err := h.client.request(ctx, kind, h.tx, append(joinStrings(path), rest...))
	if err != nil {
		return nil, &Error{Op: op, Path: path, Err: err}
	}
	return reply, nil
}

// Read returns the value at path. A missing path is an error that matches fs.ErrNotExist.
func (h handle) Read(ctx context.Context, path string) (string, error) {
	value, err := h.call(ctx, "read", typeRead, path, "")
	return string(value), err
}

// Write stores value, any bytes, at path and creates missing parents.
func (h handle) Write(ctx context.Context, path, value string) error {
	_, err := h.call(ctx, "write", typeWrite, path, value)
	return err
}

// Mkdir makes sure that path exists, with an empty value if it is new.
func (h handle) Mkdir(ctx context.Context, path string) error {
	_, err := h.call(ctx, "mkdir", typeMkdir, path, "")
	return err
}

// Rm removes path and all below it. A missing path is no error, a missing parent is one
// (fs.ErrNotExist).
func (h handle) Rm(ctx context.Context, path string) error {
	_, err := h.call(ctx, "rm", typeRm, path, "")
	return err
}

// Directory lists the names of path's children. More than 4,096 bytes of names (over a thousand
// domains) are refused by xenstored with E2BIG.
func (h handle) Directory(ctx context.Context, path string) ([]string, error) {
	names, err := h.call(ctx, "directory", typeDirectory, path, "")
	if err != nil {
		return nil, err
	}
	return splitStrings(names), nil
}

// DomainPath returns a domain's home, /local/domain/DOMID.
func (h handle) DomainPath(ctx context.Context, domid int) (string, error) {
	reply, err := h.call(ctx, "get domain path", typeGetDomainPath, strconv.Itoa(domid), "")
	if err != nil {
		return "", err
	}
	parts := splitStrings(reply)
	if len(parts) != 1 {
		err := fmt.Errorf("%d strings in the reply, want 1", len(parts))
		return "", &Error{Op: "get domain path", Path: strconv.Itoa(domid), Err: err}
	}
	return parts[0], nil
}
