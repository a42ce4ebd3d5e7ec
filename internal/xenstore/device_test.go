package xenstore

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
)

// device imitates the kernel's xenbus device: it refuses single requests from write(2), and says
// nothing until it is closed.
type device struct {
	io.Reader
	io.Closer
	refusal error
}

func newDevice() *device {
	r, w := io.Pipe()
	return &device{Reader: r, Closer: w}
}

func (d *device) Write(p []byte) (int, error) {
	if d.refusal != nil {
		return 0, d.refusal
	}
	return len(p), nil
}

func TestDeviceRefusesOneRequest(t *testing.T) {
	d := newDevice()
	client := newClient(d, devicePayloadMax)
	defer client.Close()
	d.refusal = syscall.E2BIG
	if _, err := client.Read(t.Context(), "/a"); !errors.Is(err, syscall.E2BIG) {
		t.Error(err)
	}
	if err := client.Err(); err != nil {
		t.Errorf("the connection ended: %v", err)
	}
}

// Header and payload share the device's buffer.
func TestDevicePayloadLimit(t *testing.T) {
	client := newClient(newDevice(), devicePayloadMax)
	defer client.Close()
	err := client.Write(t.Context(), "/a", strings.Repeat("v", devicePayloadMax-2))
	if !errors.Is(err, ErrTooLong) || !strings.Contains(err.Error(), "4081 bytes, limit 4080") {
		t.Error(err)
	}
}
