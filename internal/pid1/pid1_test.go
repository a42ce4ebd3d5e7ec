package pid1

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary plays every role, chosen by its first argument: "init" is the real PID 1 of a
// PID namespace, the others are what it starts.
func TestMain(m *testing.M) {
	roles := map[string]func(){
		"init":     playInit,
		"children": playChildren,
		"crash":    playCrash,
		"hang":     playHang,
		"rescue":   playRescue,
		"true":     func() { os.Exit(7) },
		"orphan":   playOrphan,
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
		Stage2: []string{exe, os.Args[2]},
		Rescue: []string{exe, "rescue"},
		Stderr: os.Stderr,
		End:    func(a Action) { fmt.Println("end", int(a)) },
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

// playCrash crashes as a Go program does.
func playCrash() { panic("stage2 has a bug") }

// playHang crashes and has a rescue process that does not end.
func playHang() { panic("stage2 has a bug: hang") }

// playRescue prints the report it was given and asks PID 1 for a reboot, as a person would. It does
// what it is asked in turn, or, when it is told to hang, lets itself be asked until PID 1 has enough.
func playRescue() {
	hang := strings.Contains(os.Args[2], "hang")
	fmt.Println("rescue:", strings.Contains(os.Args[2], "stage2 has a bug"))
	signals := make(chan os.Signal, 8)
	_ = unix.Kill(1, unix.SIGTERM) // before anybody listens: it must not be lost
	time.Sleep(100 * time.Millisecond)
	signal.Notify(signals, unix.SIGTERM)
	Ready()
	<-signals
	fmt.Println("asked")
	if !hang {
		os.Exit(int(Reboot))
	}
	for range rescueRequests {
		_ = unix.Kill(1, unix.SIGTERM)
		<-signals
		fmt.Println("asked")
	}
}

// asPID1 runs this binary as PID 1 of a new PID namespace.
func asPID1(t *testing.T, stage2 string) string {
	t.Helper()
	cmd := exec.Command(self, "init", stage2)
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

func TestCrashedStage2IsRescued(t *testing.T) {
	out := asPID1(t, "crash")
	if !strings.Contains(out, "rescue: true\nasked\n") || !strings.Contains(out, fmt.Sprintf("end %d\n", Reboot)) {
		t.Errorf("PID 1 printed:\n%s", out)
	}
}

func TestHangingRescueIsNotWaitedFor(t *testing.T) {
	out := asPID1(t, "hang")
	if strings.Count(out, "asked\n") != rescueRequests || !strings.Contains(out, fmt.Sprintf("end %d\n", Reboot)) {
		t.Errorf("PID 1 printed:\n%s", out)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	tail := &tail{}
	fmt.Fprint(tail, strings.Repeat("x", reportSize), "the end")
	if got := tail.String(); len(got) != reportSize || !strings.HasSuffix(got, "the end") {
		t.Errorf("kept %d bytes ending in %q", len(got), got[len(got)-10:])
	}
}

func TestBlockMounts(t *testing.T) {
	got := blockMounts("tmpfs / tmpfs rw 0 0\n/dev/sr0 /media/boot iso9660 ro 0 0\n/dev/sda1 /mnt/a\\040b ext4 rw 0 0\n")
	if want := []string{"/mnt/a b", "/media/boot"}; !slices.Equal(got, want) {
		t.Errorf("blockMounts = %q, want %q", got, want)
	}
}
