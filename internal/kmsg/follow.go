package kmsg

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Record is a message of the kernel's.
type Record struct {
	Level  int           // 0 to 7, as syslog(2) has them
	Number uint64        // the kernel's; programs' messages count as well
	Up     time.Duration // since the kernel started
	Text   string        // printable
}

// Follow gives each message of the kernel's to tell, from that number on, those first that it still has, until ctx
// ends. lost is how many were overwritten before they could be read.
func Follow(ctx context.Context, from uint64, tell func(r Record, lost uint64)) error {
	file, err := os.Open("/dev/kmsg")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { file.Close() })()
	defer file.Close()
	next := from
	record := make([]byte, 8<<10) // the kernel's own limit is below it
	for {
		n, err := file.Read(record)
		switch {
		case errors.Is(err, unix.EPIPE): // some were overwritten: the next one's number says how many
		case err != nil:
			return err
		default:
			r, ok := parseRecord(string(record[:n]))
			var lost uint64
			if next != 0 && r.Number > next {
				lost = r.Number - next
			}
			if ok && r.Number >= from {
				tell(r, lost)
			}
			if r.Number != 0 {
				next = r.Number + 1
			}
		}
	}
}

// parseRecord reads a record (Linux, Documentation/ABI/testing/dev-kmsg). What programs have written there is not the
// kernel's: it is not ok, but has a number.
func parseRecord(record string) (r Record, ok bool) {
	head, text, ok := strings.Cut(record, ";")
	fields := strings.Split(head, ",")
	if !ok || len(fields) < 3 {
		return Record{}, false
	}
	priority, err := strconv.ParseUint(fields[0], 10, 16)
	number, err2 := strconv.ParseUint(fields[1], 10, 64)
	microseconds, err3 := strconv.ParseUint(fields[2], 10, 52)
	if err != nil || err2 != nil || err3 != nil {
		return Record{}, false
	}
	text, _, _ = strings.Cut(text, "\n")
	up := time.Duration(microseconds) * time.Microsecond
	return Record{Level: int(priority & 7), Number: number, Up: up, Text: text}, priority <= verbose
}
