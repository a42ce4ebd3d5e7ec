package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/report"
	"github.com/zerodisc/zerodisc/internal/sshd"
	"github.com/zerodisc/zerodisc/internal/supervise"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

// sshServer is the process of the SSH server.
func sshServer([]string) int {
	return sshd.Main(sshd.Config{
		Dir: boot.SSHDir, Home: boot.Home, Shell: shellProgram, Keys: filepath.Join(boot.Home, ".ssh/authorized_keys"),
		Guests: readState, Sockets: []string{boot.APISocket}, Greeting: greeting, Tell: sshd.Teller(os.Stdout),
	})
}

// greeting is what `status` says.
func greeting() string {
	snapshot, err := readState()
	if err != nil {
		return err.Error() + "\n"
	}
	return report.Text(snapshot)
}

// sshPassword makes a one-time password and shows it to whoever is root already.
func sshPassword([]string) int {
	if !sshd.IsOn(boot.SSHDir) {
		return fail(errors.New("no SSH server runs; was it switched off with " + boot.KeySSH + "=no?"))
	}
	password, err := sshd.NewOneTime(boot.SSHDir)
	if err != nil {
		return fail(err)
	}
	snapshot, err := readState()
	if err != nil {
		snapshot = new(host.Snapshot)
	}
	fmt.Print(oneLogin(snapshot, password))
	return 0
}

// oneLogin says how to use a one-time password.
func oneLogin(s *host.Snapshot, password string) string {
	return fmt.Sprintf("%s\nPassword for one login (ssh-copy-id adds your key for more): %s\n",
		report.Login(s.Host), password)
}

// sshOptions are what a configuration says of SSH. Who has set a password wants no other, even if its hash cannot be
// used.
func sshOptions(c *config.Config) sshd.Options {
	o := sshd.Options{
		Off: !config.Is(c.SSH.Enabled, true), Port: c.SSH.Port, Keys: c.SSH.Keys, HostKeys: c.SSH.HostKeys,
		Password: cmp.Or(c.SSH.PasswordHash, c.PasswordHash),
	}
	if o.Password == unusableHash {
		o.Password, o.NoOneTime = "", true
	}
	return o
}

// startSSH starts the SSH server, or has the one that runs do what the configuration says now.
func (d *dom0) startSSH(ctx context.Context) {
	if d.ssh == nil {
		d.ssh = sshd.NewService(sshd.ServiceConfig{
			Dir: boot.SSHDir, Kept: boot.StateSSH, Random: d.random, Tell: d.state.Tell, Show: d.showPassword,
			Switch: d.switchSSH, Made: d.left != nil && d.left.Host.SSH.Port != 0,
			Problem: func(err error, remedy string) {
				d.log.Error(boot.MsgSSH, "err", err, "remedy", remedy)
				d.state.Tell(host.Problem{Text: err.Error()})
			},
		})
		d.watch(ctx, "ssh-options", endless(func(ctx context.Context) { d.ssh.Run(ctx, d.state.Subscribe(ctx)) }))
	}
	o := sshOptions(d.config())
	d.ssh.Apply(o)
	if err := openSSH(o, config.Is(d.config().SSH.Guests, false)); err != nil {
		d.log.Error(boot.MsgSSH, "err", err, "remedy", "nobody can log in over the network; log in at the console")
	}
}

// openSSH lets connections to the SSH server in, those of guests only if guests says so.
func openSSH(o sshd.Options, guests bool) error {
	var open, openGuests []vifrules.Service
	if !o.Off {
		open = append(open, vifrules.Service{Protocol: vifrules.TCP, Port: uint16(cmp.Or(o.Port, sshd.UsualPort))})
	}
	if guests {
		openGuests = open
	}
	return vifrules.Rules{Dir: vifrules.Dir}.Configure(func(c *vifrules.Config) {
		c.Host.Open, c.Host.OpenGuests = open, openGuests
	})
}

// switchSSH starts the server's process, as one of the services, or ends it.
func (d *dom0) switchSSH(on bool) error {
	return d.switchConfigured("ssh.enabled", on, lasting(supervise.Spec{
		Name: sshd.Role, Path: boot.InitProgram, Args: []string{sshd.Role}, MaxRestarts: supervise.Forever,
		Output: sshd.Listener{Tell: d.hearSSH, Rest: d.daemonLog}, Report: d.reportSSH,
		Remedy: "log in at the console; reboot the host",
	}))
}

// reportSSH tells what became of the server's process. One that somebody has stopped listens no more.
func (d *dom0) reportSSH(status supervise.Status) {
	d.reportDaemon(status)
	if status.Phase == supervise.Stopped && !d.state.Snapshot().Host.SSH.Off {
		d.state.Tell(host.SSH{Problem: "somebody has stopped it; services start " + sshd.Role + " starts it again"})
	}
}

// hearSSH makes known what the server tells.
func (d *dom0) hearSSH(e sshd.Event) {
	if fact := sshd.Heard(e); fact != nil {
		d.state.Tell(fact)
	}
}

// showPassword shows a one-time password on the consoles of this machine. It goes into no log.
func (d *dom0) showPassword(password string) {
	console.Logger(d.screen, slog.LevelInfo).Info(boot.MsgSSHPassword, "password", password,
		"remedy", "for one login by ssh, or ssh-copy-id; ssh-password makes another")
}

// consoleText is what stands above a shell on a local console: the report and, while nobody has used it, the
// one-time password.
func (d *dom0) consoleText() string {
	text := d.reportText()
	if d.left != nil {
		text = "\nzerodisc's init has crashed and was started again; `logs -source init` has its last words.\n" + text
	}
	if password := sshd.OneTimePassword(boot.SSHDir); password != "" {
		text += oneLogin(d.state.Snapshot(), password) + "\n"
	}
	return text
}
