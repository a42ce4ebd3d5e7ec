// Package writelog cuts a disk's power in hindsight: from a log of all that was written to the disk, as QEMU's driver
// blklogwrites makes it, it makes the disk as it could have been at any moment.
//
// The log has the form of the kernel's dm-log-writes (Linux, drivers/md/dm-log-writes.c), little-endian, in sectors:
// a header, then for each request an entry and, of a write, its data.
package writelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

const (
	magic      = 0x6a736677736872
	version    = 1
	entryBytes = 32

	flagFlush   = 1 << 0
	flagFUA     = 1 << 1
	flagDiscard = 1 << 2
	flagMark    = 1 << 3
)

// Entry is a request to the disk.
type Entry struct {
	At, Length int64 // bytes of the disk
	Flush      bool  // all that was written before is kept once it is through
	Kept       bool  // what it writes itself is kept once it is through (FUA)
	Discard    bool  // what it is about may be forgotten

	Data int64 // where in the log its data begins
	End  int64 // where in the log it ends
}

var errLog = errors.New("this is no log of writes")

// Read reads a log up to its end, or to where QEMU was killed.
func Read(log io.ReaderAt, size int64) ([]Entry, error) {
	var header [28]byte
	if _, err := log.ReadAt(header[:], 0); err != nil {
		return nil, fmt.Errorf("%w: %w", errLog, err)
	}
	number := func(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	sector := int64(binary.LittleEndian.Uint32(header[24:]))
	if number(header[:], 0) != magic || number(header[:], 8) != version || sector < 512 || sector > 1<<16 {
		return nil, errLog
	}
	var entries []Entry
	for at := sector; at+sector <= size; {
		var b [entryBytes]byte
		if _, err := log.ReadAt(b[:], at); err != nil {
			return nil, err
		}
		first, count, flags := number(b[:], 0), number(b[:], 8), number(b[:], 16)
		if first == 0 && count == 0 && flags == 0 || first > 1<<40 || count > 1<<24 {
			break // it was about to be written
		}
		e := Entry{
			At: int64(first) * sector, Length: int64(count) * sector, Flush: flags&flagFlush != 0,
			Kept: flags&flagFUA != 0, Discard: flags&flagDiscard != 0, Data: at + sector, End: at + sector,
		}
		if !e.Discard && flags&flagMark == 0 {
			e.End += e.Length
		}
		if e.End > size {
			break
		}
		entries = append(entries, e)
		at = e.End
	}
	return entries, nil
}

// Cut writes to disk, a copy of what it was before, what would be on it if its power had been cut after the first count
// entries. What was written out by a flush is there. Of what was not, each write is there or not by chance: a disk
// writes its cache in any order.
func Cut(disk io.WriterAt, log io.ReaderAt, entries []Entry, count int, chance *rand.Rand) error {
	flushed := 0
	for i, e := range entries[:count] {
		if e.Flush {
			flushed = i
		}
	}
	for i, e := range entries[:count] {
		if e.Discard || e.Length == 0 || i >= flushed && !e.Kept && chance.IntN(2) == 0 {
			continue
		}
		data := make([]byte, e.Length)
		if _, err := log.ReadAt(data, e.Data); err != nil {
			return fmt.Errorf("write %d: %w", i, err)
		}
		if _, err := disk.WriteAt(data, e.At); err != nil {
			return fmt.Errorf("write %d: %w", i, err)
		}
	}
	return nil
}

// Open opens and reads a log.
func Open(name string) (*os.File, []Entry, error) {
	log, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := log.Stat()
	if err != nil {
		log.Close()
		return nil, nil, err
	}
	entries, err := Read(log, info.Size())
	if err != nil {
		log.Close()
		return nil, nil, err
	}
	return log, entries, nil
}
