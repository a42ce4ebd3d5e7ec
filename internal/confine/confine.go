// Package confine starts programs with less than root's rights, and takes rights from a running one: what parses a
// guest's bytes shall not be able to do what it never has to.
//
// Root without capabilities still owns root's files and devices. Xen's daemons have the hypercalls by that, and
// who takes one of them over has the host; but no way out by the network.
package confine

import (
	"fmt"
	"os/exec"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/oom"
)

// Limits are what a program keeps of root's rights. Neither it nor what it starts ever gets more (no_new_privs), and
// it has a network in which there is nothing.
type Limits struct {
	Capabilities []int // capabilities(7)
}

// Start is oom.Start within the limits.
func (l Limits) Start(cmd *exec.Cmd) error {
	result := make(chan error)
	go onThread(func() { result <- l.start(cmd) })
	return <-result
}

// onThread calls f in a thread that ends with it: what f takes from the thread nobody else gets.
// The first thread of a process never ends, and stands for it in /proc.
func onThread(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		defer runtime.UnlockOSThread() // the next goroutine cannot be in this thread
		done := make(chan struct{})
		go func() {
			defer close(done)
			onThread(f)
		}()
		<-done
		return
	}
	f()
}

// start limits this thread, and starts the program from it: it inherits what the thread has.
func (l Limits) start(cmd *exec.Cmd) error {
	network, err := nowhere()
	if err != nil {
		return fmt.Errorf("make an empty network: %w", err)
	}
	if err := unix.Setns(network, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the empty network: %w", err)
	}
	if err := bound(l.Capabilities); err != nil {
		return fmt.Errorf("give up capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new rights: %w", err)
	}
	return oom.Start(cmd)
}

// nowhere makes a network with no interface but a loopback that is down, once: each would cost memory.
var nowhere = sync.OnceValues(func() (fd int, err error) {
	done := make(chan struct{})
	go onThread(func() {
		defer close(done)
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
	})
	<-done
	return fd, err
})

// bound takes from this thread's bounding set what is not to be kept. At the next exec root gets what is left in it.
func bound(keep []int) error {
	kept := map[int]bool{}
	for _, c := range keep {
		kept[c] = true
	}
	for c := 0; ; c++ {
		if kept[c] {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0)
		if err == unix.EINVAL && c > unix.CAP_CHECKPOINT_RESTORE {
			return nil // the kernel has no more
		}
		if err != nil {
			return err
		}
	}
}
