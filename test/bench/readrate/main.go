//go:build linux

// Command readrate compares how fast disks are read. The benchmark has a guest run it.
//
//	readrate NAME=DEVICE...
//
// It reads every disk in turns, past the page cache, and prints for each kind of read and each disk but the first one
// line: "RATE", the kind, the name, and how many reads a second there are for one of the first disk, as a median.
package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	turns = 5
	turn  = 1500 * time.Millisecond
)

// kinds are the ways of reading: bytes a read, how many at a time, and whether they follow each other on the disk.
var kinds = []struct {
	name    string
	bytes   int
	readers int
	inOrder bool
}{
	{name: "random-4K", bytes: 4 << 10, readers: 1},
	{name: "random-4K-8-at-a-time", bytes: 4 << 10, readers: 8},
	{name: "sequential-4K", bytes: 4 << 10, readers: 1, inOrder: true},
	{name: "sequential-128K", bytes: 128 << 10, readers: 1, inOrder: true},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "readrate:", err)
		os.Exit(1)
	}
}

func run(disks []string) error {
	for _, kind := range kinds {
		rates := make([][]float64, len(disks))
		for range turns {
			for i, disk := range disks {
				_, device, _ := strings.Cut(disk, "=")
				rate, err := read(device, kind.bytes, kind.readers, kind.inOrder)
				if err != nil {
					return err
				}
				rates[i] = append(rates[i], rate)
			}
		}
		for i := range rates {
			slices.Sort(rates[i])
		}
		for i, disk := range disks[1:] {
			name, _, _ := strings.Cut(disk, "=")
			fmt.Printf("RATE %s %s %.2f\n", kind.name, name, rates[i+1][turns/2]/rates[0][turns/2])
		}
	}
	fmt.Println("RATES DONE")
	return nil
}

// read returns how many reads a second device answers.
func read(device string, bytes, readers int, inOrder bool) (float64, error) {
	fd, err := unix.Open(device, unix.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", device, err)
	}
	defer unix.Close(fd)
	size, err := unix.Seek(fd, 0, unix.SEEK_END)
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", device, err)
	}
	blocks := size / int64(bytes)
	var wait sync.WaitGroup
	var done atomic.Int64
	errs := make([]error, readers)
	start := time.Now()
	for i := range readers {
		wait.Go(func() {
			buffer, err := unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
			for block := int64(0); err == nil && time.Since(start) < turn; done.Add(1) {
				if block = (block + 1) % blocks; !inOrder {
					block = rand.Int64N(blocks)
				}
				_, err = unix.Pread(fd, buffer, block*int64(bytes))
			}
			errs[i] = errors.Join(err, unix.Munmap(buffer))
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", device, err)
		}
	}
	return float64(done.Load()) / time.Since(start).Seconds(), nil
}
