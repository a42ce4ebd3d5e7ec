package xen

import (
	"fmt"
	"strconv"
	"strings"
)

// complaints are what xenstored says of a guest that asks too much of it (tools/xenstored/domain.c), and what that
// means. The rest of what it says there is of no guest, or good news.
var complaints = []struct{ before, after, problem string }{
	{"write rate limit: domain ", " is affected", "it writes too often; xenstored lets it wait"},
	{"Domain ", " exceeds hard memory quota, Xenstore interface to domain stalled",
		"it has too much in xenstore, which does not answer it any more"},
	{"Domain ", " exceeds soft memory quota",
		fmt.Sprintf("it keeps more in xenstore than guests need, %d KiB", softQuota>>10)},
}

// Complaint says which domain asks too much of xenstore, if that is what a line of xenstored's is about.
func Complaint(line string) (domid int, problem string, ok bool) {
	for _, c := range complaints {
		rest, begins := strings.CutPrefix(line, c.before)
		number, ends := strings.CutSuffix(rest, c.after)
		domid, err := strconv.ParseUint(number, 10, 15)
		if begins && ends && err == nil {
			return int(domid), c.problem, true
		}
	}
	return 0, "", false
}
