package imageserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/confine"
	"github.com/zerodisc/zerodisc/internal/guestdisk"
	"github.com/zerodisc/zerodisc/internal/oom"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// Servers starts processes and keeps them going. Its methods may be called from any goroutine.
type Servers struct {
	program string
	dir     string // has a file for each process, KEY.pid
	log     *slog.Logger

	mu      sync.Mutex
	servers map[string]*server
}

// server is one image that is served.
type server struct {
	target, format string
	number         string // of the device
	process        *os.Process
	stopping       bool
	reopening      bool // its process is ended to open the image anew
	ended          chan struct{}
}

// New returns Servers whose processes run program, which knows Role. Their numbers are kept in dir.
func New(program, dir string, log *slog.Logger) *Servers {
	return &Servers{program: program, dir: dir, log: log, servers: map[string]*server{}}
}

// Open opens an image to look at what it is made of.
func (s *Servers) Open(target, format string) (guestdisk.Image, error) { return Open(target, format) }

// startLimit is how long a process may take until its device can be used: it reads the image's tables.
const startLimit = 30 * time.Second

// Serve starts a process that serves an image and returns its device. key names it for Stop.
func (s *Servers) Serve(ctx context.Context, key, target, format string) (device string, err error) {
	v := &server{target: target, format: format, ended: make(chan struct{})}
	wait, err := s.start(ctx, key, v)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	s.servers[key] = v
	s.mu.Unlock()
	go s.keep(key, v, wait)
	return "/dev/ublkb" + v.number, nil
}

// limits are what a process may do until its device can be used: make the device, and read its image on a file system
// where files may be anybody's. Then it seals itself.
var limits = confine.Limits{Capabilities: []int{unix.CAP_SYS_ADMIN, unix.CAP_DAC_READ_SEARCH}}

// start starts a process and returns when its device can be used.
func (s *Servers) start(ctx context.Context, key string, v *server) (wait func() error, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	args := []string{Role, v.target, v.format}
	if v.number != "" {
		args = append(args, v.number)
	}
	cmd := exec.Command(s.program, args...)
	// It goes on when this process crashes, and nobody's Ctrl-C reaches it.
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	var problem strings.Builder
	cmd.Stderr = &problem
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := limits.Start(cmd); err != nil {
		return nil, err
	}
	_ = oom.Set(cmd.Process.Pid, oom.Last) // a guest's disk hangs without it
	number, err := readNumber(ctx, out)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("serve the image: %w", errors.Join(err, said(problem.String())))
	}
	s.mu.Lock()
	v.number, v.process = number, cmd.Process
	s.mu.Unlock()
	pid := strconv.Itoa(cmd.Process.Pid)
	return cmd.Wait, os.WriteFile(s.pidFile(key), []byte(pid), 0o644)
}

func (s *Servers) pidFile(key string) string { return filepath.Join(s.dir, key+".pid") }

// readNumber reads the device's number from the process, until ctx ends.
func readNumber(ctx context.Context, out io.ReadCloser) (string, error) {
	stop := context.AfterFunc(ctx, func() { out.Close() })
	defer stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", errors.Join(errors.New("its program has ended, or does not get ready"), ctx.Err())
	}
	number, err := strconv.ParseUint(strings.TrimSpace(line), 10, 31)
	if err != nil {
		return "", err
	}
	return strconv.FormatUint(number, 10), nil
}

func said(text string) error {
	if text = printable.Line(strings.TrimSpace(text)); text == "" {
		return nil
	}
	return errors.New(text)
}

// keep starts the process again whenever it dies, until Stop.
func (s *Servers) keep(key string, v *server, wait func() error) {
	defer close(v.ended)
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		began := time.Now()
		err := wait()
		if s.isStopping(v) {
			return
		}
		if s.reopens(v) {
			if wait, err = s.start(context.Background(), key, v); err == nil {
				continue
			}
		}
		s.log.Warn("disk image", "target", printable.Line(v.target),
			"err", fmt.Sprintf("its server has ended: %v", err), "remedy", "it is started again")
		if time.Since(began) > time.Minute {
			pause = time.Second
		}
		for {
			time.Sleep(pause)
			if s.isStopping(v) {
				return
			}
			if wait, err = s.start(context.Background(), key, v); err == nil {
				break
			}
			s.log.Error("disk image", "target", printable.Line(v.target), "err", err)
			pause = min(2*pause, time.Minute)
		}
	}
}

func (s *Servers) isStopping(v *server) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return v.stopping
}

// reopens says, once, that a process was ended to open its image anew.
func (s *Servers) reopens(v *server) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	reopening := v.reopening
	v.reopening = false
	return reopening
}

// Reopen has the processes of all images below dir open them anew: another file system is mounted there.
func (s *Servers) Reopen(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.servers {
		if strings.HasPrefix(v.target, dir+"/") && !v.stopping {
			v.reopening = true
			_ = v.process.Kill() // one that has just died is started again anyway
		}
	}
}

// Stop ends a process and takes its device away. One that an earlier program has started is ended too.
func (s *Servers) Stop(key string) error {
	defer os.Remove(s.pidFile(key))
	s.mu.Lock()
	v := s.servers[key]
	delete(s.servers, key)
	var process *os.Process
	if v != nil {
		v.stopping, process = true, v.process
	}
	s.mu.Unlock()
	if v == nil {
		return s.stopOther(key)
	}
	err := process.Signal(unix.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	return err
}

// stopOther ends a process by its number in its file.
func (s *Servers) stopOther(key string) error {
	text, err := os.ReadFile(s.pidFile(key))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	return unix.Kill(pid, unix.SIGTERM)
}
