// Package oom keeps the kernel's out-of-memory killer away from the process that runs the machine, and from that
// process only: what it starts inherits its standing (proc(5), /proc/PID/oom_score_adj), and a shell or an xl that
// cannot be killed would cost a guest or the machine its life.
//
// Process 1 needs none of this: the kernel never picks it (mm/oom_kill.c: oom_unkillable_task).
package oom

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
)

// Values for oom_score_adj, each a thousandth of all memory.
const (
	// Never is for what the machine cannot lose: the kernel panics before it kills that.
	Never = -1000
	// Last is for what can be started anew: it is killed when all else is gone, or takes 9/10 of memory itself.
	Last = -900
	// Usual is what every process begins with.
	Usual = 0
	// Person is for shells and what people start in them: it goes before what the host itself has started, though that
	// be larger by so much.
	Person = 300
)

// own is this process's standing. The kernel keeps it by process, not by thread, so that what is to be started without
// it has to be started one at a time.
var own = struct {
	sync.Mutex
	score int
}{score: Usual}

// Protect gives this process the standing score. What Start and Run start has none of it.
func Protect(score int) error {
	own.Lock()
	defer own.Unlock()
	if err := Set(os.Getpid(), score); err != nil {
		return err
	}
	own.score = score
	return nil
}

// Set gives the process pid the standing score.
func Set(pid, score int) error {
	file := fmt.Sprintf("/proc/%d/oom_score_adj", pid)
	if err := os.WriteFile(file, []byte(strconv.Itoa(score)), 0); err != nil {
		return fmt.Errorf("set standing with the out-of-memory killer: %w", err)
	}
	return nil
}

// Start is cmd.Start for a process with the usual standing, and so with usual children. This one goes without
// its own meanwhile, a few milliseconds: set afterwards, what the child had started by then would keep it.
func Start(cmd *exec.Cmd) error {
	own.Lock()
	defer own.Unlock()
	if own.score == Usual {
		return cmd.Start()
	}
	if err := Set(os.Getpid(), Usual); err != nil {
		return err
	}
	defer func() { _ = Set(os.Getpid(), own.score) }() // it could be set before
	return cmd.Start()
}

// Run is cmd.Run for a process with the usual standing.
func Run(cmd *exec.Cmd) error {
	if err := Start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}
