package xen

import (
	"strings"
	"testing"
)

func TestComplaint(t *testing.T) {
	for line, want := range map[string]struct {
		domid int
		about string
	}{
		"write rate limit: domain 3 is affected":                                    {3, "writes too often"},
		"Domain 12 exceeds hard memory quota, Xenstore interface to domain stalled": {12, "does not answer"},
		"Domain 1 exceeds soft memory quota":                                        {1, "more in xenstore"},
		"Domain 1 below soft memory quota again":                                    {},
		"write rate limit: rate limiting restarts":                                  {},
		"write rate limit: domain -1 is affected":                                   {},
		"write rate limit: domain 99999 is affected":                                {},
		"": {},
	} {
		domid, problem, ok := Complaint(line)
		if ok != (want.about != "") || domid != want.domid || !strings.Contains(problem, want.about) {
			t.Errorf("%q: %d, %q, %v", line, domid, problem, ok)
		}
	}
}

func FuzzComplaint(f *testing.F) {
	f.Add("Domain 1 exceeds soft memory quota")
	f.Fuzz(func(t *testing.T, line string) {
		if domid, _, _ := Complaint(line); domid < 0 || domid > 0x7fff {
			t.Errorf("%q: %d", line, domid)
		}
	})
}
