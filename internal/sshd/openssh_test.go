package sshd

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/testns"
)

func TestCommands(t *testing.T) {
	r := newRig(t, nil)
	out, errs, status := r.ssh(target, "echo out; echo err >&2; exit 3")
	r.check("stdout", out, "out\n")
	r.check("stderr", errs, "err\n")
	if status != 3 {
		t.Errorf("status %d, want 3", status)
	}
	if _, _, status := r.ssh(target, "kill -TERM $$"); status != 255 { // ssh's own for a signal
		t.Errorf("status after a signal is %d", status)
	}
	cat := r.client("ssh", target, "cat; echo end")
	big := strings.Repeat("0123456789abcdef", 1<<16) // more than all windows and pipes
	cat.Stdin = strings.NewReader(big)
	if out, _, _ := r.run(cat); out != big+"end\n" {
		t.Errorf("%d bytes came back of %d", len(out), len(big)+4)
	}
	out, _, _ = r.ssh("-o", "SendEnv=LANG LD_PRELOAD_X", target,
		`echo "$LANG,$LD_PRELOAD_X,$USER,$SSH_CONNECTION"; pwd`)
	if !strings.HasPrefix(out, "de_DE.UTF-8,,root,127.0.0.1 ") || !strings.HasSuffix(out, "\n"+r.home+"\n") {
		t.Errorf("variables and directory: %q", out)
	}
	login := r.await("somebody has logged in", func(e Event) bool { return e.Kind == LoggedIn })
	byKey := strings.HasPrefix(login.Method, "key SHA256:") && strings.HasSuffix(login.Method, "of id")
	if login.From != "127.0.0.1" || !byKey {
		t.Errorf("told %+v", login)
	}
}

func TestKeys(t *testing.T) {
	r := newRig(t, nil)
	added := r.newKey("added")
	withKey := func(name string) (string, string, int) {
		return r.ssh("-o", "IdentityFile="+filepath.Join(r.keys, name), target, "echo in")
	}
	if _, errs, status := withKey("added"); status != 255 || !strings.Contains(errs, "Permission denied (publickey)") {
		t.Errorf("a wrong key: %q, status %d", errs, status)
	}
	_, errs, status := r.ssh("admin@127.0.0.1", "true")
	if status != 255 || !strings.Contains(errs, "Permission denied") {
		t.Errorf("another user: %q, status %d", errs, status)
	}
	r.must(os.WriteFile(filepath.Join(r.home, "authorized_keys"), []byte("# mine\nrubbish\n"+added+"\n"), 0o600))
	if out, errs, _ := withKey("added"); out != "in\n" {
		t.Errorf("a key that was added: %q", errs)
	}
	other := r.newKey("other")
	r.options.Keys = append(r.options.Keys, strings.Fields(other)[1]) // base64 alone, as on the kernel command line
	r.must(WriteOptions(r.dir, r.options))
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		out, errs, _ := withKey("other")
		if out == "in\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a key of changed options: %q", errs)
		}
	}
}

func TestPassword(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.options.Password = "$5$saltsalt$cKRA0A5uaKu0/NNi2WMrB.mMOAVMowckrDNQ4fKUJ06"
	})
	if out, errs, _ := r.byPassword("root", "geheim"); out != "in\n" {
		t.Errorf("the password: %q", errs)
	}
	for user, password := range map[string]string{"root": "falsch", "admin": "geheim"} {
		_, errs, status := r.byPassword(user, password)
		if status != 255 || !strings.Contains(errs, "Permission denied") {
			t.Errorf("%s with %q: %q, status %d", user, password, errs, status)
		}
	}
	refused := r.await("a password was wrong", func(e Event) bool { return e.Kind == Refused })
	if refused.From != "127.0.0.1" || refused.Count != 1 {
		t.Errorf("told %+v", refused)
	}
}

func TestOneTimePassword(t *testing.T) {
	r := newRig(t, func(r *rig) { r.options.Keys = nil })
	if _, errs, _ := r.byPassword("root", ""); !strings.Contains(errs, "Permission denied (publickey)") {
		t.Errorf("without any password one is asked for: %q", errs)
	}
	password, err := NewOneTime(r.dir)
	r.must(err)
	if _, errs, status := r.byPassword("root", "0000-0000-0000"); status != 255 {
		t.Errorf("a wrong one: %q", errs)
	}
	if _, errs, status := r.byPassword("admin", password); status != 255 {
		t.Errorf("another user: %q", errs)
	}
	typed := strings.ToUpper(strings.NewReplacer("-", "", "0", "o", "1", "l").Replace(password))
	if out, errs, _ := r.byPassword("root", typed); out != "in\n" {
		t.Errorf("the password: %q", errs)
	}
	if _, errs, _ := r.byPassword("root", password); !strings.Contains(errs, "Permission denied (publickey)") {
		t.Errorf("a second login: %q", errs)
	}
	if left := OneTimePassword(r.dir); left != "" {
		t.Errorf("%q is left", left)
	}
}

func TestFiles(t *testing.T) {
	r := newRig(t, nil)
	text := strings.Repeat("A guest's disk. ", 1<<17)
	local, back := filepath.Join(r.keys, "disk.img"), filepath.Join(r.keys, "back.img")
	r.must(os.WriteFile(local, []byte(text), 0o640))
	for _, way := range []struct {
		name, remote string
		put, get     *exec.Cmd
	}{
		{"scp", "a.img", r.client("scp", "-p", local, target+":a.img"), r.client("scp", target+":a.img", back)},
		{
			"sftp", "web/b.img",
			r.client("sftp", "-b", "/dev/stdin", target), r.client("sftp", target+":web/b.img", back),
		},
	} {
		way.put.Stdin = strings.NewReader("mkdir web\nput " + local + " web/b.img\nls -l web\n" +
			"rename web/b.img web/c.img\nrename web/c.img web/b.img\nchmod 600 web/b.img\n")
		if out, errs, status := r.run(way.put); status != 0 {
			t.Fatalf("%s: %s%s", way.name, out, errs)
		}
		if got, err := os.ReadFile(filepath.Join(r.home, way.remote)); err != nil || string(got) != text {
			t.Errorf("%s: %d bytes came, %v", way.name, len(got), err)
		}
		if out, errs, status := r.run(way.get); status != 0 {
			t.Errorf("%s: %s%s", way.name, out, errs)
		}
		if got, err := os.ReadFile(back); err != nil || string(got) != text {
			t.Errorf("%s: %d bytes came back, %v", way.name, len(got), err)
		}
		r.must(os.Remove(back))
	}
	_, errs, status := r.run(r.client("scp", target+":none", back))
	if status == 0 || !strings.Contains(errs, "No such file") {
		t.Errorf("a file that is not there: %q, status %d", errs, status)
	}
}

// What a client asks for that it does not get: ports on the server's side, the agent, and dom0's own services.
func TestForwardingRefused(t *testing.T) {
	r := newRig(t, nil)
	_, errs, status := r.ssh("-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:80", target, "true")
	if status != 255 || !strings.Contains(errs, "remote port forwarding failed") {
		t.Errorf("-R: %q, status %d", errs, status)
	}
	if out, _, _ := r.ssh("-A", target, `echo "<$SSH_AUTH_SOCK$DISPLAY>"`); out != "<>\n" {
		t.Errorf("-A: %q", out)
	}
	_, errs, status = r.ssh("-W", "127.0.0.1:"+strconv.Itoa(r.port), target)
	if status != 255 || !strings.Contains(errs, "connections go to guests only, and none has an address") {
		t.Errorf("-W to dom0 itself: %q, status %d", errs, status)
	}
}

// The API's socket comes to the client's side, and no other one does.
func TestForwardingOfASocket(t *testing.T) {
	api := filepath.Join(t.TempDir(), "api.sock")
	l, err := net.Listen("unix", api)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			text, _ := io.ReadAll(c)
			_, _ = c.Write(bytes.ToUpper(text))
			_ = c.Close()
		}
	}()
	r := newRig(t, func(r *rig) { r.sockets = []string{api} })
	for to, want := range map[string]string{api: "HELLO", "/run/other.sock": ""} {
		near := filepath.Join(t.TempDir(), "s")
		cmd := r.client("ssh", "-N", "-L", near+":"+to, target)
		r.must(cmd.Start())
		defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
		var conn net.Conn
		for deadline := time.Now().Add(patience); conn == nil; time.Sleep(10 * time.Millisecond) {
			if conn, err = net.Dial("unix", near); err != nil && time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		_, _ = io.WriteString(conn, "hello")
		_ = conn.(*net.UnixConn).CloseWrite()
		if text, _ := io.ReadAll(conn); string(text) != want {
			t.Errorf("to %s: %q, want %q", to, text, want)
		}
		conn.Close()
	}
}

// A connection to a guest, by its address and by its name.
func TestForwarding(t *testing.T) {
	testns.Run(t, syscall.CLONE_NEWNET, func(t *testing.T) {
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err == nil { // all of these are this machine's, and none is an address of an interface's
			_, all, _ := net.ParseCIDR("10.9.9.0/24")
			err = netlink.RouteAdd(&netlink.Route{
				LinkIndex: lo.Attrs().Index, Dst: all, Table: 255, Type: syscall.RTN_LOCAL, Scope: netlink.SCOPE_HOST,
			})
		}
		if err != nil {
			t.Skip(err)
		}
		guest, err := net.Listen("tcp", "10.9.9.9:80")
		if err != nil {
			t.Fatal(err)
		}
		defer guest.Close()
		go func() {
			for {
				c, err := guest.Accept()
				if err != nil {
					return
				}
				text, _ := io.ReadAll(c) // the client's end of file has to come through
				_, _ = c.Write(bytes.ToUpper(text))
				_ = c.Close()
			}
		}()
		r := newRig(t, func(r *rig) {
			r.guests = []host.Guest{
				{Name: "web", Phase: host.Running, Said: netip.MustParseAddr("10.9.9.9")},
				{Name: "liar", Phase: host.Running, Said: netip.MustParseAddr("127.0.0.1")},
			}
		})
		for _, name := range []string{"web", "10.9.9.9"} {
			cmd := r.client("ssh", "-W", name+":80", target)
			cmd.Stdin = strings.NewReader("hello")
			if out, errs, _ := r.run(cmd); out != "HELLO" {
				t.Errorf("to %s: %q %q", name, out, errs)
			}
		}
		for _, name := range []string{"liar", "127.0.0.1", "10.9.9.8", "localhost"} {
			_, errs, status := r.ssh("-W", name+":80", target)
			if status != 255 || !strings.Contains(errs, "connections go to guests only: web 10.9.9.9") {
				t.Errorf("to %s: %q, status %d", name, errs, status)
			}
		}
	})
}

// What the greeting and the docs say: the password for one login, and ssh-copy-id; from then on the key is enough.
func TestCopyID(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.options.Keys = nil
		r.must(os.Mkdir(filepath.Join(r.keys, ".ssh"), 0o700)) // where ssh-copy-id works
		r.must(os.Mkdir(filepath.Join(r.home, ".ssh"), 0o700))
		r.must(os.Symlink(".ssh/authorized_keys", filepath.Join(r.home, "authorized_keys"))) // what the rig reads
	})
	public := r.newKey("id")
	r.must(os.WriteFile(filepath.Join(r.keys, "id.pub"), []byte(public+"\n"), 0o600))
	password, err := NewOneTime(r.dir)
	r.must(err)
	cmd := r.client("ssh-copy-id", "-i", filepath.Join(r.keys, "id"), target)
	cmd.Args = slices.DeleteFunc(cmd.Args, func(a string) bool { return a == "-F" || a == "none" })
	for i, a := range cmd.Args {
		if a == "-P" {
			cmd.Args[i] = "-p"
		}
	}
	if _, errs, status := r.run(r.ask(cmd, password)); status != 0 {
		t.Fatalf("ssh-copy-id: %d, %s", status, errs)
	}
	if out, errs, _ := r.ssh("-o", "BatchMode=yes", target, "echo in"); out != "in\n" {
		t.Errorf("with the key: %s", errs)
	}
	if left := OneTimePassword(r.dir); left != "" {
		t.Error("the password is good for one more login")
	}
}
