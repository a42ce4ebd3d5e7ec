package hypercall

import (
	"bytes"
	"testing"
	"time"
)

// TestRequest holds a request to the layout of struct xen_sysctl with struct xen_sysctl_getdomaininfolist in it.
func TestRequest(t *testing.T) {
	request := bytes.Repeat([]byte{0xff}, sysctlSize)
	encode(request, 0x15, getDomainInfoList, func(to []byte) { setDomains(to, 0x102, 0x1122334455667788) })
	want := make([]byte, sysctlSize)
	copy(want, []byte{
		6, 0, 0, 0, // cmd
		0x15, 0, 0, 0, // interface_version
		2, 1, 0, 0, // first_domain, padding
		1, 0, 0, 0, // max_domains
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, // buffer
	})
	if !bytes.Equal(request, want) {
		t.Errorf("% x\nwant % x", request, want)
	}
}

// TestReadDomain holds what is read to the layout of struct xen_domctl_getdomaininfo.
func TestReadDomain(t *testing.T) {
	info := make([]byte, 128)
	copy(info, []byte{3, 0, 0xff, 0xff})            // domain, padding
	copy(info[8+6*8:], []byte{0, 0xca, 0x9a, 0x3b}) // cpu_time, after flags and six numbers of pages
	if domid, used := readDomain(info); domid != 3 || used != time.Second {
		t.Errorf("domain %d has used %v", domid, used)
	}
}
