package iscsi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Module is the kernel's initiator.
const Module = "iscsi_tcp"

// Linux is the Kernel of this machine.
type Linux struct {
	file      *os.File // the netlink socket
	raw       syscall.RawConn
	transport uint64 // the kernel's handle of TCP's transport

	asking  sync.Mutex // one request at a time
	answers chan event

	mu       sync.Mutex // guards what follows
	sessions map[uint32]*linuxSession
}

// iscsiGroup is the multicast group of what the kernel says by itself (ISCSI_NL_GRP_ISCSID).
const iscsiGroup = 1

// bufferBytes is room for what the kernel says while nobody reads: a limit, not an allocation.
const bufferBytes = 1 << 20

// OpenLinux opens the kernel's interface. Module must be loaded.
func OpenLinux() (*Linux, error) {
	text, err := os.ReadFile("/sys/class/iscsi_transport/tcp/handle")
	if err != nil {
		return nil, fmt.Errorf("the kernel's initiator (module %s): %w", Module, err)
	}
	transport, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("the kernel's initiator: %w", err)
	}
	const kind = unix.SOCK_RAW | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	fd, err := unix.Socket(unix.AF_NETLINK, kind, unix.NETLINK_ISCSI)
	if err != nil {
		return nil, fmt.Errorf("the kernel's initiator: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bufferBytes)
	address := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (iscsiGroup - 1)}
	if err := unix.Bind(fd, address); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("the kernel's initiator: bind: %w", err)
	}
	file := os.NewFile(uintptr(fd), "iscsi")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	l := &Linux{
		file: file, raw: raw, transport: transport, answers: make(chan event, 1), sessions: map[uint32]*linuxSession{},
	}
	go l.receive()
	return l, nil
}

// receive hands out what the kernel says.
func (l *Linux) receive() {
	buffer := make([]byte, unix.NLMSG_HDRLEN+eventSize+headerSize+maxText)
	for {
		n, kernel, err := l.read(buffer)
		switch {
		case errors.Is(err, unix.ENOBUFS): // whose news were lost is not known
			l.failAll(errors.New("the kernel's messages were lost"))
		case err != nil:
			return
		case kernel:
			l.deliver(buffer[:n])
		}
	}
}

// read reads a message and says whether it is the kernel's.
func (l *Linux) read(buffer []byte) (n int, kernel bool, err error) {
	var from unix.Sockaddr
	var failed error
	err = l.raw.Read(func(fd uintptr) bool {
		n, from, failed = unix.Recvfrom(int(fd), buffer, 0)
		return failed != unix.EAGAIN && failed != unix.EINTR
	})
	if err == nil {
		err = failed
	}
	address, ok := from.(*unix.SockaddrNetlink)
	return n, ok && address.Pid == 0, err
}

// deliver hands out the events of a message.
func (l *Linux) deliver(message []byte) {
	for len(message) > 0 {
		e, rest, err := parseEvent(message)
		if err != nil {
			return
		}
		message = rest
		switch e.kind {
		case recvPDU:
			if s := l.session(e.first); s != nil {
				s.receivedPDU(append([]byte(nil), e.data...))
			}
		case connError:
			if s := l.session(e.first); s != nil {
				s.fail(connFailure(e.third))
			}
		default:
			e.data = nil
			select {
			case l.answers <- e:
			default: // to a request that nobody waits for any more
			}
		}
	}
}

func (l *Linux) session(id uint32) *linuxSession {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sessions[id]
}

func (l *Linux) failAll(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sessions {
		s.fail(err)
	}
}

// answerLimit is how long the kernel has for a request.
const answerLimit = 30 * time.Second

// ask sends a request and returns the answer.
func (l *Linux) ask(r request) (event, error) {
	l.asking.Lock()
	defer l.asking.Unlock()
	select {
	case <-l.answers: // to a request that was given up
	default:
	}
	var failed error
	err := l.raw.Write(func(fd uintptr) bool {
		failed = unix.Sendto(int(fd), r.encode(l.transport), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return failed != unix.EAGAIN && failed != unix.EINTR
	})
	if err = errors.Join(err, failed); err != nil {
		return event{}, fmt.Errorf("the kernel's initiator: %w", err)
	}
	select {
	case e := <-l.answers:
		return e, e.err
	case <-time.After(answerLimit):
		return event{}, errors.New("the kernel's initiator does not answer")
	}
}

// do sends a request whose answer is an error's number.
func (l *Linux) do(r request) error {
	e, err := l.ask(r)
	if code := int32(e.first); err == nil && code != 0 {
		return fmt.Errorf("the kernel's initiator: %w", unix.Errno(-code))
	}
	return err
}

// How many commands a session takes at a time, and each of its disks.
const (
	maxCommands uint16 = 128
	queueDepth  uint16 = 32
	firstCmdSN  uint32 = 1
)

// Open makes a session and its connection, number 0.
func (l *Linux) Open() (Session, error) {
	e, err := l.ask(request{kind: createSession, args: []any{firstCmdSN, maxCommands, queueDepth}})
	if err != nil {
		return nil, err
	}
	s := l.add(e.first, e.second)
	if _, err := l.ask(request{kind: createConn, args: []any{s.id, uint32(0)}}); err != nil {
		return nil, err
	}
	return s, nil
}

// add has what the kernel says of a session delivered.
func (l *Linux) add(id, host uint32) *linuxSession {
	s := &linuxSession{
		kernel: l, id: id, host: host, received: make(chan []byte, maxWaiting), failed: make(chan error, 1),
	}
	l.mu.Lock()
	l.sessions[s.id] = s
	l.mu.Unlock()
	return s
}

// Adopt finds the session by the names in sysfs.
func (l *Linux) Adopt(t Target) Session {
	names, err := filepath.Glob("/sys/class/iscsi_session/session*/targetname")
	if err != nil {
		return nil
	}
	for _, file := range names {
		dir := filepath.Dir(file)
		name, _ := os.ReadFile(file)
		device, _ := filepath.EvalSymlinks(filepath.Join(dir, "device")) // .../host2/session1
		var id, host uint32
		_, err := fmt.Sscanf(filepath.Base(dir), "session%d", &id)
		_, err2 := fmt.Sscanf(filepath.Base(filepath.Dir(device)), "host%d", &host)
		if err != nil || err2 != nil || strings.TrimSpace(string(name)) != t.Name {
			continue
		}
		if s := (&linuxSession{id: id, host: host}); exists(s.unit(t.LUN)) {
			return l.add(id, host)
		}
	}
	return nil
}

// linuxSession is a session of the kernel's.
type linuxSession struct {
	kernel   *Linux
	id, host uint32
	received chan []byte
	failed   chan error
}

// maxWaiting is how many PDUs wait for a reader. More come only from a target that sends what it was not asked for.
const maxWaiting = 64

func (s *linuxSession) Received() <-chan []byte { return s.received }
func (s *linuxSession) Failed() <-chan error    { return s.failed }

func (s *linuxSession) receivedPDU(pdu []byte) {
	select {
	case s.received <- pdu:
	default:
		s.fail(errors.New("the target sends too much"))
	}
}

func (s *linuxSession) fail(err error) {
	select {
	case s.failed <- err:
	default: // it is broken already
	}
}

// Bind gives the kernel the connection.
func (s *linuxSession) Bind(conn *net.TCPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var bound error
	err = raw.Control(func(fd uintptr) {
		bound = s.kernel.do(request{kind: bindConn, args: []any{s.id, uint32(0), uint64(fd), uint32(1)}})
	})
	return errors.Join(err, bound)
}

func (s *linuxSession) Send(pdu []byte) error {
	return s.kernel.do(request{
		kind: sendPDU, data: pdu,
		args: []any{s.id, uint32(0), uint32(headerSize), uint32(len(pdu) - headerSize)},
	})
}

func (s *linuxSession) Set(p Param, value string) error {
	return s.kernel.do(request{
		kind: setParam, data: []byte(value + "\x00"),
		args: []any{s.id, uint32(0), uint32(p), uint32(len(value) + 1)},
	})
}

func (s *linuxSession) Start() error {
	return s.kernel.do(request{kind: startConn, args: []any{s.id, uint32(0)}})
}

func (s *linuxSession) Stop() error {
	return s.kernel.do(request{kind: stopConn, args: []any{s.id, uint32(0), uint64(0), uint32(stopRecover)}})
}

// diskLimit is how long the kernel has to make a disk of a LUN that it has found.
const diskLimit = 15 * time.Second

// flat is a LUN as Linux has it: numbers from 256 on have the flat address of SAM (0x4000).
func flat(lun uint64) uint64 {
	if lun > 255 {
		lun |= 0x4000
	}
	return lun
}

// dir is the session's host in sysfs, and unit a LUN of its target.
func (s *linuxSession) dir() string { return fmt.Sprintf("/sys/class/scsi_host/host%d", s.host) }

func (s *linuxSession) unit(lun uint64) string {
	return filepath.Join(s.dir(), "device",
		fmt.Sprintf("session%d/target%d:0:0/%d:0:0:%d", s.id, s.host, s.host, flat(lun)))
}

// Scan looks for the LUN.
func (s *linuxSession) Scan(ctx context.Context, lun uint64) (string, error) {
	if err := os.WriteFile(filepath.Join(s.dir(), "scan"), fmt.Appendf(nil, "0 0 %d", flat(lun)), 0); err != nil {
		return "", fmt.Errorf("look for LUN %d: %w", lun, err)
	}
	unit := s.unit(lun)
	for began := time.Now(); ; {
		disks, err := filepath.Glob(filepath.Join(unit, "block/*"))
		switch {
		case err != nil:
			return "", err
		case len(disks) > 0:
			return "/dev/" + filepath.Base(disks[0]), nil
		case time.Since(began) < diskLimit:
		case exists(unit):
			return "", fmt.Errorf("LUN %d is no disk", lun)
		default:
			return "", fmt.Errorf("the target has no LUN %d", lun)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// SetReadOnly makes the kernel refuse to write to a disk, whoever asks. It also has no cache to be flushed then: a
// guest's sync, which reaches the disks under its own, must not wait for the target.
func SetReadOnly(disk string) error {
	f, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.BLKROSET, 1); err != nil {
		return fmt.Errorf("make %s read-only: %w", disk, err)
	}
	cache := filepath.Join("/sys/block", filepath.Base(disk), "queue/write_cache")
	if err := os.WriteFile(cache, []byte("write through"), 0); err != nil {
		return fmt.Errorf("make %s read-only: %w", disk, err)
	}
	return nil
}
