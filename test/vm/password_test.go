//go:build vm

package vm

import (
	"github.com/zerodisc/zerodisc/boot"
)

// Root's password on machines that have one, and its hash (glibc, crypt/sha512c-test.c).
const (
	rootPassword = "Hello world!"
	rootHash     = "$6$saltstring$" +
		"svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"

	withPassword = "cmdline = " + boot.KeyPassword + "=" + rootHash + "\n"
)

// asksPassword is what a console says that is shut. A line of init's may follow.
const asksPassword = `password for root: `

// giveRootPassword checks that the serial console asks for the password and takes no other, and gives it.
func (m *VM) giveRootPassword() {
	m.t.Helper()
	m.WaitText(asksPassword, bootLimit)
	m.FromNow().Enter("touch /tmp/in")
	m.Wait(`msg="`+boot.MsgWrongPassword+`"`, consoleLimit)
	m.WaitText("That is not the password.", soon) // what is typed before that is thrown away
	m.Enter(rootPassword)
	m.WaitText(`^\$ `, consoleLimit)
	if m.Said("touch") {
		m.Errorf("the console shows what is typed")
	}
	m.ForgetShell()
	if m.Shell("test -e /tmp/in && echo in") != "" {
		m.Errorf("a shell took what was no password")
	}
}
