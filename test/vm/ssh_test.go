//go:build vm

package vm

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/docs"
	"github.com/zerodisc/zerodisc/internal/client"
)

// sshClient is OpenSSH's client as a person has it who knows nothing of the host but what its console says.
type sshClient struct {
	*VM
	dir  string
	port string
}

// newSSHClient reaches dom0's SSH server from outside. It has a key of its own.
func (m *VM) newSSHClient() *sshClient {
	m.t.Helper()
	return m.sshClientWith(newSSHKey(m.t), 22)
}

// sshKey is the name of the key in a directory of newSSHKey's.
const sshKey = "id"

// newSSHKey makes a home directory for OpenSSH's programs, with a key in it.
func newSSHKey(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".ssh"), 0o700); err != nil { // ssh-copy-id wants one
		t.Fatal(err)
	}
	tool(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, sshKey))
	return dir
}

// sshClientWith is newSSHClient with a key that is there, for a server at another port.
func (m *VM) sshClientWith(dir string, server int) *sshClient {
	m.t.Helper()
	ctx, cancel := m.Within(soon)
	defer cancel()
	at, err := m.Forward(ctx, m.nic, m.dom0Address(), server)
	if err != nil {
		m.fail("forward a port", err)
	}
	_, port, err := net.SplitHostPort(at)
	if err != nil {
		m.fail("forward a port", err)
	}
	return &sshClient{VM: m, dir: dir, port: port}
}

// letIn has dom0 take the client's key, as a person at its console would.
func (c *sshClient) letIn() {
	c.t.Helper()
	key, err := os.ReadFile(filepath.Join(c.dir, sshKey+".pub"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.Shell("mkdir -p /root/.ssh; echo '" + strings.TrimSpace(string(key)) + "' >> /root/.ssh/authorized_keys")
}

// dom0Address is what dom0's console says.
func (m *VM) dom0Address() string {
	m.t.Helper()
	said := m.FromStart().Wait(fmt.Sprintf(`msg="%s" nic=eth%d`, boot.MsgHostAddress, m.nic), addressLimit)
	address, _, _ := strings.Cut(said.Get("address"), "/")
	return address
}

// run runs one of OpenSSH's programs; askpass is a program that says a password, "" for none. What it is asked
// about the host key it takes for granted.
func (c *sshClient) run(askpass, program string, args ...string) (string, error) {
	return c.feed("", askpass, program, args...)
}

// feed is run with something to read for the program.
func (c *sshClient) feed(input, askpass, program string, args ...string) (string, error) {
	c.t.Helper()
	ctx, cancel := c.Within(shellLimit)
	defer cancel()
	cmd := c.command(ctx, askpass, program, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return strings.ReplaceAll(string(out), "\r", ""), err
}

func (c *sshClient) command(ctx context.Context, askpass, program string, args ...string) *exec.Cmd {
	port := "-p"
	if program == "scp" || program == "sftp" {
		port = "-P"
	}
	all := []string{"-F", "none", port, c.port, "-o", "IdentitiesOnly=yes", "-i", filepath.Join(c.dir, sshKey),
		"-o", "StrictHostKeyChecking=accept-new", "-o", "UserKnownHostsFile=" + filepath.Join(c.dir, "known_hosts"),
		"-o", "LogLevel=ERROR", "-o", "NumberOfPasswordPrompts=1"}
	if askpass == "" {
		all = append(all, "-o", "BatchMode=yes")
	}
	cmd := exec.CommandContext(ctx, program, append(all, args...)...)
	cmd.Env = append(os.Environ(), "SSH_ASKPASS="+askpass, "SSH_ASKPASS_REQUIRE=force", "HOME="+c.dir)
	return cmd
}

// says checks what a command in dom0 says.
func (c *sshClient) says(command, want string) {
	c.t.Helper()
	out, err := c.run("", "ssh", sshRoot, command)
	if err != nil || !strings.Contains(out, want) {
		c.Errorf("ssh %q: %v; it says %q, want %q", command, err, out, want)
	}
}

const sshRoot = "root@127.0.0.1"

// hosts are what docs has in place of a host's address.
var hosts = regexp.MustCompile(`root@(host|HOST|192\.168\.1\.20)`)

// example is a command in docs, by its name there, which reaches dom0 and works in the client's directory. Pairs are
// texts to replace, and by what.
func (c *sshClient) example(ctx context.Context, name, askpass string, pairs ...string) *exec.Cmd {
	c.t.Helper()
	text := hosts.ReplaceAllString(docs.Of(c.t, name)[0].Text, sshRoot)
	words := strings.Fields(strings.NewReplacer(pairs...).Replace(text))
	cmd := c.command(ctx, askpass, words[0], words[1:]...)
	cmd.Dir = c.dir
	return cmd
}

// typed runs an example. A shell that it opens is told to echo.
func (c *sshClient) typed(name, askpass string, pairs ...string) (string, error) {
	c.t.Helper()
	ctx, cancel := c.Within(shellLimit)
	defer cancel()
	cmd := c.example(ctx, name, askpass, pairs...)
	cmd.Stdin = strings.NewReader("echo in a session\n")
	out, err := cmd.CombinedOutput()
	return strings.ReplaceAll(string(out), "\r", ""), err
}

// succeeds checks what an example says.
func (c *sshClient) succeeds(name, want string, pairs ...string) {
	c.t.Helper()
	if out, err := c.typed(name, "", pairs...); err != nil || !strings.Contains(out, want) {
		c.Errorf("%s: %v; it says %.200q, want %q", docs.Of(c.t, name)[0].Text, err, out, want)
	}
}

// checkHostKey compares the key that the server shows to the network with the fingerprint that the console shows.
func (c *sshClient) checkHostKey() {
	c.t.Helper()
	scanned := filepath.Join(c.dir, "scanned")
	write(c.t, scanned, tool(c.t, "ssh-keyscan", "-T", "60", "-p", c.port, "-t", "ed25519", "127.0.0.1"))
	got := tool(c.t, "ssh-keygen", "-l", "-f", scanned)
	shown := c.FromStart().Wait(`msg=`+boot.MsgSSH+` state=listening`, soon).Get("fingerprint")
	if !strings.HasPrefix(shown, "SHA256:") || !strings.Contains(got, " "+shown+" ") {
		c.Errorf("the console shows the host key %q, the server %q", shown, got)
	}
}

// password has the client say a password.
func (c *sshClient) password(text string) (askpass string) {
	askpass = filepath.Join(c.dir, "askpass")
	write(c.t, askpass, "#!/bin/sh\necho "+text+"\n")
	if err := os.Chmod(askpass, 0o700); err != nil {
		c.t.Fatal(err)
	}
	return askpass
}

// checkSSH logs in with the password that the console shows, once, and then with a key.
func (m *VM) checkSSH() {
	c := m.newSSHClient()
	c.checkHostKey()
	if out, err := c.run("", "ssh", sshRoot, "true"); err == nil || !strings.Contains(out, "Permission denied") {
		m.Errorf("without a credential: %v, %s", err, out)
	}
	shown := m.Wait(`msg="`+boot.MsgSSHPassword+`"`, soon).Get("password")
	if out, err := c.typed("ssh-copy-id", c.password(shown)); err != nil {
		m.Errorf("with the password: %v, %s", err, out)
		return
	}
	m.Wait(`msg="`+boot.MsgSSHLogin+`" method="one-time password"`, soon)
	out, err := c.run(c.password(shown), "ssh", "-o", "PubkeyAuthentication=no", sshRoot, "true")
	if err == nil {
		m.Errorf("with the password once more: %s", out)
	}
	logs := "cat /run/zerodisc/logs/* /run/zerodisc/state.json; dmesg"
	if found := m.Shell("(" + logs + ") | grep " + shown); found != "" {
		m.Errorf("the password is in a log: %s", found)
	}
	c.succeeds("ssh command", guests[0])
	c.succeeds("ssh", "in a session")
	c.says("status", "ssh root@")
	c.checkFiles()
	c.checkForwarding()
	c.checkAPISocket()
	c.checkConsole()
}

// checkFiles copies a file to the host and back, by both protocols of scp.
func (c *sshClient) checkFiles() {
	text := strings.Repeat("zerodisc ", 100_000)
	file, back := filepath.Join(c.dir, "file"), filepath.Join(c.dir, "back")
	write(c.t, file, text)
	for _, program := range []string{"scp -s", docs.Of(c.t, "scp old")[0].Text} {
		program, protocol, _ := strings.Cut(program, " ")
		for _, way := range [][2]string{{file, sshRoot + ":copy"}, {sshRoot + ":copy", back}} {
			if out, err := c.run("", program, protocol, way[0], way[1]); err != nil {
				c.Errorf("scp %s %s %s: %v, %s", protocol, way[0], way[1], err, out)
			}
		}
		if got, err := os.ReadFile(back); err != nil || string(got) != text {
			c.Errorf("scp %s: %d bytes came back, %v", protocol, len(got), err)
		}
		_ = os.Remove(back)
	}
	c.says("ls -l /root/copy; rm /root/copy", "900000")
	c.succeeds("ssh report", "\x1f\x8b", " > report.tgz", "")
	c.checkBroughtGuest()
}

// checkBroughtGuest brings a guest along, a directory with its configuration, and starts it.
func (c *sshClient) checkBroughtGuest() {
	var config strings.Builder
	for line := range strings.Lines(c.Shell("cat "+boot.GuestRunDir+"/"+guests[0]+".cfg") + "\n") {
		switch key, _, _ := strings.Cut(line, "="); strings.TrimSpace(key) {
		case "name":
			config.WriteString("name = 'web'\n")
		case "uuid", "vif":
		default:
			config.WriteString(line)
		}
	}
	dir := filepath.Join(c.dir, "web")
	if err := os.Mkdir(dir, 0o755); err != nil {
		c.t.Fatal(err)
	}
	write(c.t, filepath.Join(dir, "web.cfg"), config.String())
	c.Shell("mkdir -p /state/guests") // as with a state volume
	c.succeeds("scp", "")
	c.succeeds("scp state", "")
	c.says("cat /state/guests/web/web.cfg && rm -r /state/guests", "name = 'web'")
	now := c.FromNow()
	c.succeeds("scp create", "")
	now.Wait(`msg="guest running" guest=web`, soon)
	c.says("guest list", "web")
	c.says("guest destroy web; rm -r web", "")
	now.Wait(`msg="guest stopped" guest=web`, soon)
}

// checkForwarding reaches a guest through dom0, and not dom0's own server.
func (c *sshClient) checkForwarding() {
	c.Until("the guest's address is known", addressLimit, func() bool {
		_, err := c.run("", "ssh", "-W", guests[0]+":80", sshRoot)
		return err == nil
	})
	for _, to := range []string{"127.0.0.1:22", c.dom0Address() + ":22", "10.0.2.2:80"} {
		out, err := c.run("", "ssh", "-W", to, sshRoot)
		if err == nil {
			c.Errorf("-W %s: %s", to, out)
		}
	}
}

// checkAPISocket asks the API from outside, by its socket as ssh brings it.
func (c *sshClient) checkAPISocket() {
	ctx, cancel := c.Within(soon)
	defer cancel()
	near := filepath.Join(c.dir, "api.sock")
	cmd := c.example(ctx, "ssh API", "")
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	c.Until("the API answers", soon, func() bool {
		found, err := client.New(near).Guests(ctx, false)
		return err == nil && len(found) > len(guests) // and the guest that was brought along
	})
	c.checkMetrics(near)
}

// checkMetrics reads what the host counts, by the API's socket: each guest has sent something.
func (c *sshClient) checkMetrics(socket string) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	byHTTP := http.Client{Transport: &http.Transport{DialContext: dial}}
	answer, err := byHTTP.Get("http://host/1.0/metrics")
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	for _, guest := range guests {
		sent := `(?m)^zerodisc_guest_network_transmit_bytes_total\{guest="` + guest + `",vif="[^"]+"\} [1-9]`
		if err != nil || !regexp.MustCompile(sent).Match(page) {
			c.Errorf("metrics: %v, nothing fits %s in\n%s", err, sent, page)
		}
	}
}

// checkConsole opens a guest's console on a terminal, and hangs up: xl goes, the guest stays.
func (c *sshClient) checkConsole() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := c.begin(c.example(ctx, "ssh console", "", "-t ", "-tt ", "NAME", guests[0]))
	c.Until("the guest's shell says its name", soon, func() bool {
		s.enter("hostname\r")
		return s.shows("\n" + guests[0] + "\r")
	})
	s.hangUp()
	c.Until("xl console ends with its session", soon, func() bool {
		return c.Shell("pidof xenconsole") == ""
	})
}

// sshSession is a command that runs in dom0 on a terminal.
type sshSession struct {
	*sshClient
	cmd   *exec.Cmd
	in    io.Writer
	shown string // a file with what the terminal got
}

// open has a command in dom0 begin a session.
func (c *sshClient) open(command string) *sshSession {
	c.t.Helper()
	return c.begin(c.command(context.Background(), "", "ssh", "-tt", sshRoot, command))
}

// begin begins a session.
func (c *sshClient) begin(cmd *exec.Cmd) *sshSession {
	c.t.Helper()
	s := &sshSession{sshClient: c, cmd: cmd, shown: filepath.Join(c.dir, "terminal")}
	out, err := os.Create(s.shown)
	if err != nil {
		c.t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout = out
	if s.in, err = cmd.StdinPipe(); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = cmd.Process.Kill() })
	return s
}

// enter types. A session that has ended takes nothing.
func (s *sshSession) enter(keys string) { _, _ = io.WriteString(s.in, keys) }

// shows says whether text was on the terminal.
func (s *sshSession) shows(text string) bool {
	got, err := os.ReadFile(s.shown)
	return err == nil && strings.Contains(string(got), text)
}

func (s *sshSession) hangUp() { _, _ = s.cmd.Process.Kill(), s.cmd.Wait() }
