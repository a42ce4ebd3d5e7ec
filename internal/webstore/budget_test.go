package webstore

import (
	"errors"
	"sync"
	"testing"
)

func TestBudget(t *testing.T) {
	spare := int64(10 << 20)
	b := NewBudget(&sync.Mutex{}, func() (int64, error) { return spare, nil })
	first, second := &reservation{budget: b}, &reservation{budget: b}
	if err := first.grow(8 << 20); err != nil {
		t.Fatal(err)
	}
	var full *noRoom
	if err := second.grow(3 << 20); !errors.As(err, &full) || full.free != 2<<20 {
		t.Errorf("what is promised was promised again: %v", err)
	}
	// Half of the first is written: the kernel sees less free, the budget less promised.
	first.add(-4 << 20)
	spare -= 4 << 20
	if err := second.grow(3 << 20); err == nil {
		t.Error("what is written was promised again")
	}
	if err := second.ensure(1 << 20); err != nil {
		t.Error(err)
	}
	if err := second.ensure(1 << 20); err != nil || b.Pending() != 5<<20 {
		t.Errorf("what is reserved was reserved again: %v, %d", err, b.Pending())
	}
	first.close()
	second.close()
	if b.Pending() != 0 {
		t.Errorf("%d bytes are still promised", b.Pending())
	}
}

func TestNoRoomRoundsAgainstTheGuest(t *testing.T) {
	const want = "it takes 2 MiB of dom0's memory, where 1 MiB are free for it"
	if got := (&noRoom{need: 1<<20 + 1, free: 2<<20 - 1}).Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
