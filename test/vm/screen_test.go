//go:build vm && full

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// debugging are lines of Xen's and of the kernel's.
var debugging = regexp.MustCompile(`\(XEN\)|\[ *\d+\.\d+\] `)

// TestQuietScreen looks at the screen from power-on until it shows the board: it has GRUB's lines and then the board,
// and nothing of what Xen and the kernel say.
func TestQuietScreen(t *testing.T) {
	t.Parallel()
	FromPowerOn(t, qemu.Machine{}, func(m *VM) {
		stop := m.watchScreen()
		m.WaitInit()
		m.waitGuests()
		m.untilScreen("1", `GUEST +STATE`)
		shown := stop()
		if lines := debugging.FindAllString(shown, -1); len(lines) > 0 {
			m.Errorf("the screen has %d lines of debugging:\n%s", len(lines), shown)
		}
		if !strings.Contains(shown, "Starting Xen ...") || !m.Said(`^\(XEN\) `) {
			m.Errorf("GRUB is not on the screen, or Xen not on the serial line:\n%s", shown)
		}
		m.checkOnlySerial()
	})
}

// checkOnlySerial checks that the kernel's messages go to no screen, but alerts (kern_levels.h), and that
// the screen with lines has none either.
func (m *VM) checkOnlySerial() {
	var level int
	if _, err := fmt.Sscan(m.Shell("cat /proc/sys/kernel/printk"), &level); err != nil || level > 2 {
		m.Errorf("the kernel shows messages of levels below %d, %v", level, err)
	}
	for _, screen := range []string{"1", "12"} {
		if found := m.Shell("echo \"has $(grep -c 'Linux version' /dev/vcs" + screen + ")\""); found != "has 0" {
			m.Errorf("screen %s: %s", screen, found)
		}
	}
}

// TestVerbose boots the menu's verbose entry: the screen has it all. With Xen's watchdog, as the machine has no other,
// the host boots again when everything hangs.
func TestVerbose(t *testing.T) {
	t.Parallel()
	// Without a countdown, which the harness would end: Enter opens the menu that the entry is in, and starts nothing.
	iso := remaster(t, "cmdline = zerodisc.watchdog=60\ndefault = verbose\ntimeout = 0\n")
	FromPowerOn(t, qemu.Machine{ISO: iso}, func(m *VM) {
		stop := m.watchScreen()
		m.WaitInit()
		m.waitGuests()
		shown := stop()
		for text, want := range map[string]bool{
			`\(XEN\) `: true, `\[ *\d+\.\d+\] `: true, `msg=ready guests=2`: true, `GUEST +STATE`: false,
		} {
			if regexp.MustCompile(text).MatchString(shown) != want {
				m.Errorf("that the screen has had /%s/ is not %v:\n%s", text, want, shown)
			}
		}
		m.Run("xenstored is protected", (*VM).checkStanding)
		m.Run("Xen's watchdog", func(m *VM) {
			m.Wait(`msg=watchdog name=xen_wdt timeout=1m0s`, addressLimit)
			if list := m.Shell("services"); !regexp.MustCompile(`(?m)^watchdog +running`).MatchString(list) {
				m.Errorf("services does not show the watchdog as running:\n%s", list)
			}
			m.checkWatchdog()
		})
	})
}

// checkStanding looks at what the kernel's out-of-memory killer goes by.
func (m *VM) checkStanding() {
	for process, want := range map[string]string{
		"$(pidof xenstored)": "-1000", "$(pidof xenconsoled)": "-900", m.Stage2(): "-900", "$$": "300",
	} {
		if got := m.Shell("cat /proc/" + process + "/oom_score_adj"); got != want {
			m.Errorf("oom_score_adj of %s is %q, want %s", process, got, want)
		}
	}
}

// watchScreen looks at the screen every half second until stop is called, which returns each text that a VGA text mode
// had, once. Pictures of it all are kept with the serial log.
func (m *VM) watchScreen() (stop func() string) {
	m.t.Helper()
	dir, err := filepath.Abs(m.Dir())
	if err != nil {
		m.t.Fatal(err)
	}
	enough, text := make(chan struct{}), make(chan string, 1)
	go func() {
		var all strings.Builder
		last := ""
		for number := 0; ; number++ {
			select {
			case <-enough:
				text <- all.String()
				return
			case <-time.After(500 * time.Millisecond):
			}
			if now := m.textMode(filepath.Join(dir, "screen.vga")); now != last {
				fmt.Fprintln(&all, now)
				last = now
			}
			_ = m.Screenshot(filepath.Join(dir, fmt.Sprintf("screen-%03d.png", number)))
		}
	}()
	return func() string {
		close(enough)
		return <-text
	}
}

// textMode is the text in a VGA's memory, cells of a character and its colours: of these the kernel shows 25 lines, and
// scrolls by showing others. file is a name for QEMU to write to.
func (m *VM) textMode(file string) string {
	const at, columns, rows = 0xb8000, 80, 204
	_, err := m.QMP("pmemsave", map[string]any{"val": at, "size": 2 * columns * rows, "filename": file})
	cells, readErr := os.ReadFile(file)
	if err != nil || readErr != nil || len(cells) != 2*columns*rows {
		return "" // the machine is off
	}
	var text strings.Builder
	for row := range rows {
		line := make([]byte, columns)
		for column := range columns {
			line[column] = max(' ', cells[2*(row*columns+column)])
		}
		if trimmed := strings.TrimRight(string(line), " "); trimmed != "" {
			fmt.Fprintln(&text, trimmed)
		}
	}
	return text.String()
}
