// Package pressure ends dom0's thrashing: when programs wait for memory on end, it has the kernel end the one that has
// taken most. By itself the kernel does so only when nothing can be reclaimed any more, and until then, for minutes, it
// drops the pages of all programs and reads them again.
package pressure

import (
	"context"
	"time"

	"github.com/zerodisc/zerodisc/internal/oom"
)

// Kernel is what Run asks of the kernel. Linux is it.
type Kernel interface {
	// Wait returns when programs begin to wait for memory, or ctx has ended.
	Wait(ctx context.Context) error
	// Look is how it stands.
	Look() (Look, error)
	// Highest is the highest score that a process has with the out-of-memory killer.
	Highest() (score int, err error)
	// Kill has the out-of-memory killer end the process with that score.
	Kill() error
}

// Look is how it stands with memory at one moment.
type Look struct {
	Waited         time.Duration // one program or more have waited, since the machine's start
	Swap, SwapFree uint64        // bytes
}

// Once programs wait, a look is taken every lookEvery, until none has waited for calmAfter.
const (
	lookEvery = 50 * time.Millisecond
	calmAfter = 3 * time.Second
)

// searchPause follows a search for a process that came to nothing: it takes some 10 ms. afterKill is how long the
// memory of a process that was ended may take to come back.
const (
	searchPause = 250 * time.Millisecond
	afterKill   = time.Second
)

// Run ends thrashing until ctx ends.
func Run(ctx context.Context, kernel Kernel) error {
	for {
		err := kernel.Wait(ctx)
		if err == nil {
			err = watch(ctx, kernel)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// watch looks until programs get on.
func watch(ctx context.Context, kernel Kernel) error {
	var s stall
	for calm := time.Now(); time.Since(calm) < calmAfter; {
		look, err := kernel.Look()
		if err != nil {
			return err
		}
		now := time.Now()
		s.add(look, now)
		if s.length > 0 {
			calm = now
		}
		pause := lookEvery
		if share := s.limit(); share > 0 {
			killed, err := relieve(kernel, share)
			if err != nil {
				return err
			}
			pause = searchPause
			if killed {
				s, pause = stall{}, afterKill
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// relieve ends the process that has most if it has that share of memory or more. Of what the host itself has started
// it must be 300 thousandths more (oom.Person): on a small host an xl that makes a guest has a quarter.
func relieve(kernel Kernel, share int) (killed bool, err error) {
	score, err := kernel.Highest()
	if err != nil || score < oom.Score(oom.Person, share) {
		return false, err
	}
	return true, kernel.Kill()
}
