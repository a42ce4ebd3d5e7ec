//go:build vm && full

package vm

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/api"
)

// checkGuestCommand uses the command guest as a person at the serial line does, and scripts, and who comes by SSH.
// It leaves the guests running.
func (m *VM) checkGuestCommand() {
	m.Run("exit statuses", (*VM).checkStatuses)
	m.Run("json", (*VM).checkJSON)
	m.Run("show", (*VM).checkShow)
	m.Run("console", (*VM).checkConsoleCommand)
	m.Run("logs", (*VM).checkGuestLogs)
	m.Run("top", (*VM).checkTop)
	m.Run("events", (*VM).checkEvents)
	m.Run("processors", (*VM).checkProcessors)
	m.Run("by ssh", (*VM).checkGuestBySSH)
	m.Run("all", (*VM).checkAll)
	m.Run("a guest that hangs", (*VM).checkLate)
}

// ends checks the exit status of a command, and returns what it says.
func (m *VM) ends(command string, status int) (said string) {
	m.t.Helper()
	said = m.Shell(command + "; echo status $?")
	if !strings.HasSuffix(said, fmt.Sprintf("status %d", status)) {
		m.Errorf("%s: want status %d:\n%s", command, status, said)
	}
	return said
}

// checkStatuses has guest end with each status that does not take a fault of the host's or a guest that hangs.
func (m *VM) checkStatuses() {
	first, second := guests[0], guests[1]
	for _, test := range []struct {
		command string
		status  int
	}{
		{"nonsense", 2}, {"stop", 2}, {"stop -all " + first, 2}, {"list -o xml", 2}, {"set " + first, 2},
		{"set " + first + " -memory much", 2}, {"attach " + first + " tape x", 2}, {"events -type nonsense", 2},
		{"show nobody", 3}, {"logs nobody", 3}, {"console nobody", 3}, {"pause " + first + " nobody", 3},
		{"detach " + first + " disk xvdz", 3}, {"detach " + first + " nic 00:16:3e:00:00:01", 3},
		{"resume " + first, 0}, {"resume " + first, 4}, {"start " + second, 4},
		{"pause " + second, 0}, {"stop " + second, 4}, {"resume " + second, 0},
		{"help stop", 0}, {"-h", 0},
	} {
		m.ends("guest "+test.command, test.status)
	}
}

// checkJSON reads what guest prints for programs.
func (m *VM) checkJSON() {
	var found, used []api.Guest
	m.decode("guest list -o json", &found)
	m.decode("guest top -o json", &used)
	if len(found) != len(guests) || found[0].Name != guests[0] || found[0].Status != "running" {
		m.Errorf("guest list -o json: %+v", found)
	}
	if len(used) != len(guests) || used[0].State == nil || used[0].State.CPU.Seconds == 0 {
		m.Errorf("guest top -o json: %+v", used)
	}
	for _, order := range []string{"pause", "resume"} {
		var ops []api.Operation
		m.decode("guest "+order+" -o json "+strings.Join(guests, " "), &ops)
		if len(ops) != len(guests) || ops[0].StatusCode != api.OperationSuccess {
			m.Errorf("guest %s -o json: %+v", order, ops)
		}
	}
	var said struct{ Name, Text string }
	m.decode("guest logs -o json "+guests[0], &said)
	if said.Name != guests[0] || !strings.Contains(said.Text, "msg=ready") {
		m.Errorf("guest logs -o json: %+v", said)
	}
}

func (m *VM) decode(command string, to any) {
	m.t.Helper()
	text := m.Shell(command)
	if err := json.Unmarshal([]byte(text), to); err != nil {
		m.Errorf("%s: %v\n%s", command, err, text)
	}
}

// checkShow looks for what a guest's network interface has done.
func (m *VM) checkShow() {
	said := m.Shell("guest show " + guests[0])
	for _, want := range []string{
		`(?m)^name: +` + guests[0] + `$`, `(?m)^state: +running$`, `(?m)^cpu: +[0-9.]+ s`,
		`(?m)^nic: +[0-9a-f:]{17}, [0-9.]+[kM]?B received, [0-9.]+[kM]?B sent$`,
		`(?m)^packets: +[1-9]\d* received, [1-9]\d* sent$`,
	} {
		if !regexp.MustCompile(want).MatchString(said) {
			m.Errorf("guest show does not say /%s/:\n%s", want, said)
		}
	}
}

// checkConsoleCommand goes to a guest's console on the serial line, and back. Keys that a program types go there, too.
func (m *VM) checkConsoleCommand() {
	guest := guests[0]
	m.FromNow().Enter("guest console " + guest)
	m.WaitText(`^The console of `+guest+`\. Ctrl-\] leaves it\.`, soon)
	m.Enter("hostname")
	m.WaitText(`^(\$ )*`+guest+`\s*$`, soon)
	m.Type("\x1d")
	m.ForgetShell()
	if said := m.Shell("test -e " + boot.APISocket + " && echo dom0"); said != "dom0" {
		m.Errorf("Ctrl-] does not lead back to dom0's shell: %s", said)
	}
	m.ends("echo 'echo ty''ped' | guest console "+guest+" > /dev/null", 0)
	m.Until("the guest has got what was typed", soon, func() bool { return m.guestSaid(guest, "typed") })
}

// checkGuestLogs reads the last lines of what a guest said, and what comes.
func (m *VM) checkGuestLogs() {
	guest := guests[0]
	if count := m.Shell("guest logs -n 3 " + guest + " | grep -c ''"); count != "3" {
		m.Errorf("guest logs -n 3 prints %s lines", count)
	}
	m.Shell("guest logs -f " + guest + " > /tmp/followed & true")
	m.Until("guest logs -f has begun", soon, func() bool { return m.Shell("grep -c msg=ready /tmp/followed") != "0" })
	m.Shell("echo 'echo fol''lowed' | guest console " + guest + " > /dev/null")
	m.Until("guest logs -f has what comes", soon, func() bool {
		return m.Shell("grep -c ^followed /tmp/followed") == "1"
	})
	m.Shell("kill $(pidof guest); rm /tmp/followed")
	m.FromNow().Enter("guest logs -f " + guest)
	m.WaitText(`^followed`, soon)
	m.Type("\x03")
	m.ForgetShell()
	m.Shell("true")
}

// checkTop looks at guest top on a terminal, and once through a pipe.
func (m *VM) checkTop() {
	said := m.Shell("guest top | cat")
	for _, want := range []string{
		`^NAME +STATE +CPU +MEMORY +NET IN +NET OUT +DROPS +READ +WRITTEN\n`, guests[0] + ` +running +\d+% +\d+M +\d`,
	} {
		if !regexp.MustCompile(want).MatchString(said) {
			m.Errorf("guest top does not say /%s/:\n%s", want, said)
		}
	}
	m.FromNow().Type("guest top\r")
	m.WaitText("q ends", soon)
	m.Type("q")
	m.ForgetShell()
	m.Shell("true")
}

// checkEvents starts a guest anew, and looks for what guest events prints about that.
func (m *VM) checkEvents() {
	guest := guests[1]
	m.Shell("guest events > /tmp/events & true")
	m.FromNow().order("guest restart " + guest)
	m.Wait(`msg="guest address" guest=`+guest, addressLimit)
	want := []string{"guest-stopped", "guest-started", "guest-addressed"}
	m.Until("guest events has said all", soon, func() bool {
		at := 0
		for line := range strings.Lines(m.Shell("cat /tmp/events")) {
			var event struct{ Metadata api.Lifecycle }
			if err := json.Unmarshal([]byte(line), &event); err != nil {
				m.Errorf("guest events: %v: %s", err, line)
			}
			if at < len(want) && event.Metadata.Action == want[at] && event.Metadata.Name == guest {
				at++
			}
		}
		return at == len(want)
	})
	m.Shell("kill $(pidof guest); rm /tmp/events")
}

// checkProcessors makes a guest that may have another processor, gives it that, and takes it away. The guest stays.
func (m *VM) checkProcessors() {
	cfg := "/root/web.cfg"
	m.Shell("grep -v '^(name|uuid|vcpus|maxvcpus|vif) ' " + boot.GuestRunDir + "/" + guests[0] + ".cfg > " + cfg)
	m.Shell(`echo 'name = "web"' >> ` + cfg + "; echo vcpus = 1 >> " + cfg + "; echo maxvcpus = 2 >> " + cfg)
	m.order("xl create " + cfg)
	m.Until("the guest is up", addressLimit, func() bool {
		return m.Shell("guest logs web | grep -c msg=ready") == "1"
	})
	for _, count := range []int{2, 1} {
		m.order(fmt.Sprintf("guest set web -vcpus %d", count))
		shown := regexp.MustCompile(fmt.Sprintf(`(?m)^vcpus: +%d$`, count))
		if said := m.Shell("guest show web"); !shown.MatchString(said) {
			m.Errorf("guest show after set -vcpus %d:\n%s", count, said)
		}
		online := regexp.MustCompile(`(?m)^web +\d+ +\d+ +(\d+|-) +[r-][b-]- `)
		if list := m.Shell("xl vcpu-list web"); len(online.FindAllString(list, -1)) != count {
			m.Errorf("xl vcpu-list after guest set -vcpus %d:\n%s", count, list)
		}
		word := fmt.Sprintf("processors %d$", count)
		m.Shell("echo 'echo processors $(grep -c ^processor /proc/cpuinfo)' | guest console web > /dev/null")
		m.Until("the guest sees its processors", soon, func() bool { return m.guestSaid("web", word) })
	}
	if said := m.ends("guest set web -vcpus 3", 1); !strings.Contains(said, "more than the 2") {
		m.Errorf("guest set -vcpus beyond the maximum: %s", said)
	}
}

// checkAll stops and starts all guests.
func (m *VM) checkAll() {
	m.order("guest destroy web")
	m.FromNow().order("guest stop -all")
	m.agree("after stop -all", map[string]string{})
	list := m.Shell("guest list")
	for _, guest := range guests {
		if !regexp.MustCompile(`(?m)^` + guest + ` +stopped `).MatchString(list) {
			m.Errorf("guest list after stop -all:\n%s", list)
		}
	}
	m.order("guest stop -all")
	m.FromNow().order("guest start -all")
	m.waitAddresses()
	m.agree("after start -all", map[string]string{guests[0]: "running", guests[1]: "running"})
}

// checkLate stops a guest that hangs: it does not end in time, and is destroyed then where that is wanted.
func (m *VM) checkLate() {
	guest := guests[1]
	hang := `kill -19 $(cat /proc/1/task/*/children); echo han''gs` // SIGSTOP to its init
	m.Shell("echo '" + hang + "' | guest console " + guest + " > /dev/null")
	m.Until("the guest hangs", soon, func() bool { return m.guestSaid(guest, "hangs") })
	m.ends("guest stop -timeout 3 "+guest, 5)
	m.FromNow().Enter("guest stop " + guest)
	m.Until("Ctrl-C calls the order off", soon, func() bool {
		m.Type("\x03")
		return m.Said("guest: " + guest + ": interrupted")
	})
	m.ForgetShell()
	m.agree("after it was late", map[string]string{guests[0]: "running", guest: "running"})
	m.FromNow().order("guest stop -force -timeout 3s " + guest)
	m.Wait(`msg="guest stopped" guest=`+guest, soon)
	m.order("guest start " + guest)
	m.Wait(`msg="guest address" guest=`+guest, addressLimit)
}
