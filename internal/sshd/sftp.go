package sshd

import (
	"errors"
	"io"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// serveFiles serves the file system by sftp, in this process: a child would cost 8 MB a session. Root sees all of it,
// as in a shell; relative names are in root's home, a file system of limited size.
func (s *session) serveFiles() {
	defer s.channel.Close()
	status := struct{ Status uint32 }{0}
	server, err := sftp.NewServer(s.channel, sftp.WithServerWorkingDirectory(s.server.Home))
	if err == nil {
		err = server.Serve()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		status.Status = 1
	}
	_, _ = s.channel.SendRequest("exit-status", false, ssh.Marshal(status))
}
