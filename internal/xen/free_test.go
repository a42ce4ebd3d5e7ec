package xen

import (
	"encoding/binary"
	"testing"
)

func TestDecodeFree(t *testing.T) {
	for _, test := range []struct {
		total, free, claimed uint64
		want                 int64 // KiB, below 0 for an error
	}{
		{total: 1 << 20, free: 700, want: 2 << 10}, {total: 1 << 20, free: 1000, claimed: 256, want: 2 << 10},
		{total: 1 << 20, want: 0}, {want: -1}, {total: 1 << 60, free: 1, want: -1}, {total: 10, free: 11, want: -1},
		{total: 10, free: 5, claimed: 6, want: -1},
	} {
		// struct xen_sysctl with struct xen_sysctl_physinfo, field after field.
		request := make([]byte, 8+10*4)
		for _, pages := range []uint64{test.total, test.free, 1 << 50, test.claimed, 1 << 51} { // scrub_pages, max_mfn
			request = binary.LittleEndian.AppendUint64(request, pages)
		}
		got, err := decodeFree(request)
		if (err != nil) != (test.want < 0) || err == nil && got != test.want {
			t.Errorf("%+v: %d, %v", test, got, err)
		}
	}
}
