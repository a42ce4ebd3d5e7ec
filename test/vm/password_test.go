//go:build vm

package vm

import (
	"time"

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
	m.FromNow().Until("the console takes no other password", consoleLimit, func() bool {
		m.Enter("touch /tmp/in") // after a crash it was seen to ask twice, and to throw away what came between
		time.Sleep(5 * time.Second)
		return m.Said(`msg="` + boot.MsgWrongPassword + `"`)
	})
	m.Until("the password opens the console", consoleLimit, func() bool {
		m.Enter(rootPassword) // what is typed before it asks again is thrown away
		return m.Said(`^\$ `)
	})
	m.ForgetShell()
	if m.Shell("test -e /tmp/in && echo in") != "" {
		m.Errorf("a shell took what was no password")
	}
}
