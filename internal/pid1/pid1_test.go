package pid1

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// The test binary plays every role, chosen by its first argument: "init" is the real PID 1 of a
// PID namespace, the others are what it starts.
func TestMain(m *testing.M) {
	roles := map[string]func(){
		"init":      playInit,
		"children":  playChildren,
		"crash":     func() { panic("stage2 has a bug") },
		"nul":       func() { panic("stage2 has a bug: read \x00\x1b[2J\x01") },
		"hang":      func() { panic("stage2 has a bug: hang") },
		"killed":    playKilled,
		"stuck":     playStuck,
		"resumed":   playResumed,
		"emergency": playEmergency,
		"true":      func() { os.Exit(7) },
		"orphan":    playOrphan,
	}
	if len(os.Args) > 1 {
		if play, ok := roles[os.Args[1]]; ok {
			play()
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

const self = "/proc/self/exe"

// playInit runs Init with the stage2 role of its next argument and prints the action.
func playInit() {
	exe, _ := os.Executable()
	i := &Init{
		Stage2:    []string{exe, os.Args[2]},
		Emergency: []string{exe, "emergency"},
		Stderr:    os.Stderr,
		End:       func(a Action) { fmt.Println("end", int(a)) },
	}
	i.Run()
}

// playChildren is a stage2 whose 1,000 children's exit statuses must all arrive, while orphans
// pour onto PID 1; then it asks for power off.
func playChildren() {
	lost := 0
	for range 1000 {
		err := exec.Command(self, "true").Run()
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 7 {
			lost++
		}
	}
	for range 20 {
		_ = exec.Command(self, "orphan").Run()
	}
	fmt.Println("lost", lost)
	os.Exit(int(PowerOff))
}

// playOrphan leaves a child behind.
func playOrphan() {
	_ = exec.Command(self, "true").Start()
}

// playKilled is a stage2 that is killed while it does what it was asked: power off.
func playKilled() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGUSR2)
	Ready()
	_ = unix.Kill(1, unix.SIGUSR2)
	<-signals
	fmt.Fprintln(os.Stderr, "killed by the kernel")
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	select {}
}

// playResumed is a stage2 that crashes, and that the next one goes on for, until that crashes as well; after the
// emergency process a third one ends the machine.
func playResumed() {
	Resumable()
	Ready()
	switch {
	case len(os.Args) == 2:
		panic("stage2 has a bug: first")
	case strings.Contains(os.Args[2], "first"):
		fmt.Println("resumed after first")
		panic("stage2 has a bug: again")
	}
	fmt.Println("resumed after again:", strings.Contains(os.Args[2], "again"))
	os.Exit(Leave(Halt))
}

// playStuck is a stage2 that has decided how to end and then cannot.
func playStuck() {
	Ready()
	Leave(Halt)
	time.Sleep(time.Hour)
}

// playEmergency prints what it knows of the report it was given. Where the end of the machine is under way
// already it waits to be asked for that; else it asks PID 1 for a reboot, as a person would. It does
// what it is asked in turn, or, when it is to hang, lets itself be asked until PID 1 has enough.
func playEmergency() {
	says := func(text string) bool { return strings.Contains(os.Args[2], text) }
	if says("again") {
		fmt.Println("emergency for", os.Args[3])
		os.Exit(Again)
	}
	fmt.Println("emergency:", says("stage2 has a bug"), says(`read \x00\x1b[2J`))
	if !says("killed") {
		_ = unix.Kill(1, unix.SIGTERM) // before anybody listens: it must not be lost
		time.Sleep(100 * time.Millisecond)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals)
	Ready()
	action := nextRequest(signals)
	if !says("hang") {
		os.Exit(Leave(action))
	}
	for range maxRequests {
		_ = unix.Kill(1, unix.SIGTERM)
		nextRequest(signals)
	}
}

// nextRequest waits for a request. The Go runtime sends itself signals (SIGURG) that are none.
func nextRequest(signals <-chan os.Signal) Action {
	for {
		if action, ok := Signals[<-signals]; ok {
			fmt.Println("asked", int(action))
			return action
		}
	}
}

// asPID1 runs this binary as PID 1 of a new PID namespace.
func asPID1(t *testing.T, stage2 string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "init", stage2)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skipf("no PID namespace here: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("PID 1: %v\n%s", err, out.String())
	}
	return out.String()
}

func TestNoExitStatusIsLost(t *testing.T) {
	out := asPID1(t, "children")
	if !strings.Contains(out, "lost 0\n") || !strings.Contains(out, fmt.Sprintf("end %d\n", PowerOff)) {
		t.Errorf("PID 1 printed:\n%s", out)
	}
}

func TestEmergencyProcessFollowsACrash(t *testing.T) {
	out := asPID1(t, "crash")
	if want := fmt.Sprintf("emergency: true false\nasked %d\nend %[1]d\n", Reboot); !strings.HasSuffix(out, want) {
		t.Errorf("PID 1 printed:\n%s", out)
	}
}

// Another stage2 goes on after a crash. When that crashes soon, there are shells, and later one more try.
func TestStage2IsResumed(t *testing.T) {
	out := asPID1(t, "resumed")
	for _, want := range []string{"resumed after first\n", "emergency for 1m0s\nresumed after again: true\nend 42\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("PID 1 printed:\n%s", out)
		}
	}
}

func TestSuccession(t *testing.T) {
	s := succession{}
	if s.resumes(time.Hour) || s.rest != 0 {
		t.Errorf("a boot that has made nothing yet: %+v", s)
	}
	s.resumable = true
	for i, test := range []struct {
		ran     time.Duration
		resumes bool
		rest    time.Duration
	}{
		{time.Second, true, 0}, // the boot's
		{time.Second, false, time.Minute},
		{time.Minute, false, 2 * time.Minute},
		{time.Second, false, 4 * time.Minute},
		{time.Second, false, 8 * time.Minute},
		{time.Second, false, 16 * time.Minute},
		{time.Second, false, 16 * time.Minute},
		{time.Hour, true, 0},
		{time.Second, false, time.Minute},
	} {
		if got := s.resumes(test.ran); got != test.resumes || s.rest != test.rest {
			t.Errorf("%d: resumes = %v, %+v; want %v", i, got, s, test)
		}
	}
}

// No argument of a program may have a NUL: once, such last words left every console without a shell.
func TestLastWordsMayHaveANUL(t *testing.T) {
	out := asPID1(t, "nul")
	if want := fmt.Sprintf("emergency: true true\nasked %d\nend %[1]d\n", Reboot); !strings.HasSuffix(out, want) {
		t.Errorf("PID 1 printed:\n%q", out)
	}
	if strings.ContainsAny(out, "\x00\x1b\x01") {
		t.Errorf("PID 1 passed on what a terminal obeys:\n%q", out)
	}
}

func TestRequestSurvivesTheCrash(t *testing.T) {
	out := asPID1(t, "killed")
	if want := fmt.Sprintf("asked %d\nend %[1]d\n", PowerOff); !strings.HasSuffix(out, want) {
		t.Errorf("PID 1 printed:\n%s", out)
	}
}

func TestHangingEmergencyProcessIsNotWaitedFor(t *testing.T) {
	out := asPID1(t, "hang")
	if strings.Count(out, "asked") != maxRequests || !strings.HasSuffix(out, fmt.Sprintf("end %d\n", Reboot)) {
		t.Errorf("PID 1 printed:\n%s", out)
	}
}

// A thread that hangs in the kernel keeps a process from ending; the machine ends without it.
func TestStage2ThatCannotEndIsNotWaitedFor(t *testing.T) {
	if out := asPID1(t, "stuck"); out != fmt.Sprintf("end %d\n", Halt) {
		t.Errorf("PID 1 printed:\n%s", out)
	}
}

// outerOf is an outer whose processes cannot be started; it has no children.
func outerOf(programs ...string) *outer {
	return &outer{Init: &Init{Stage2: programs[:1], Emergency: programs[1:]}, words: newLastWords(nil)}
}

func TestWithoutAnyProcessARequestIsDoneAtOnce(t *testing.T) {
	o := outerOf("/nonexistent/stage2", "/nonexistent/emergency")
	if action := o.start(); action != goOn || !o.stranded || o.restart == nil {
		t.Fatalf("start = %v; want another try later: %+v", action, o)
	}
	if !strings.Contains(o.report, "/nonexistent/stage2") {
		t.Errorf("last words %q do not say what could not be started", o.report)
	}
	if action := o.request(unix.SIGUSR2); action != PowerOff {
		t.Errorf("request = %v, want poweroff", action)
	}
}

// deadChild is a child that never listened.
func deadChild() *child {
	c := &child{drained: make(chan struct{})}
	close(c.drained)
	return c
}

// An emergency process that dies of what it is asked gets three tries.
func TestRequestThatKillsEmergencyProcesses(t *testing.T) {
	o := outerOf("", "")
	o.emergency = true
	if action := o.request(unix.SIGURG); action != goOn || o.underWay != nil {
		t.Errorf("a signal that is no request: %v", action)
	}
	o.inner = deadChild()
	if action := o.request(unix.SIGUSR1); action != goOn {
		t.Errorf("request = %v", action)
	}
	crash := syscall.WaitStatus(unix.SIGKILL)
	for range maxRequests - 1 {
		if action := o.ended(crash); action != goOn || len(o.waiting) != 1 {
			t.Fatalf("ended = %v, waiting %v", action, o.waiting)
		}
		o.inner = deadChild()
	}
	if action := o.ended(crash); action != Halt {
		t.Errorf("ended = %v, want halt", action)
	}
}

// Whoever killed stage2 while it was ending did not change what was decided.
func TestDecisionSurvivesStage2(t *testing.T) {
	o := outerOf("", "")
	o.inner = &child{}
	o.said(byte(Reboot), true)
	if action := o.ended(syscall.WaitStatus(unix.SIGKILL)); action != Reboot {
		t.Errorf("ended = %v, want reboot", action)
	}
}

func TestLastWordsKeepTheEnd(t *testing.T) {
	for name, text := range map[string]string{
		"lines":       strings.Repeat("xxxxxxx\n", 2*reportSize/8),
		"one line":    strings.Repeat("x", 2*reportSize),
		"wide":        strings.Repeat("ä", reportSize),
		"not text":    strings.Repeat("\x00", reportSize),
		"few letters": "x",
	} {
		w := newLastWords(nil)
		fmt.Fprint(w, text, "the end")
		got := w.String()
		if len(got) > reportSize || !strings.HasSuffix(got, "the end") {
			t.Errorf("%s: kept %d bytes ending in %q", name, len(got), got[max(0, len(got)-10):])
		}
		if text := strings.ReplaceAll(got, "\n", ""); printable.Line(text) != text {
			t.Errorf("%s: kept what is not printable", name)
		}
	}
}

func FuzzLastWords(f *testing.F) {
	f.Add([]byte("panic: \x00\n\n\tmain.go"), []byte("\xff\x1b[2J"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		w := newLastWords(nil)
		defer close(w.out)
		_, _ = w.Write(a)
		_, _ = w.Write(b)
		got := w.String()
		if len(got) > reportSize {
			t.Errorf("%d bytes", len(got))
		}
		if text := strings.ReplaceAll(got, "\n", ""); printable.Line(text) != text {
			t.Errorf("%q is not printable", got)
		}
	})
}

func TestLastWordsIndentStackTraces(t *testing.T) {
	var out bytes.Buffer
	w := newLastWords(&out)
	fmt.Fprint(w, "goroutine 1:\r\n\tmain.", "go:12\nhalf")
	if got, want := w.String(), "goroutine 1:\n    main.go:12\nhalf"; got != want {
		t.Errorf("kept %q, want %q", got, want)
	}
}

// A console that a person has stopped with Ctrl-S takes nothing.
func TestLastWordsDoNotWaitForAStoppedConsole(t *testing.T) {
	r, stopped := io.Pipe()
	defer r.Close()
	w := newLastWords(stopped)
	for range 2 * backlog {
		fmt.Fprintln(w, "line")
	}
	if got := w.String(); !strings.HasSuffix(got, "line") {
		t.Errorf("kept %q", got)
	}
}

func TestUntilStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			name     string
			lasts    time.Duration // of the work
			progress time.Duration // until when some is left less every moment
			want     time.Duration
		}{
			{"done", 5 * time.Second, time.Hour, 5 * time.Second},
			{"slow", 10 * time.Minute, time.Hour, 10 * time.Minute},
			{"dead", time.Hour, 0, 30 * time.Second},
			{"dies", time.Hour, 5 * time.Minute, 5*time.Minute + 29*time.Second}, // it is looked at every second
		} {
			start, amount := time.Now(), int64(1<<40)
			untilStuck(30*time.Second, func() int64 {
				if time.Since(start) < test.progress {
					amount--
				}
				return amount
			}, func() { time.Sleep(test.lasts) })
			if took := time.Since(start); took < test.want || took > test.want+2*time.Second {
				t.Errorf("%s: took %v, want %v", test.name, took, test.want)
			}
		}
		time.Sleep(2 * time.Hour) // for what was left behind
	})
}

func TestUnwrittenKiB(t *testing.T) {
	if got := unwrittenKiB("MemTotal: 100 kB\nDirty:   40 kB\nWriteback:  2 kB\nWritebackTmp: 7 kB\n"); got != 42 {
		t.Errorf("unwrittenKiB = %d, want 42", got)
	}
}

func TestBlockMounts(t *testing.T) {
	got := blockMounts("tmpfs / tmpfs rw 0 0\n" +
		"/dev/sr0 /media/boot iso9660 ro 0 0\n" +
		"/dev/sda1 /mnt/a\\040b ext4 rw 0 0\n")
	if want := []string{"/mnt/a b", "/media/boot"}; !slices.Equal(got, want) {
		t.Errorf("blockMounts = %q, want %q", got, want)
	}
}
