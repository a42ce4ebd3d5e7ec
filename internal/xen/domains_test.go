package xen

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/hypercall"
)

func TestDomainOf(t *testing.T) {
	const dominfHVM = 2
	handle := [16]byte{0: 0x10, 15: 0x1f}
	for _, test := range []struct {
		is   hypercall.Domain
		want host.Domain
	}{
		{
			hypercall.Domain{Flags: dominfHVM, Pages: 1 << 16, Time: 5 * time.Second, VCPUs: 2},
			host.Domain{MemoryKiB: 256 << 10, VCPUs: 2, CPUSeconds: 5},
		},
		{
			hypercall.Domain{Domid: 1, Flags: flagPaused, Pages: 16384 + 257, Handle: handle, VCPUs: 1},
			host.Domain{
				Domid: 1, UUID: "10000000-0000-0000-0000-00000000001f", MemoryKiB: 65 << 10, VCPUs: 1, Paused: true,
			},
		},
		{
			hypercall.Domain{Domid: 4, Flags: flagShutdown | 3<<shutdownShift, Pages: 100},
			host.Domain{Domid: 4, Shutdown: host.Crash},
		},
		{
			hypercall.Domain{Domid: 9, Flags: flagShutdown | flagDying | 77<<shutdownShift, VCPUs: 3},
			host.Domain{Domid: 9, VCPUs: 3, Dying: true, Shutdown: host.Crash},
		},
	} {
		if test.want.UUID == "" {
			test.want.UUID = uuid.Nil.String()
		}
		if got := domainOf(test.is); got != test.want {
			t.Errorf("%+v\nwant %+v", got, test.want)
		}
	}
}

// TestListsDirectly takes the hypervisor's own list, with xenstore's names, and xl's where there is none.
func TestListsDirectly(t *testing.T) {
	xl := newFakeXL("one", "two")
	x := xl.toolstack(t)
	var failure error
	x.domains = func() ([]host.Domain, error) {
		return []host.Domain{{Domid: 0}, {Domid: 2, UUID: uuidOf(2)}, {Domid: 7, Dying: true}}, failure
	}
	list := func() []host.Domain {
		t.Helper()
		domains, err := x.List(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return domains
	}
	want := []host.Domain{{Domid: 2, UUID: uuidOf(2), Name: "two"}, {Domid: 7, Dying: true}}
	if got := list(); !reflect.DeepEqual(got, want) || len(xl.calls) > 0 {
		t.Errorf("%+v, calls %q", got, xl.calls)
	}
	failure = errors.New("another version")
	if got := list(); len(got) != 2 || got[0].Name != "one" {
		t.Errorf("%+v", got)
	}
}
