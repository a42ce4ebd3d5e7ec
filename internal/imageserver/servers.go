package imageserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/confine"
	"github.com/zerodisc/zerodisc/internal/guestdisk"
	"github.com/zerodisc/zerodisc/internal/oom"
	"github.com/zerodisc/zerodisc/internal/printable"
	"github.com/zerodisc/zerodisc/internal/supervise"
	"github.com/zerodisc/zerodisc/internal/ublk"
)

// LogSource is the source of the log that has what all servers say: with a source each they would fill it.
const LogSource = "image-servers"

// Config is what Servers work with. All fields are to be set.
type Config struct {
	Program string // knows Role
	// Dir has files for each server, from which another process goes on when this one has crashed.
	Dir      string
	Services *supervise.Table
	Output   io.Writer // gets "SOURCE: LINE\n"
	Report   func(supervise.Status)
	Gone     func(service string) // it is not wanted any more
	Log      *slog.Logger
}

// Servers has a service for each image that is served. Its methods may be called from any goroutine.
type Servers struct {
	Config
	limits *confine.Limits
	delete func(device int) error
}

// New returns Servers.
func New(config Config) *Servers { return &Servers{config, &limits, ublk.Delete} }

// limits are what a process may do until its device can be used: make the device, and read its image on a file system
// where files may be anybody's. Then it seals itself.
var limits = confine.Limits{Capabilities: []int{unix.CAP_SYS_ADMIN, unix.CAP_DAC_READ_SEARCH}}

// Open opens an image to look at what it is made of.
func (s *Servers) Open(target, format string) (guestdisk.Image, error) { return Open(target, format) }

// server is a server that is wanted, as it is kept in a file.
type server struct{ Service, Target, Format string }

// Files of a server in Config.Dir, after its key.
const (
	serverFile = ".server" // server, as JSON
	deviceFile = ".device" // the process's: its device and itself
	outputFile = ".output" // a FIFO
)

func (s *Servers) file(key, kind string) string { return filepath.Join(s.Dir, key+kind) }

// startLimit is how long a process may take until its device can be used: it reads the image's tables.
const startLimit = 30 * time.Second

// Serve starts a service that serves an image, and returns its device. key names it for Stop.
func (s *Servers) Serve(ctx context.Context, key, service, target, format string) (device string, err error) {
	taken := func(status supervise.Status) bool { return status.Name == service }
	if slices.ContainsFunc(s.Services.List(), taken) { // by a guest that has another name since
		service = key
	}
	v := server{service, target, format}
	text, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(s.file(key, serverFile), text, 0o600)
	}
	if err == nil {
		err = s.start(ctx, key, v)
	}
	var number int
	if err == nil {
		number, _, err = readDevice(s.file(key, deviceFile))
	}
	if err != nil {
		return "", fmt.Errorf("serve the image: %w", errors.Join(err, s.Stop(key)))
	}
	return fmt.Sprintf("/dev/ublkb%d", number), nil
}

// start starts a service and waits until its device can be used. One that fails the first time is not tried again.
func (s *Servers) start(ctx context.Context, key string, v server) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	spec := s.spec(key, v)
	words := &lastLine{to: spec.Output, prefix: v.Service + ": "}
	spec.Output = words
	var began atomic.Bool
	spec.Report = func(status supervise.Status) {
		switch {
		case status.Phase == supervise.Running:
			began.Store(true)
		case status.Phase == supervise.Waiting && !began.Load():
			fail(errors.Join(status.Err, words.err()))
		}
		s.Report(status)
	}
	err := s.Services.Add(ctx, spec)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// spec is a server as a service. It goes on when init crashes. A guest's disk hangs without it: it is started again
// for ever, and nobody stops it while the guest is there.
func (s *Servers) spec(key string, v server) supervise.Spec {
	device := s.file(key, deviceFile)
	return supervise.Spec{
		Name: v.Service, Path: s.Program, Args: []string{Role, v.Target, v.Format, device},
		Lasting: s.file(key, outputFile), Limits: s.limits, OOMScoreAdj: oom.Last,
		Kept:  "a guest reads its disk through it, and would wait; it can be restarted",
		Ready: func(context.Context) error { return serves(device) }, ReadyTimeout: startLimit,
		MaxRestarts: supervise.Forever, MaxBackoff: time.Minute,
		Output: sourceWriter{s.Output}, Report: s.Report,
	}
}

// serves is an error where the process that has written a file with its device does not run.
func serves(device string) error {
	_, pid, err := readDevice(device)
	if err == nil {
		err = unix.Kill(pid, 0)
	}
	return err
}

// Resume goes on with the servers that another process of init has left, which has crashed.
func (s *Servers) Resume() {
	for key, v := range s.all() {
		go func() {
			if err := s.Services.Add(context.Background(), s.spec(key, v)); err != nil {
				s.Log.Error("disk image", "target", printable.Line(v.Target), "err", err)
			}
		}()
	}
}

// Reopen has the processes of all images below dir open them anew: another file system is mounted there. Guests wait
// meanwhile.
func (s *Servers) Reopen(dir string) {
	for _, v := range s.all() {
		if strings.HasPrefix(v.Target, dir+"/") {
			go func() {
				err := s.Services.Order(context.Background(), "restart", v.Service)
				if err != nil { // the guest may have ended
					s.Log.Debug("disk image", "target", printable.Line(v.Target), "err", err)
				}
			}()
		}
	}
}

// all are the servers that are wanted, by key.
func (s *Servers) all() map[string]server {
	found := map[string]server{}
	files, _ := filepath.Glob(s.file("*", serverFile))
	for _, name := range files {
		key := strings.TrimSuffix(filepath.Base(name), serverFile)
		v, err := s.read(key)
		if err != nil {
			s.Log.Error("disk image", "file", name, "err", err)
			continue
		}
		found[key] = v
	}
	return found
}

func (s *Servers) read(key string) (v server, err error) {
	text, err := os.ReadFile(s.file(key, serverFile))
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	return v, err
}

// Stop ends a server and takes its device away. That there is none of that key is no error.
func (s *Servers) Stop(key string) error {
	v, err := s.read(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	s.Services.Remove(v.Service)
	s.Gone(v.Service)
	number, _, err := readDevice(s.file(key, deviceFile))
	switch {
	case err == nil:
		err = s.delete(number)
	case errors.Is(err, fs.ErrNotExist): // it has never made one
		err = nil
	}
	for _, kind := range []string{deviceFile, outputFile, serverFile} {
		if removed := os.Remove(s.file(key, kind)); !errors.Is(removed, fs.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}
	return err
}
