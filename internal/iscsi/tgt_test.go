package iscsi

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
)

// tgt is a running tgtd with one target, which has one LUN of 1 MiB besides the controller at LUN 0.
type tgt struct {
	t       *testing.T
	control string // the number of its control port
	port    int
}

const tgtName = "iqn.2026-01.org.example:disk"

// startTgt starts tgtd, or skips the test where it is not installed.
func startTgt(t *testing.T) *tgt {
	t.Helper()
	tgtd, err := exec.LookPath("tgtd")
	if err != nil {
		tgtd = "/usr/sbin/tgtd"
	}
	if _, err := os.Stat(tgtd); err != nil {
		t.Skip("tgtd (package tgt) is not installed")
	}
	if os.Getuid() != 0 {
		t.Skip("tgtd needs root")
	}
	port := freePort(t)
	g := &tgt{t: t, control: strconv.Itoa(port % (1 << 15)), port: port} // a number that no other tgtd has
	cmd := exec.Command(tgtd, "-f", "-C", g.control, "--iscsi", "portal=127.0.0.1:"+strconv.Itoa(port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	disk := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		out, err := g.try("--mode", "target", "--op", "new", "--tid", "1", "--targetname", tgtName)
		if err == nil {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("tgtd does not work: %s", out)
		}
	}
	g.admin("--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", "1", "--backing-store", disk)
	g.admin("--mode", "target", "--op", "bind", "--tid", "1", "--initiator-address", "ALL")
	return g
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (g *tgt) try(args ...string) (string, error) {
	args = append([]string{"-C", g.control, "--lld", "iscsi"}, args...)
	out, err := exec.Command("tgtadm", args...).CombinedOutput()
	return string(out), err
}

func (g *tgt) admin(args ...string) {
	g.t.Helper()
	if out, err := g.try(args...); err != nil {
		g.t.Fatalf("tgtadm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// account gives the target a name and password, for itself to show where it is outgoing.
func (g *tgt) account(user, password string, outgoing ...string) {
	g.t.Helper()
	g.admin("--mode", "account", "--op", "new", "--user", user, "--password", password)
	g.admin(append([]string{"--mode", "account", "--op", "bind", "--tid", "1", "--user", user}, outgoing...)...)
}

// TestTgt logs in to a real target in each way.
func TestTgt(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(g *tgt)
		secrets string
		state   host.RemoteState
		says    string
	}{
		{"open", nil, "", host.RemoteConnected, ""},
		{"password where none is wanted", nil, "me:verysecretword@", host.RemoteConnected, ""},
		{"CHAP", (*tgt).oneWay, "me:verysecretword@", host.RemoteConnected, ""},
		{"no password", (*tgt).oneWay, "", host.RemoteWaiting, "refuse"},
		{"wrong password", (*tgt).oneWay, "me:verysecretwood@", host.RemoteWaiting, "does not accept"},
		{"mutual CHAP", (*tgt).bothWays, "me:verysecretword:it:othersecretword@", host.RemoteConnected, ""},
		{"the target's password is wrong", (*tgt).bothWays, "me:verysecretword:it:othersecretwood@",
			host.RemoteWaiting, "does not know its own password"},
		{"the target has no password", (*tgt).oneWay, "me:verysecretword:it:othersecretword@",
			host.RemoteWaiting, ""},
		{"checksums", (*tgt).checksums, "", host.RemoteConnected, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := startTgt(t)
			if test.prepare != nil {
				test.prepare(g)
			}
			target, err := parseTarget(test.secrets + "127.0.0.1::" + strconv.Itoa(g.port) + ":1:" + tgtName)
			if err != nil {
				t.Fatal(err)
			}
			told := follow(t, target, nil)
			remote := <-told.remotes
			if remote.State != test.state || !strings.Contains(remote.Problem, test.says) {
				t.Fatalf("%+v", remote)
			}
			if strings.Contains(remote.Problem+remote.Remedy+remote.URL, "secret") {
				t.Errorf("it shows a password: %+v", remote)
			}
			if test.name == "checksums" {
				s := told.kernel.only(t)
				if s.param(paramHeaderCRC) != "1" || s.param(paramDataCRC) != "1" {
					t.Errorf("checksums were not agreed on: %v", s.params)
				}
			}
		})
	}
}

func (g *tgt) oneWay() { g.account("me", "verysecretword") }

func (g *tgt) bothWays() {
	g.oneWay()
	g.account("it", "othersecretword", "--outgoing")
}

func (g *tgt) checksums() {
	for _, key := range []string{"HeaderDigest", "DataDigest"} {
		g.admin("--mode", "target", "--op", "update", "--tid", "1", "--name", key, "--value", "CRC32C")
	}
}
