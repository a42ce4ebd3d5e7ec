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
	// Find finds the process that has the highest score with the out-of-memory killer. To read a file for each process
	// takes memory, and so a long time when there is none.
	Find() error
	// Score is the score of the one that was found, now; 0 if it has ended.
	Score() int
	// Kill has the out-of-memory killer end the process that has the highest score now.
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

// afterKill is how long the memory of a process that was ended may take to come back.
const afterKill = time.Second

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
	var found search
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
		if found.isStale(look, s.limit(), now) {
			if err := kernel.Find(); err != nil {
				return err
			}
			found = search{look.SwapFree, now}
		}
		pause := lookEvery
		// Of what the host itself has started it must be 300 thousandths more (oom.Person): on a small host an xl that
		// makes a guest has a quarter.
		if share := s.limit(); share > 0 && kernel.Score() >= oom.Score(oom.Person, share) {
			if err := kernel.Kill(); err != nil {
				return err
			}
			s, found, pause = stall{}, search{}, afterKill
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// search is when the process with the highest score was looked for.
type search struct {
	swapFree uint64 // bytes, then
	at       time.Time
}

// isStale says whether to look again: once an eighth of swap space more has gone, and every two seconds while a process
// is to be ended.
func (f search) isStale(look Look, limit int, now time.Time) bool {
	return f.at.IsZero() || look.SwapFree+look.Swap/8 <= f.swapFree || limit > 0 && now.Sub(f.at) >= 2*time.Second
}
