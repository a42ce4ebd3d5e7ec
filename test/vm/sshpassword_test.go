//go:build vm && full

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// checkPasswordLogin logs in with the password that was given, brings files and reaches a guest, and then guesses.
func (m *VM) checkPasswordLogin(guest string) {
	c := m.newSSHClient()
	said := m.Wait(`msg=`+boot.MsgSSH+` state=listening`, soon)
	if methods := said.Get("methods"); methods != "password" {
		m.Errorf("one may log in by %q", methods)
	}
	c.guess()
	m.Wait(`msg="`+boot.MsgSSHRefused+`" from=10.0.2.2 passwords=1`, soon)
	if out, err := c.run(c.password(rootPassword), "ssh-copy-id", sshRoot); err != nil {
		m.Errorf("with the password: %v, %s", err, out)
		return
	}
	m.Wait(`msg="`+boot.MsgSSHLogin+`" method=password from=10.0.2.2`, soon)
	c.says("xl list", guests[0])
	c.checkSFTP()
	c.checkForwardedPage(guest)
	c.checkGuessing()
}

// guess tries a wrong password, and returns what the client says of it.
func (c *sshClient) guess() string {
	c.t.Helper()
	out, err := c.run(c.password("a guess"), "ssh", "-v", "-o", "PubkeyAuthentication=no", sshRoot, "true")
	if err == nil || !strings.Contains(out, "Permission denied") {
		c.Errorf("with a wrong password: %v, %s", err, out)
	}
	return out
}

// checkGuessing tries wrong passwords until they are not even looked at. Nor is the right one then, but the key is.
func (c *sshClient) checkGuessing() {
	const shut = "Too many wrong passwords"
	now := c.FromNow()
	now.Until("passwords are not looked at", bootLimit, func() bool { return strings.Contains(c.guess(), shut) })
	now.Wait(`msg="`+boot.MsgSSHRefused+`" from=10.0.2.2 passwords=3`, soon)
	out, err := c.run(c.password(rootPassword), "ssh", "-v", "-o", "PubkeyAuthentication=no", sshRoot, "true")
	if err == nil || !strings.Contains(out, shut) {
		c.Errorf("the password after too many wrong ones: %v, %s", err, out)
	}
	c.says("xl list", guests[0])
}

// checkSFTP puts a file and gets it back by OpenSSH's sftp.
func (c *sshClient) checkSFTP() {
	text := strings.Repeat("zerodisc ", 100_000)
	file, back := filepath.Join(c.dir, "put"), filepath.Join(c.dir, "got")
	write(c.t, file, text)
	batch := "put " + file + " copy\nget copy " + back + "\nrename copy other\nls -l other\nrm other\n"
	out, err := c.feed(batch, "", "sftp", "-b", "-", sshRoot)
	if err != nil || !strings.Contains(out, "900000") {
		c.Errorf("sftp: %v, %s", err, out)
	}
	if got, err := os.ReadFile(back); err != nil || string(got) != text {
		c.Errorf("sftp: %d bytes came back, %v", len(got), err)
	}
}

// changing are the rows of a guest's page that are other ones each time.
var changing = regexp.MustCompile(`<td>(up for|memory)<td>.*`)

// checkForwardedPage gets a guest's page through dom0, in both ways that ssh has, and compares it with what the guest
// sends without dom0.
func (c *sshClient) checkForwardedPage(guest string) {
	want := changing.ReplaceAllString(c.Fetch(guest, soon), "")
	out, err := c.feed("GET / HTTP/1.0\r\n\r\n", "", "ssh", "-W", guests[0]+":80", sshRoot)
	if _, page, _ := strings.Cut(out, "\n\n"); err != nil || changing.ReplaceAllString(page, "") != want {
		c.Errorf("ssh -W: %v\n%s\nwant\n%s", err, out, want)
	}
	ctx, cancel := c.Within(shellLimit)
	defer cancel()
	port, err := qemu.FreePort(0)
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := c.example(ctx, "ssh guest", "", "8080:tty1", fmt.Sprintf("%d:%s", port, guests[0]))
	if _, err := cmd.StdinPipe(); err != nil { // a terminal at which nobody types
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	page, err := fetch(ctx, fmt.Sprintf("http://localhost:%d/", port))
	if err != nil || changing.ReplaceAllString(page, "") != want {
		c.Errorf("ssh -L: %v\n%s\nwant\n%s", err, page, want)
	}
}
