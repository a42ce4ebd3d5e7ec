//go:build vm && full

package vm

import (
	"errors"
	"os/exec"
	"time"
)

// checkGuestBySSH goes to a guest's console by SSH, and back. The exit status of guest comes along.
func (m *VM) checkGuestBySSH() {
	c := m.newSSHClient()
	c.letIn()
	s := c.open("guest console " + guests[1])
	c.Until("the guest's shell says its name", soon, func() bool {
		s.enter("hostname\r")
		return s.shows("\n" + guests[1] + "\r")
	})
	s.enter("\x1d")
	if err := s.end(); err != nil {
		m.Errorf("Ctrl-] in guest console by SSH: %v", err)
	}
	if _, err := c.run("", "ssh", sshRoot, "guest show nobody"); exitStatus(err) != 3 {
		m.Errorf("guest show nobody by SSH: %v", err)
	}
	m.agree("after a console by SSH", map[string]string{guests[0]: "running", guests[1]: "running"})
}

// end waits until a session ends by itself.
func (s *sshSession) end() error {
	s.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- s.cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(shellLimit):
		return errors.New("it goes on")
	}
}

// exitStatus is that of a program that has failed, 0 where it has not.
func exitStatus(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}
