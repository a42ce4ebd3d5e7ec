package xen

import (
	"context"
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/zerodisc/zerodisc/internal/host"
)

// encodeDomain writes struct xen_domctl_getdomaininfo, field after field.
func encodeDomain(domid uint16, flags uint32, pages, outstanding, nanoseconds uint64, vcpus uint32) []byte {
	var b []byte
	le := binary.LittleEndian
	b = le.AppendUint16(b, domid)
	b = le.AppendUint16(b, 0xffff) // pad1
	b = le.AppendUint32(b, flags)
	b = le.AppendUint64(b, pages)
	b = le.AppendUint64(b, 1<<40) // max_pages
	b = le.AppendUint64(b, outstanding)
	b = le.AppendUint64(b, 1<<41) // shr_pages
	b = le.AppendUint64(b, 1<<42) // paged_pages
	b = le.AppendUint64(b, 1<<43) // shared_info_frame
	b = le.AppendUint64(b, nanoseconds)
	b = le.AppendUint32(b, vcpus)
	b = le.AppendUint32(b, 7) // max_vcpu_id
	b = le.AppendUint32(b, 8) // ssidref
	for i := range 16 {       // handle
		b = append(b, byte(domid)<<4|byte(i))
	}
	b = le.AppendUint32(b, 9)              // cpupool
	b = append(b, 40, 0, 0, 0, 0, 0, 0, 0) // gpaddr_bits, pad2
	return le.AppendUint64(b, 1<<44)       // arch_config
}

func TestDecodeDomains(t *testing.T) {
	const dominfHVM = 2
	buffer := slices.Concat(
		encodeDomain(0, dominfHVM, 1<<16, 0, 5e9, 2),
		encodeDomain(1, flagPaused, 16384, 257, 1.5e9, 1),
		encodeDomain(4, flagShutdown|3<<shutdownShift, 100, 0, 0, 0),
		encodeDomain(9, flagShutdown|flagDying|77<<shutdownShift, 0, 0, 0, 3),
	)
	if len(buffer) != 4*infoSize {
		t.Fatalf("%d bytes, want 4 times %d", len(buffer), infoSize)
	}
	got, err := decodeDomains(buffer, 4, 0)
	want := []host.Domain{
		{Domid: 0, UUID: "00010203-0405-0607-0809-0a0b0c0d0e0f", MemoryKiB: 256 << 10, VCPUs: 2, CPUSeconds: 5},
		{
			Domid: 1, UUID: "10111213-1415-1617-1819-1a1b1c1d1e1f", MemoryKiB: 65 << 10, VCPUs: 1, CPUSeconds: 1.5,
			Paused: true,
		},
		{Domid: 4, UUID: "40414243-4445-4647-4849-4a4b4c4d4e4f", Shutdown: host.Crash},
		{Domid: 9, UUID: "90919293-9495-9697-9899-9a9b9c9d9e9f", VCPUs: 3, Dying: true, Shutdown: host.Crash},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v\nwant %+v", err, got, want)
	}
	if _, err := decodeDomains(buffer, 4, 5); err == nil {
		t.Error("domains below the first one are taken")
	}
	if _, err := decodeDomains(buffer[8:], 3, 0); err == nil {
		t.Error("structures of another size are taken")
	}
	if _, err := decodeDomains(buffer, 5, 0); err == nil {
		t.Error("a count beyond the buffer is taken")
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
