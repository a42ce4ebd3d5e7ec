package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// story is what a test does with one machine.
type story struct {
	t      *testing.T
	suffix string // of the directory that keeps what the machine leaves behind
	broke  string // what the emulator broke, "" for nothing
}

// Story powers a machine on, waits for init and calls tell, which says what happens to it.
//
// Where the emulator breaks the machine, and the console shows that beyond doubt, the story begins once more
// with a new machine. No more than maxBroken machines of a run may break.
func Story(t *testing.T, m qemu.Machine, tell func(m *VM)) {
	t.Helper()
	FromPowerOn(t, m, func(m *VM) {
		m.WaitInit()
		tell(m)
	})
}

// FromPowerOn is Story for what happens before init, too: tell calls WaitInit itself.
func FromPowerOn(t *testing.T, m qemu.Machine, tell func(m *VM)) {
	t.Helper()
	broke := play(m, &story{t: t}, tell)
	if broke == "" {
		return
	}
	t.Logf("THE EMULATOR BROKE THIS MACHINE: %s", broke)
	count, err := noteBroken(t.Name(), broke)
	if err != nil {
		t.Fatal(err)
	}
	if count > maxBroken {
		t.Fatalf("the emulator broke %d machines in this run, %d are forgiven", count, maxBroken)
	}
	t.Log("the story begins once more, with a new machine")
	if broke = play(m, &story{t: t, suffix: "-again"}, tell); broke != "" {
		t.Fatalf("the emulator broke the second machine too: %s", broke)
	}
}

// play tells a story and returns what the emulator broke. It has a goroutine of its own, which may end early.
func play(machine qemu.Machine, s *story, tell func(m *VM)) string {
	s.t.Helper()
	m := start(machine, s)
	defer m.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tell(m)
	}()
	<-ended
	if s.t.Failed() {
		s.t.FailNow()
	}
	return s.broke
}

// WaitInit waits for init.
func (m *VM) WaitInit() {
	m.t.Helper()
	if err := m.awaitInit(initLimit); err != nil {
		m.failBoot(err)
	}
}

// Run tells a chapter of the story as a subtest.
func (m *VM) Run(name string, tell func(m *VM)) {
	m.t.Helper()
	m.t.Run(name, func(t *testing.T) {
		chapter := *m
		chapter.t = t
		tell(&chapter)
	})
	if m.story.broke != "" {
		runtime.Goexit() // the story's goroutine
	}
}

// Errorf notes a failure and goes on with the story.
func (m *VM) Errorf(format string, args ...any) {
	m.t.Helper()
	m.endIfBroken(m.brokeIt())
	m.t.Errorf(format, args...)
}

// Fatalf ends the test.
func (m *VM) Fatalf(format string, args ...any) {
	m.t.Helper()
	m.endIfBroken(m.brokeIt())
	m.t.Fatalf(format, args...)
}

// fail ends the test, or the story where the emulator is to blame, and says how to look into it.
func (m *VM) fail(what string, err error) {
	m.t.Helper()
	screen := filepath.Join(m.Dir(), "screen.png")
	if path, e := filepath.Abs(screen); e == nil && m.Screenshot(path) == nil {
		what += " (screen: " + path + ")"
	}
	m.Fatalf("%s: %v\n%s", what, err, m.Report())
}

// failBoot is fail for a machine that never got to init.
func (m *VM) failBoot(err error) {
	m.t.Helper()
	if m.kernelHangs(err) {
		m.endIfBroken("dom0's kernel hangs\n" + m.processors())
	}
	m.fail(fmt.Sprintf("wait %v for init", initLimit), err)
}

// endIfBroken ends the story, and the chapter as a skipped one, if the emulator broke something.
func (m *VM) endIfBroken(broke string) {
	m.t.Helper()
	if broke == "" {
		return
	}
	m.story.broke = broke + "\n" + m.Report()
	if m.t != m.story.t {
		m.t.SkipNow() // a chapter
	}
	runtime.Goexit() // the story's goroutine
}

// maxBroken is how many machines the emulator may break in a run.
const maxBroken = 2

// brokenFile is the environment's name for the list of the machines that the emulator broke. Tests in
// namespaces of their own run in another process, so that it has to be a file.
const brokenFile = "ZERODISC_BROKEN"

var noting sync.Mutex

// noteBroken adds a machine to the list of those that the emulator broke, and returns how many there are.
func noteBroken(test, what string) (int, error) {
	noting.Lock()
	defer noting.Unlock()
	name := os.Getenv(brokenFile)
	list, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(what, "\n")
	list = append(list, test+": "+first+"\n"...)
	return strings.Count(string(list), "\n"), os.WriteFile(name, list, 0o644)
}
