package confine

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// goCalls are the system calls that a Go program needs to go on running: memory, threads, time, signals, and the
// poller (runtime, os_linux.go and netpoll_epoll.go). Threads are made by clone, which has a rule of its own.
var goCalls = []uintptr{
	unix.SYS_CLOCK_GETTIME, unix.SYS_CLOSE, unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT,
	unix.SYS_EVENTFD2, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_FCNTL, unix.SYS_FSTAT, unix.SYS_FUTEX,
	unix.SYS_GETPID, unix.SYS_GETRANDOM, unix.SYS_GETTID, unix.SYS_LSEEK, unix.SYS_MADVISE, unix.SYS_MINCORE,
	unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_NANOSLEEP, unix.SYS_PREAD64, unix.SYS_READ, unix.SYS_RESTART_SYSCALL,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SCHED_GETAFFINITY,
	unix.SYS_SCHED_YIELD, unix.SYS_SIGALTSTACK, unix.SYS_TGKILL, unix.SYS_WRITE,
}

// Constants of linux/seccomp.h and linux/audit.h.
const (
	modeFilter   = 1 // SECCOMP_SET_MODE_FILTER
	syncThreads  = 1 // SECCOMP_FILTER_FLAG_TSYNC
	allow        = 0x7fff0000
	refuse       = 0x00050000 | uint32(unix.EPERM) // SECCOMP_RET_ERRNO
	archAMD64    = 0xc000003e
	offsetNumber = 0 // of struct seccomp_data
	offsetArch   = 4
	offsetFirst  = 16 // the first argument
)

// Seal leaves this process, in all its threads and for ever, the files it has open and what Go itself needs, and the
// system calls that are given. Others fail with EPERM: no file is opened, no program started, nothing mounted.
func Seal(more ...uintptr) error {
	program := filter(slices.Concat(goCalls, more))
	list := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new rights: %w", err)
	}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, modeFilter, syncThreads, uintptr(unsafe.Pointer(&list)))
	runtime.KeepAlive(program)
	switch {
	case errno != 0:
		return fmt.Errorf("filter system calls: %w", errno)
	case thread != 0:
		return fmt.Errorf("filter system calls: thread %d has a filter of its own", thread)
	}
	return nil
}

// filter lets the calls pass, and clone where it makes a thread.
func filter(calls []uintptr) []unix.SockFilter {
	const load, equal, bits, end = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS,
		unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	program := []unix.SockFilter{
		{Code: load, K: offsetArch},
		{Code: equal, K: archAMD64, Jt: 1},
		{Code: end, K: refuse},
		{Code: load, K: offsetNumber},
	}
	for _, call := range calls {
		program = append(program,
			unix.SockFilter{Code: equal, K: uint32(call), Jf: 1},
			unix.SockFilter{Code: end, K: allow})
	}
	return append(program,
		unix.SockFilter{Code: equal, K: unix.SYS_CLONE, Jt: 1},
		unix.SockFilter{Code: end, K: refuse},
		unix.SockFilter{Code: load, K: offsetFirst},
		unix.SockFilter{Code: bits, K: unix.CLONE_THREAD, Jt: 1},
		unix.SockFilter{Code: end, K: refuse},
		unix.SockFilter{Code: end, K: allow})
}
