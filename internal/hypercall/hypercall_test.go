package hypercall

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestRequest holds a request to the layout of struct xen_sysctl with struct xen_sysctl_getdomaininfolist in it.
func TestRequest(t *testing.T) {
	request := bytes.Repeat([]byte{0xff}, sysctlSize)
	encode(request, 0x15, getDomainInfoList, func(to []byte) { setDomains(to, 0x102, 73, 0x1122334455667788) })
	want := make([]byte, sysctlSize)
	copy(want, []byte{
		6, 0, 0, 0, // cmd
		0x15, 0, 0, 0, // interface_version
		2, 1, 0, 0, // first_domain, padding
		73, 0, 0, 0, // max_domains
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, // buffer
	})
	if !bytes.Equal(request, want) {
		t.Errorf("% x\nwant % x", request, want)
	}
}

// TestReadDomain holds what is read to the layout of struct xen_domctl_getdomaininfo, field after field.
func TestReadDomain(t *testing.T) {
	number := binary.LittleEndian
	info := []byte{3, 1, 0xff, 0xff}                                    // domain, pad1
	info = number.AppendUint32(info, 5)                                 // flags
	for _, pages := range []uint64{100, 1 << 40, 7, 1 << 41, 1 << 42} { // tot, max, outstanding, shr, paged
		info = number.AppendUint64(info, pages)
	}
	info = number.AppendUint64(info, 1<<43) // shared_info_frame
	info = number.AppendUint64(info, 1e9)   // cpu_time
	for _, n := range []uint32{2, 8, 9} {   // nr_online_vcpus, max_vcpu_id, ssidref
		info = number.AppendUint32(info, n)
	}
	handle := [16]byte{1, 2, 15: 16}
	info = append(info, handle[:]...)
	want := Domain{Domid: 0x103, Flags: 5, Pages: 107, Time: time.Second, VCPUs: 2, Handle: handle}
	if got := readDomain(info); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestWritten learns the length of a structure from a buffer that Xen has written to.
func TestWritten(t *testing.T) {
	for _, test := range []struct{ written, want int }{
		{0, 0}, {104, 104}, {112, 112},
		{109, 112}, // its last bytes are as the buffer was
		{128, 128}, // the buffer is full
	} {
		buffer := bytes.Repeat([]byte(unwritten), 128)
		clear(buffer[:test.written])
		if got := written(buffer); got != test.want {
			t.Errorf("%d bytes: %d, want %d", test.written, got, test.want)
		}
	}
}

// TestList has a hypervisor with so many domains list them in a buffer for four.
func TestList(t *testing.T) {
	const size = 104
	buffer := make([]byte, 4*size+50)
	for _, count := range []int{0, 1, 3, 4, 5, 8, 13} {
		calls := 0
		all, err := list(buffer, size, func(first, most int) (n int, err error) {
			calls++
			for domid := first + first%2; domid < 2*count && n < most; domid += 2 { // the others have ended
				binary.LittleEndian.PutUint16(buffer[n*size:], uint16(domid))
				n++
			}
			return n, nil
		})
		if err != nil || len(all) != count || calls != count/4+1 {
			t.Errorf("%d domains: %d in %d calls, %v", count, len(all), calls, err)
		}
		for i, domain := range all {
			if domain.Domid != 2*i {
				t.Errorf("%d domains: number %d is %d", count, i, domain.Domid)
			}
		}
	}
	for want, ask := range map[string]func(int, int) (int, error){
		"no":        func(int, int) (int, error) { return 0, errors.New("no") },
		"it said 0": func(int, int) (int, error) { clear(buffer); return 4, nil }, // again and again
	} {
		if _, err := list(buffer, size, ask); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestReadFree(t *testing.T) {
	for _, test := range []struct{ total, free, claimed, want uint64 }{ // want 0: an error
		{total: 1 << 20, free: 700, want: 700}, {total: 1 << 20, free: 1000, claimed: 256, want: 744},
		{}, {total: 1 << 60, free: 1}, {total: 10, free: 11}, {total: 10, free: 5, claimed: 6},
	} {
		arguments := make([]byte, 8*4, 128) // struct xen_sysctl_physinfo: eight numbers of 32 bits, with some padding
		arguments = append(arguments, 0, 0, 0, 0, 0, 0, 0, 0)
		for _, pages := range []uint64{test.total, test.free, 1 << 50, test.claimed, 1 << 51} { // scrub_pages, max_mfn
			arguments = binary.LittleEndian.AppendUint64(arguments, pages)
		}
		got, err := readFree(arguments)
		if (err != nil) != (test.want == 0) || got != test.want {
			t.Errorf("%+v: %d, %v", test, got, err)
		}
	}
}
