package timesync

import (
	"context"
	"fmt"
	"math/bits"
	"time"

	"golang.org/x/sys/unix"
)

// Bits of struct timex (adjtimex(2); Linux, include/uapi/linux/timex.h).
const (
	adjOffset    = 0x0001
	adjStatus    = 0x0010
	adjTimeConst = 0x0020
	adjSetOffset = 0x0100
	adjNano      = 0x2000

	statusPLL    = 0x0001
	statusUnsync = 0x0040
)

// Kernel is the kernel's clock. In dom0 the kernel passes each step on to Xen (xen_pvclock_gtod_notify), so that guests
// which start later begin with the right time.
type Kernel struct{}

// Step adds offset to the clock.
func (Kernel) Step(_ context.Context, offset time.Duration) error {
	second, rest := int64(offset/time.Second), int64(offset%time.Second)
	if rest < 0 {
		second, rest = second-1, rest+int64(time.Second)
	}
	if _, err := unix.Adjtimex(&unix.Timex{
		Modes: adjSetOffset | adjNano, Time: unix.Timeval{Sec: second, Usec: rest},
	}); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}

// Slew has the kernel's phase-locked loop work offset off, which also learns how fast the clock runs. The clock stays
// marked as not synchronised: the kernel writes a synchronised one into the hardware's every 11 minutes.
func (Kernel) Slew(offset, poll time.Duration) error {
	if _, err := unix.Adjtimex(&unix.Timex{
		Modes:  adjOffset | adjStatus | adjTimeConst | adjNano,
		Offset: offset.Nanoseconds(), Status: statusPLL | statusUnsync, Constant: timeConstant(poll),
	}); err != nil {
		return fmt.Errorf("correct the clock: %w", err)
	}
	return nil
}

// timeConstant is the loop's time constant for questions so far apart: the logarithm of their distance in seconds,
// which the kernel wants less 4 where offsets are in nanoseconds (Linux, kernel/time/ntp.c).
func timeConstant(poll time.Duration) int64 {
	return max(0, int64(bits.Len64(uint64(poll/time.Second)))-1-4)
}
