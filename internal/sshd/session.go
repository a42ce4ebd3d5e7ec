package sshd

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/oom"
)

// session is a session channel: one shell, command or subsystem (RFC 4254, 6). Its goroutine in run owns it.
type session struct {
	server  *Server
	channel ssh.Channel
	env     []string
	tty     *terminal // nil: none was asked for
	cmd     *exec.Cmd // nil: nothing was started
	started bool
	begin   func() // what the session does once the client knows that it was started
	method  string // by which the client has logged in
}

// session serves a session until the client closes it.
func (s *Server) session(_ context.Context, conn *ssh.ServerConn, c ssh.NewChannel) {
	channel, requests, err := c.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	ends := endpoints(conn)
	session := &session{server: s, channel: channel, method: conn.Permissions.Extensions[methodKey], env: []string{
		"HOME=" + s.Home, "USER=" + User, "LOGNAME=" + User, "SHELL=" + s.Shell,
		"SSH_CONNECTION=" + ends, "SSH_CLIENT=" + clientOf(ends),
	}}
	defer session.hangUp()
	for r := range requests {
		handle := handlers[r.Type]
		err := errors.ErrUnsupported // forwarding of agents and X11 among it
		if handle != nil {
			err = handle(session, r.Payload)
		}
		if r.WantReply {
			_ = r.Reply(err == nil, nil)
		}
		if err != nil && err != errors.ErrUnsupported {
			_, _ = io.WriteString(channel.Stderr(), "zerodisc: "+err.Error()+"\r\n")
		}
		if session.begin != nil {
			go session.begin()
			session.begin = nil
		}
	}
}

// clientOf makes SSH_CLIENT, "ADDRESS PORT SERVERPORT", of SSH_CONNECTION.
func clientOf(ends string) string {
	f := strings.Fields(ends)
	return f[0] + " " + f[1] + " " + f[3]
}

// handlers of a session's requests.
var handlers = map[string]func(*session, []byte) error{
	"pty-req":       (*session).wantTerminal,
	"window-change": (*session).resize,
	"env":           (*session).setVariable,
	"signal":        (*session).signal,
	"shell":         (*session).shell,
	"exec":          (*session).exec,
	"subsystem":     (*session).subsystem,
}

func (s *session) wantTerminal(payload []byte) error {
	if s.tty != nil || s.started {
		return errors.ErrUnsupported
	}
	t, err := newTerminal(payload)
	if err != nil {
		return err
	}
	s.tty = t
	return nil
}

func (s *session) resize(payload []byte) error {
	var to size
	if err := ssh.Unmarshal(payload, &to); err != nil || s.tty == nil {
		return errors.ErrUnsupported
	}
	return s.tty.resize(to)
}

// Bounds of the variables that a client sets.
const (
	maxVariables = 32
	maxVariable  = 1024 // bytes
)

// setVariable takes what says how a person wants to be spoken to. Others could change what programs do.
func (s *session) setVariable(payload []byte) error {
	var v struct{ Name, Value string }
	if err := ssh.Unmarshal(payload, &v); err != nil {
		return errors.ErrUnsupported
	}
	wanted := v.Name == "LANG" || v.Name == "TZ" || v.Name == "COLORTERM" || v.Name == "NO_COLOR" ||
		strings.HasPrefix(v.Name, "LC_")
	if !wanted || len(s.env) >= maxVariables || !plain(v.Name, maxVariable) || !plain(v.Value, maxVariable) ||
		strings.Contains(v.Name, "=") {
		return errors.ErrUnsupported
	}
	s.env = append(s.env, v.Name+"="+v.Value)
	return nil
}

// signals are those of RFC 4254, 6.10, by their names there.
var signals = map[string]syscall.Signal{
	"ABRT": unix.SIGABRT, "ALRM": unix.SIGALRM, "FPE": unix.SIGFPE, "HUP": unix.SIGHUP, "ILL": unix.SIGILL,
	"INT": unix.SIGINT, "KILL": unix.SIGKILL, "PIPE": unix.SIGPIPE, "QUIT": unix.SIGQUIT, "SEGV": unix.SIGSEGV,
	"TERM": unix.SIGTERM, "USR1": unix.SIGUSR1, "USR2": unix.SIGUSR2,
}

// signal sends one to the processes of the session.
func (s *session) signal(payload []byte) error {
	var name struct{ Name string }
	if err := ssh.Unmarshal(payload, &name); err != nil || s.cmd == nil {
		return errors.ErrUnsupported
	}
	number, known := signals[name.Name]
	if !known {
		return errors.ErrUnsupported
	}
	return unix.Kill(-s.cmd.Process.Pid, number)
}

func (s *session) shell([]byte) error {
	if s.tty != nil && !s.started {
		text := s.server.Greeting()
		if s.method == OneTime {
			text += "The one-time password is used up. ssh-copy-id adds your key; ssh-password makes another one.\n\n"
		}
		_, _ = io.WriteString(s.channel, strings.ReplaceAll(text, "\n", "\r\n"))
	}
	return s.start()
}

func (s *session) exec(payload []byte) error {
	var command struct{ Text string }
	if err := ssh.Unmarshal(payload, &command); err != nil {
		return err
	}
	return s.start("-c", command.Text)
}

func (s *session) subsystem(payload []byte) error {
	var name struct{ Name string }
	if err := ssh.Unmarshal(payload, &name); err != nil || name.Name != "sftp" || s.started {
		return errors.ErrUnsupported
	}
	s.started, s.begin = true, s.serveFiles
	return nil
}

// start starts the shell with these arguments.
func (s *session) start(args ...string) error {
	if s.started {
		return errors.ErrUnsupported
	}
	s.started = true
	cmd := exec.Command(s.server.Shell, args...)
	cmd.Dir = s.server.Home
	cmd.Env = append(os.Environ(), s.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	run := s.onPipes
	if s.tty != nil {
		run = s.onTerminal
	}
	wait, err := run(cmd)
	if err != nil {
		return err
	}
	s.cmd, s.begin = cmd, func() { s.end(wait) }
	return nil
}

// onTerminal starts the command on the session's terminal. wait waits until it has ended and all that it said is sent.
func (s *session) onTerminal(cmd *exec.Cmd) (wait func() error, err error) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.tty.slave, s.tty.slave, s.tty.slave
	cmd.SysProcAttr.Setctty = true
	cmd.Env = append(cmd.Env, "TERM="+s.tty.kind, "SSH_TTY="+s.tty.name)
	if err := oom.Start(cmd); err != nil {
		return nil, err
	}
	_ = s.tty.slave.Close() // reading the master ends with the last one who has it
	said := make(chan struct{})
	go func() {
		defer close(said)
		_, _ = io.Copy(s.channel, s.tty.master)
	}()
	go func() { _, _ = io.Copy(s.tty.master, s.channel) }()
	return func() error {
		err := cmd.Wait()
		<-said // the kernel hangs up for all when the session's leader ends
		return err
	}, nil
}

// onPipes starts the command without a terminal. A program that it leaves behind with its output keeps the session.
func (s *session) onPipes(cmd *exec.Cmd) (wait func() error, err error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = s.channel, s.channel.Stderr()
	if err := oom.Start(cmd); err != nil {
		return nil, err
	}
	go func() {
		_, _ = io.Copy(stdin, s.channel)
		_ = stdin.Close()
	}()
	return cmd.Wait, nil
}

// end tells the client how the command has ended (RFC 4254, 6.10).
func (s *session) end(wait func() error) {
	defer s.channel.Close()
	err := wait()
	_ = s.channel.CloseWrite()
	kind, text := exitMessage(s.cmd.ProcessState, err)
	_, _ = s.channel.SendRequest(kind, false, text)
}

// exitMessage is the request that tells how a process has ended.
func exitMessage(state *os.ProcessState, err error) (kind string, payload []byte) {
	status := struct{ Status uint32 }{255}
	if state == nil {
		return "exit-status", ssh.Marshal(status)
	}
	if wait, ok := state.Sys().(syscall.WaitStatus); ok && wait.Signaled() {
		for name, number := range signals {
			if number == wait.Signal() {
				return "exit-signal", ssh.Marshal(struct {
					Name       string
					CoreDumped bool
					Text, Lang string
				}{Name: name, Text: err.Error()})
			}
		}
		status.Status = 128 + uint32(wait.Signal())
		return "exit-status", ssh.Marshal(status)
	}
	status.Status = uint32(state.ExitCode())
	return "exit-status", ssh.Marshal(status)
}

// hangUp ends what the session has when the client is gone. A command without a terminal sees the end of its input, and
// that nobody takes its output.
func (s *session) hangUp() {
	if s.tty != nil {
		s.tty.close()
	}
}
